"""Read the columns that every contestant must read, and nothing more."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks.measure import measured


def main() -> None:
    """Arguments: workspace, threads."""
    events, threads = Path(sys.argv[1]) / "inputs" / "events.parquet", int(sys.argv[2])
    connection = duckdb.connect(config={"threads": threads})
    query = "SELECT sum(hash(key)), sum(epoch_us(happened)), sum(amount) FROM read_parquet($events)"
    measured(lambda: connection.execute(query, {"events": str(events)}).fetchall())


if __name__ == "__main__":
    main()
