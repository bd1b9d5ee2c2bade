"""The rows of a view that are in force at an instant or later: what is published online.

By event time the answer is simple: each key's greatest event time known at the instant, and each that becomes known
later; of rows that tie on (key, event time) the greatest. So only keys and times are read and grouped, and columns are
fetched for the answer alone.

With visibility "created" a row becomes visible at v = max(event time + delay, created time). At the instant asked for,
or when it becomes visible later, it is in force when no row of its key that is visible then has a greater rank: a
running maximum of ranks in the order of visibility. Where markers cancel rows, `deletions` says which are in force.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from featurestore.engines.duckdb.chosen import choose_keys, followed, gone_rows, keys_in, keys_without
from featurestore.engines.duckdb.deletions import published, ranks
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.extract import canonical, canonical_types, in_order
from featurestore.engines.duckdb.historical import key_columns
from featurestore.engines.duckdb.reading import first_of_each, read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.text import listed
from featurestore.plan.materialization import CurrentPlan
from featurestore.timeline import SEQUENCE


def current_rows(cursor: duckdb.DuckDBPyConnection, plan: CurrentPlan) -> pa.RecordBatchReader:
    """What is in force at some instant at or after `at_us`, as CurrentPlan says; without the sequence."""
    rows = view_rows(cursor, plan.rows)
    types = [column for column in canonical_types(plan.rows) if column[0] != SEQUENCE]
    with translated(rows.blame):
        asked = choose_keys(cursor, rows, _wanted(cursor, rows, plan)) if plan.is_partial else rows
        answer = _answer(cursor, rows, asked, plan)
        gone = keys_without(cursor, rows, answer.keys) if plan.is_partial else None
    found = read(cursor, answer.sql, rows.blame, types)
    if answer.tied:
        found = first_of_each(found)
    return found if gone is None else followed(found, gone_rows(gone, rows, found.schema))


def _wanted(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, plan: CurrentPlan) -> list[str]:
    """Queries of the keys that are asked for."""
    wanted = [] if plan.only is None else [keys_in(cursor, plan.only, rows.names)]
    if plan.changed_since_us is not None:
        keys = listed([*key_columns(rows), "true AS one"])
        wanted.append(f"SELECT {keys} FROM {rows.table} WHERE {rows.since(plan.changed_since_us)}")
    return wanted


@dataclass(frozen=True, slots=True)
class _Answer:
    """A query of the answer, and one of its keys `k0` ...; `tied`: a number comes first, whose first row counts."""

    sql: str
    keys: str
    tied: bool = False


def _answer(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, asked: ViewRows, plan: CurrentPlan) -> _Answer:
    """The answer from `asked`, those of the view's rows whose keys are asked for."""
    columns = listed(canonical(rows, sequence=False))
    order = listed(in_order(rows))
    keys = f"SELECT {listed([*key_columns(rows), 'true AS one'])} FROM {asked.table}"
    if plan.rows.timeless:
        return _Answer(f"SELECT {columns} FROM {asked.table} ORDER BY {order}", keys)
    if rows.deleted:
        chosen = f"{rows.sequence} IN ({_by_markers(cursor, asked, plan)})"
        keys = "SELECT * EXCLUDE (id) FROM __ids SEMI JOIN __answers USING (id)"
        return _Answer(f"SELECT {columns} FROM {rows.table} WHERE {chosen} ORDER BY {order}", keys)
    if plan.visibility == "created" and rows.created:
        chosen = f"{rows.sequence} IN ({_by_created(asked, plan)})"
        return _Answer(f"SELECT {columns} FROM {rows.table} WHERE {chosen} ORDER BY {order}", keys)
    cursor.execute(f"CREATE TEMP TABLE __steps AS SELECT *, row_number() OVER () AS step FROM ({_steps(asked, plan)})")
    first = listed([*(f"{key} NULLS FIRST" for key in rows.keys), "w.event", "w.step", rows.latest_first])
    sql = f"SELECT w.step, {columns} FROM {rows.table} JOIN __steps w ON {_is_step(rows)} ORDER BY {first}"
    return _Answer(sql, "FROM __steps", tied=True)


def _steps(rows: ViewRows, plan: CurrentPlan) -> str:
    """The (key, event time) pairs of the answer."""
    keys = [f"k{place}" for place in range(len(rows.keys))]
    known_us = plan.at_us - plan.delay_us
    grouped = f"GROUP BY {listed(keys)}" if keys else "HAVING count(*) > 0"
    table = f"(SELECT {listed([*key_columns(rows), f'{rows.event} AS event'])} FROM {rows.table}"
    return (
        f"SELECT {listed([*keys, 'max(event) AS event'])} FROM {table} WHERE {rows.until(known_us)}) {grouped} "
        f"UNION ALL SELECT DISTINCT {listed([*keys, 'event'])} FROM {table} WHERE NOT {rows.until(known_us)})"
    )


def _is_step(rows: ViewRows) -> str:
    keys = [f"{key} IS NOT DISTINCT FROM w.k{place}" for place, key in enumerate(rows.keys)]
    return " AND ".join([*keys, f"{rows.event} = w.event"])


def _by_markers(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, plan: CurrentPlan) -> str:
    """The sequences of the answer where markers cancel rows."""
    distinct = f"SELECT DISTINCT {listed([*key_columns(rows), 'true AS one'])} FROM {rows.table}"
    cursor.execute(f"CREATE TEMP TABLE __ids AS SELECT *, row_number() OVER () AS id FROM ({distinct})")
    same = [f"v.k{place} IS NOT DISTINCT FROM i.k{place}" for place in range(len(rows.keys))]
    created = "v.c, " if plan.visibility == "created" else ""
    told = listed([*key_columns(rows), f"{rows.event} AS e", *ranks(rows)])
    return published(
        cursor,
        f"SELECT i.id, v.e, v.c, v.s, v.d, greatest(v.e + {plan.delay_us}, {created}{plan.at_us}) AS v "
        f"FROM (SELECT {told} FROM {rows.table}) v JOIN __ids i ON {' AND '.join([*same, 'i.one'])}",
    )


def _by_created(rows: ViewRows, plan: CurrentPlan) -> str:
    """The sequences of the answer."""
    known = f"{rows.event} + {plan.delay_us}"
    keys = [f"k{place}" for place in range(len(rows.keys))]
    by_key = f"PARTITION BY {listed(keys)} " if keys else ""
    by_source_key = f"PARTITION BY {listed(rows.keys)} " if keys else ""
    ranked = (
        f"SELECT {listed([*key_columns(rows), f'{rows.sequence} AS s'])}, "
        f"greatest({known}, {rows.created}, {plan.at_us}) AS v, "
        f"row_number() OVER ({by_source_key}ORDER BY {listed(rows.order)}) AS rank FROM {rows.table}"
    )
    return f"SELECT s FROM ({ranked}) QUALIFY rank = max(rank) OVER ({by_key}ORDER BY v)"
