"""Feast's lookup in process, from its SQLite store to a dictionary."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contestants.feast_project import FEATURES, ONLINE_VIEWS, open_store
from benchmarks.measure import measured_batches


def main() -> None:
    """Arguments: folder of the project, entities, lookups of one entity."""
    folder, entities, lookups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = open_store(folder)
    features = [f"{view}:{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]
    measured_batches(
        lambda keys: store.get_online_features(features=features, entity_rows=[{"key": key} for key in keys]).to_dict(),
        entities,
        lookups,
    )


if __name__ == "__main__":
    main()
