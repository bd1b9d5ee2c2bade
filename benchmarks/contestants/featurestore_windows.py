"""Our own windows, from source through the public API to Arrow; machine code is on disk, loading packages counts."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import measured
from featurestore import FeatureStore


def main() -> None:
    """Arguments: workspace, whether from source or from the store."""
    workspace, from_source = Path(sys.argv[1]), sys.argv[2] == "source"
    measured(lambda: retrieve(workspace, from_source))


def retrieve(workspace: Path, from_source: bool) -> None:
    """The spine with its features."""
    with FeatureStore(workspace / "project") as store:
        spine = workspace / "inputs" / "spine.parquet"
        store.get_historical_features(spine, ["spending:*"], from_source=from_source).to_arrow()


if __name__ == "__main__":
    main()
