"""Our own retrieval, from the project to a Parquet file; loading our packages counts."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.inputs import FEATURES
from benchmarks.measure import measured
from featurestore import FeatureStore


def main() -> None:
    """Arguments: workspace, output file."""
    workspace, output = Path(sys.argv[1]), sys.argv[2]
    measured(lambda: retrieve(workspace, output))


def retrieve(workspace: Path, output: str) -> None:
    """Write the spine with its features."""
    with FeatureStore(workspace / "project") as store:
        spine = workspace / "inputs" / "spine.parquet"
        store.get_historical_features(spine, [f"profile:{name}" for name in FEATURES]).to_parquet(output)


if __name__ == "__main__":
    main()
