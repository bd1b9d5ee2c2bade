"""Feast's retrieval with its DuckDB offline store, from file to file; loading Feast does not count."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from benchmarks.contestants.feast_project import FEATURES, open_store
from benchmarks.measure import measured

import ibis  # type: ignore[import-not-found]  # isort: skip  # comes with Feast
from feast.infra.offline_stores.file_source import (  # type: ignore[import-not-found]  # isort: skip
    SavedDatasetFileStorage,
)


def main() -> None:
    """Arguments: folder of the project, spine, threads, output file."""
    folder, spine, threads, output = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    ibis.set_backend(ibis.duckdb.connect(threads=threads))
    measured(lambda: retrieve(folder, spine, output))


def retrieve(folder: Path, spine: Path, output: str) -> None:
    """Write the spine with its features, in the order Feast gives."""
    Path(output).unlink(missing_ok=True)
    job = open_store(folder).get_historical_features(
        entity_df=pd.read_parquet(spine), features=[f"profile:{name}" for name in FEATURES]
    )
    job.persist(SavedDatasetFileStorage(path=output))


if __name__ == "__main__":
    main()
