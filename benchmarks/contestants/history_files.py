"""The files of the materialized view, and what the hand-written queries name its columns."""

from __future__ import annotations

from pathlib import Path

import duckdb
from deltalake import DeltaTable

from benchmarks.inputs import FEATURES

COLUMNS = ", ".join(FEATURES)


def stored_table(workspace: Path) -> Path:
    """The folder of the one offline table of the project."""
    (table,) = (log.parent for log in (workspace / "project/data/offline/views").glob("*/_delta_log"))
    return table


def connect(workspace: Path, threads: int) -> duckdb.DuckDBPyConnection:
    """A database with the view `stored` over the table's files: key, e and c (microseconds), seq and the features."""
    connection = duckdb.connect(config={"threads": threads})
    files = ", ".join(f"'{uri}'" for uri in DeltaTable(stored_table(workspace)).file_uris())
    connection.execute(
        f"""CREATE TEMP VIEW stored AS
        SELECT key, epoch_us(__event_timestamp) AS e, epoch_us(__created_timestamp) AS c, __sequence AS seq, {COLUMNS}
        FROM read_parquet([{files}])"""
    )
    return connection
