"""Training sets that were kept: saved, found again, rebuilt and compared."""

from featurestore.datasets.comparison import ColumnDifference, DatasetDiff
from featurestore.datasets.rebuilding import Rebuild
from featurestore.datasets.room import Datasets

__all__ = ["ColumnDifference", "DatasetDiff", "Datasets", "Rebuild"]
