"""The rows of an interval of a view, computed from its source."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pyarrow as pa

from featurestore.dtypes import FLOAT_TYPES, Bool, DType, Int64, List, Timestamp, Vector
from featurestore.engines.duckdb.reading import read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Rows
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE


def extract_rows(cursor: duckdb.DuckDBPyConnection, plan: ExtractPlan) -> pa.RecordBatchReader:
    """Rows with `start_us <= event time < end_us`, with `in_force_at_start` also each key's last one before."""
    again = plan.excluding is not None or (plan.in_force_at_start and plan.start_us is not None)
    rows = view_rows(cursor, plan.rows, again=again)
    if plan.start_us is not None and plan.in_force_at_start:
        rows = rows.from_start(plan.start_us)
    rows = replace(rows, condition=_within(rows, plan))
    if plan.excluding is not None:
        others = view_rows(cursor, plan.excluding)
        rows = _without(rows, replace(others, condition=_within(others, plan)), plan.rows)
    values = listed([*canonical(rows), *(f"{sql} AS {quoted(name)}" for name, sql in rows.extra.items())])
    sql = f"SELECT {values} FROM {rows.table} WHERE {rows.condition} ORDER BY {listed(in_order(rows))}"
    return read(cursor, sql, rows.blame, canonical_types(plan.rows))


def _within(rows: ViewRows, plan: ExtractPlan) -> str:
    """SQL: whether a row lies within the bounds of the plan."""
    conditions = [f"({rows.condition})"]
    if plan.start_us is not None and not plan.in_force_at_start:
        conditions.append(rows.since(plan.start_us))
    if plan.end_us is not None:
        conditions.append(rows.before(plan.end_us))
    if plan.created_after_us is not None:
        conditions.append(f"{rows.created} > {plan.created_after_us}" if rows.created else "false")
    return " AND ".join(conditions)


def _without(rows: ViewRows, others: ViewRows, plan: Rows) -> ViewRows:
    """The rows that are more than the others of equal content: of equal ones the first as many as stand there go."""
    content, same = _content(rows, plan), _content(others, plan)
    names = [f"__c{place}" for place in range(len(content))]
    mine = listed(f"{sql} AS {name}" for sql, name in zip(content, names, strict=True))
    theirs = listed(f"{sql} AS {name}" for sql, name in zip(same, names, strict=True))
    nth = f"row_number() OVER (PARTITION BY {listed(names)} ORDER BY {rows.sequence}) AS __nth"
    equal = " AND ".join(f"r.{name} IS NOT DISTINCT FROM o.{name}" for name in names)
    return replace(
        rows,
        table=(
            f"(SELECT r.* FROM (SELECT *, {nth} FROM (SELECT *, {mine} FROM {rows.table} WHERE {rows.condition})) r "
            "LEFT JOIN "
            f"(SELECT {theirs}, count(*) AS __many FROM {others.table} WHERE {others.condition} GROUP BY ALL) o "
            f"ON {equal} WHERE r.__nth > coalesce(o.__many, 0))"
        ),
        condition="true",
    )


def _content(rows: ViewRows, plan: Rows) -> list[str]:
    """SQL of what makes a row what it is: keys, times, mark, columns, and the signs of floats, for -0.0 equals 0.0."""
    never = "CAST(NULL AS BIGINT)"
    times = [rows.event or never, rows.created or never, rows.deleted or "false"]
    signs = []
    for column in plan.columns:
        sql = rows.columns[column.name]
        match column.dtype:
            case List(inner=inner) | Vector(inner=inner) if inner.name in FLOAT_TYPES:
                signs.append(f"list_transform({sql}, lambda x: signbit(x) AND NOT isnan(x))")
            case dtype if dtype.name in FLOAT_TYPES:
                signs.append(f"(signbit({sql}) AND NOT isnan({sql}))")
    return [*rows.keys, *times, *rows.columns.values(), *signs]


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
