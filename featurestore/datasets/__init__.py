"""Training sets that were kept: saved, found again, rebuilt and compared."""

from featurestore.datasets.saved import Datasets

__all__ = ["Datasets"]
