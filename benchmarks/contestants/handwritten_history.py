"""The fastest exact point-in-time query we know for DuckDB 2.0, written by hand for this one question.

The ASOF join sees keys and times only, and decides which event time answers; rows that tie on it are equal to it. The
fetch reads the columns of those (key, event time), and picks among ties. As one statement DuckDB would build its hash
tables from the large side. A plain ASOF join with all columns is slower, and picks ties at random; one ordered by a
struct of event time, created time and sequence is exact and slower still.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contestants.history_files import COLUMNS, connect
from benchmarks.measure import measured


def main() -> None:
    """Arguments: workspace, threads, output file."""
    workspace, threads, output = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    measured(lambda: query(workspace, threads, output))


def query(workspace: Path, threads: int, output: str) -> None:
    """Write the spine with its features, in the spine's order."""
    connection = connect(workspace, threads)
    connection.execute(
        f"""CREATE TEMP TABLE winner AS
        SELECT s.*, r.e
        FROM (SELECT *, file_row_number AS place FROM read_parquet('{workspace}/inputs/spine.parquet')) s
        ASOF LEFT JOIN (SELECT key, e FROM stored) r ON s.key = r.key AND epoch_us(s.event_timestamp) >= r.e"""
    )
    connection.execute(
        f"""COPY (
            SELECT w.* EXCLUDE (place, e), {COLUMNS}
            FROM stored v RIGHT JOIN winner w ON v.key = w.key AND v.e = w.e
            QUALIFY row_number() OVER (PARTITION BY place ORDER BY c DESC NULLS LAST, seq DESC) = 1
            ORDER BY place
        ) TO '{output}' (FORMAT parquet)"""
    )


if __name__ == "__main__":
    main()
