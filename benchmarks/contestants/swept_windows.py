"""The integer sweep from the same files: DuckDB reads and sorts, one compiled pass per window; sums of cents."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.measure import measured
from benchmarks.windows_kernel import Input, make_input, run_sweep
from featurestore.windows.spec import WindowEvents, WindowPoints


def main() -> None:
    """Arguments: workspace, threads. Compiling does not count: a small input is swept before."""
    inputs, threads = Path(sys.argv[1]) / "inputs", int(sys.argv[2])
    run_sweep(make_input(1_000, 10, 100))
    connection = duckdb.connect(config={"threads": threads})
    measured(lambda: run_sweep(read(connection, inputs)))


def read(connection: duckdb.DuckDBPyConnection, inputs: Path) -> Input:
    """Events and points, sorted by entity and time."""
    cents = "CAST(round(amount * 100) AS BIGINT)"
    events = connection.sql(
        f"SELECT key, epoch_us(happened) AS instant, {cents} AS cents FROM '{inputs}/events.parquet' "
        "ORDER BY key, instant"
    ).to_arrow_table()
    points = connection.sql(
        f"SELECT key, epoch_us(event_timestamp) AS instant FROM '{inputs}/spine.parquet' ORDER BY key, instant"
    ).to_arrow_table()
    key, instants, values = (events.column(name).to_numpy() for name in ("key", "instant", "cents"))
    sorted_events = WindowEvents(key, instants, (pa.array(values),))
    return Input(
        sorted_events, WindowPoints(*(points.column(n).to_numpy() for n in ("key", "instant"))), np.asarray(values)
    )


if __name__ == "__main__":
    main()
