"""Our own windows through the public API: a spine's features from source or store to Arrow, or all online values.

Machine code is on disk unless the run is to be cold; loading packages counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import measured
from featurestore import FeatureStore

END = datetime(2024, 6, 1, tzinfo=UTC)


def main() -> None:
    """Arguments: workspace, and what to compute: source, store, cold (from source) or online."""
    workspace, what = Path(sys.argv[1]), sys.argv[2]
    if what == "online":
        os.environ["FEATURESTORE_ONLINE__URL"] = "memory://"
        measured(lambda: publish(workspace))
        return
    with tempfile.TemporaryDirectory() as empty:
        if what == "cold":
            os.environ["NUMBA_CACHE_DIR"] = empty
        measured(lambda: retrieve(workspace, from_source=what != "store"))


def publish(workspace: Path) -> None:
    """The values of all entities at the watermark, into an online store that has none."""
    with FeatureStore(workspace / "project") as store:
        store.materialize(END)


def retrieve(workspace: Path, *, from_source: bool) -> None:
    """The spine with its features."""
    with FeatureStore(workspace / "project") as store:
        spine = workspace / "inputs" / "spine.parquet"
        store.get_historical_features(spine, ["spending:*"], from_source=from_source).to_arrow()


if __name__ == "__main__":
    main()
