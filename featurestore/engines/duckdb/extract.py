"""The rows of an interval of a view, computed from its source."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from featurestore.dtypes import Bool, DType, Int64, Timestamp
from featurestore.engines.duckdb.reading import read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Rows
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE


def extract_rows(cursor: duckdb.DuckDBPyConnection, plan: ExtractPlan) -> pa.RecordBatchReader:
    """Rows with `start_us <= event time < end_us`, with `in_force_at_start` also each key's last one before."""
    rows = view_rows(cursor, plan.rows, again=plan.in_force_at_start and plan.start_us is not None)
    if plan.start_us is not None and plan.in_force_at_start:
        rows = rows.from_start(plan.start_us)
    conditions = [f"({rows.condition})"]
    if plan.start_us is not None and not plan.in_force_at_start:
        conditions.append(rows.since(plan.start_us))
    if plan.end_us is not None:
        conditions.append(rows.before(plan.end_us))
    values = listed([*canonical(rows), *(f"{sql} AS {quoted(name)}" for name, sql in rows.extra.items())])
    sql = f"SELECT {values} FROM {rows.table} WHERE {' AND '.join(conditions)} ORDER BY {listed(in_order(rows))}"
    return read(cursor, sql, rows.blame, canonical_types(plan.rows))


def canonical(rows: ViewRows, sequence: bool = True) -> list[str]:
    """SQL of the canonical columns under their names: keys, times, sequence, marker, columns in their logical types."""
    times = {EVENT_TIMESTAMP: rows.event, CREATED_TIMESTAMP: rows.created}
    null = "CAST(NULL AS TIMESTAMPTZ)"
    return [
        *(f"{sql} AS {quoted(name)}" for name, sql in zip(rows.names, rows.keys, strict=True)),
        *(f"{f'make_timestamptz({sql})' if sql else null} AS {quoted(name)}" for name, sql in times.items()),
        *([f"CAST({rows.sequence} AS BIGINT) AS {quoted(SEQUENCE)}"] if sequence else []),
        *([f"{rows.deleted} AS {quoted(DELETED)}"] if rows.deleted else []),
        *(f"{sql} AS {quoted(name)}" for name, sql in rows.columns.items()),
    ]


def canonical_types(rows: Rows) -> list[tuple[str, DType]]:
    """Names and logical types of the canonical columns."""
    times = [(EVENT_TIMESTAMP, Timestamp), (CREATED_TIMESTAMP, Timestamp), (SEQUENCE, Int64)]
    marker = [(DELETED, Bool)] if rows.deleted else []
    return [*((c.name, c.dtype) for c in rows.keys), *times, *marker, *((c.name, c.dtype) for c in rows.columns)]


def in_order(rows: ViewRows) -> list[str]:
    """What results are ordered by: key with nulls lowest, event time, created time with null lowest, sequence."""
    return [*(f"{key} NULLS FIRST" for key in rows.keys), *rows.order]
