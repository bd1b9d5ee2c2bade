"""Our own lookup, from the facade to a dictionary."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.inputs import FEATURES, ONLINE_VIEWS
from benchmarks.measure import measured_batches
from featurestore import FeatureStore


def main() -> None:
    """Arguments: workspace, entities, lookups of one entity, URL of the store."""
    workspace, entities, lookups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.environ["FEATURESTORE_ONLINE__URL"] = sys.argv[4]
    features = [f"{view}:{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]
    with FeatureStore(workspace / "project") as store:
        measured_batches(
            lambda keys: store.get_online_features(features, [{"key": key} for key in keys]).to_dict(),
            entities,
            lookups,
        )


if __name__ == "__main__":
    main()
