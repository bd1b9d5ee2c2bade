"""The project that a command works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.store import FeatureStore


@contextmanager
def open_store() -> Iterator[FeatureStore]:
    """The feature store of the folder that `--project` names, closed in the end."""
    from featurestore.store import FeatureStore

    with FeatureStore(os.environ.get("FEATURESTORE_ROOT", ".")) as store:
        yield store
