"""Our own lookup, from the facade to a dictionary."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from benchmarks.inputs import FEATURES, ONLINE_VIEWS
from benchmarks.measure import measured_calls
from featurestore import FeatureStore


def main() -> None:
    """Arguments: workspace, entities, lookups."""
    workspace, entities, lookups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    features = [f"{view}:{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]
    with FeatureStore(workspace / "project") as store:
        measured_calls(
            lambda entity: store.get_online_features(features, [{"key": entity}]).to_dict(),
            random.Random(5).choices(range(entities), k=lookups),
        )


if __name__ == "__main__":
    main()
