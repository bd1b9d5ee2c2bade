"""The point-in-time join, in three statements, since DuckDB would build the wrong sides as one.

1. The spine's distinct keys get a number: it filters the view's rows, and makes one int64 of any key.
2. The ASOF join sees numbers and times only, and decides nothing but the event time that answers: rows that tie on it
   are equal to it, so it does not matter which of them it picks.
3. The fetch reads the columns of those (key, event time), ordered by spine row; of tied rows, which then follow each
   other, the one with the greatest created time and sequence comes first and is kept.

With visibility "created" a row is visible from v = max(event time + delay, created time). The greatest event time
among the rows visible at t is a running maximum in the order of v; rows of one v are peers in it. Where markers cancel
rows, `deletions` says which event time answers; the greatest of its rows is then no marker.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import duckdb_type, parse
from featurestore.engines.base import STATUS_SUFFIX
from featurestore.engines.duckdb.deletions import ranks, standing
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.reading import first_of_each, read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.spine import SpineKeys
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.nodes import Column, Computed
from featurestore.timeline import Status

_SPINE = "__spine"


def join_columns(cursor: duckdb.DuckDBPyConnection, join: PointInTimeJoin, spine: SpineKeys) -> pa.RecordBatchReader:
    """The join's columns and its status, one row per spine row in the spine's order."""
    cursor.register(_SPINE, spine.table)
    rows = view_rows(cursor, join.rows, {column.column for column in join.columns})
    with translated(rows.blame):
        number_keys(cursor, join.keys, join.rows.keys, spine)
        if join.timeless:
            sql = _timeless(rows, join)
        else:
            latest = pc.max(spine.table.column("__at")).as_py()
            sql = _timed(cursor, rows, join, latest)
    types = [(column.name, column.dtype) for column in join.columns]
    return first_of_each(read(cursor, sql, rows.blame, [*types, (join.label + STATUS_SUFFIX, parse("Int8"))]))


def number_keys(
    cursor: duckdb.DuckDBPyConnection,
    named: tuple[tuple[str, str], ...],
    row_keys: tuple[Column | Computed, ...],
    spine: SpineKeys,
) -> None:
    """Make the tables `__ids`, the spine's distinct keys, numbered, and `__asked`, the spine's rows with that number.

    A value outside the type of the view's key equals none of its keys, so it becomes null, which matches nothing; the
    number of such a row is null.
    """
    columns = dict(named)
    pairs = [((columns[key.name], key.dtype), duckdb_type(key.dtype)) for key in row_keys]
    names = [f"k{place}" for place in range(len(pairs))]
    keys = [
        f"TRY_CAST({spine.columns[pair]} AS {dtype}) AS {name}"
        for (pair, dtype), name in zip(pairs, names, strict=True)
    ]
    asked = f"(SELECT {listed(['__row', '__at AS t', *keys])} FROM {_SPINE})"
    known = " AND ".join([*(f"{name} IS NOT NULL" for name in names), "true"])
    distinct = f"SELECT DISTINCT {listed([*names, 'true AS one'])} FROM {asked} WHERE {known}"
    cursor.execute(f"CREATE TEMP TABLE __ids AS SELECT *, row_number() OVER () AS id FROM ({distinct})")
    cursor.execute(
        f"CREATE TEMP TABLE __asked AS SELECT a.*, i.id FROM {asked} a "
        f"LEFT JOIN __ids i ON {equal_keys(len(row_keys), 'a', 'i')}"
    )


def number_all_keys(cursor: duckdb.DuckDBPyConnection, rows: ViewRows) -> None:
    """Make `__ids` of all keys, numbered in their order."""
    keys = listed([*key_columns(rows), "true AS one"])
    names = listed([*(f"k{place}" for place in range(len(rows.keys))), "one"])
    distinct = f"SELECT DISTINCT {keys} FROM {rows.table} WHERE {rows.condition}"
    cursor.execute(f"CREATE TEMP TABLE __ids AS SELECT *, row_number() OVER (ORDER BY {names}) AS id FROM ({distinct})")


def visible_steps(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, join: PointInTimeJoin, latest: int | None) -> str:
    """A query of (id, v, e), some of them twice: from v on until the id's next v the event time e answers.

    Of the keys in `__ids`, of rows with event times that are seen at `latest` (None: of all). Where markers cancel rows
    it tells what stands for good, as `standing` does.
    """
    created = rows.created if join.visibility == "created" else None
    conditions = [rows.condition]
    if latest is not None:
        conditions.append(rows.until(latest - join.delay_us))
    known = f"v.e + {join.delay_us}"
    seen = f"greatest({known}, coalesce(v.c, {known}))" if created else known
    times = ranks(rows) if rows.deleted else [f"{created} AS c"] if created else []
    columns = listed([*key_columns(rows), f"{rows.event} AS e", *times])
    told = listed(["i.id", "v.e", f"{seen} AS v", *(("v.c", "v.s", "v.d") if rows.deleted else ())])
    steps = (
        f"SELECT {told} FROM (SELECT {columns} FROM {rows.table} WHERE {' AND '.join(conditions)}) v "
        f"JOIN __ids i ON {equal_keys(len(join.keys), 'v', 'i')}"
    )
    if rows.deleted:
        return standing(cursor, steps)
    if created:
        return f"SELECT id, v, max(e) OVER (PARTITION BY id ORDER BY v) AS e FROM ({steps})"
    return steps


def _timed(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, join: PointInTimeJoin, latest: int | None) -> str:
    steps = visible_steps(cursor, rows, join, latest)
    event, passing = "r.e", ""
    if rows.deleted:
        event, passing = "greatest(r.e, p.e)", " ASOF LEFT JOIN __instants p ON s.id = p.id AND s.t >= p.v"
    expired = "" if join.ttl_us is None else f"WHEN s.t - {event} > {join.ttl_us} THEN {Status.OUTSIDE_MAX_AGE:d} "
    status = f"CASE WHEN {event} IS NULL THEN {Status.NOT_FOUND:d} {expired}ELSE {Status.PRESENT:d} END"
    cursor.execute(
        f"CREATE TEMP TABLE __winner AS SELECT s.*, {event} AS e, CAST({status} AS TINYINT) AS status "
        f"FROM __asked s ASOF LEFT JOIN ({steps}) r ON s.id = r.id AND s.t >= r.v{passing}"
    )
    matching = f"{answers_winner(rows, join)} AND w.status = {Status.PRESENT:d}"
    return picked(rows, join, "__winner", matching, [f"w.status AS {quoted(join.label + STATUS_SUFFIX)}"])


def answers_winner(rows: ViewRows, join: PointInTimeJoin) -> str:
    """SQL: whether a row `v` has the key and event time of a winner `w`, and is visible at its instant `t`."""
    matching = f"{equal_keys(len(join.keys), 'v', 'w')} AND v.e = w.e"
    return f"{matching} AND coalesce(v.c, w.t) <= w.t" if join.visibility == "created" and rows.created else matching


def _timeless(rows: ViewRows, join: PointInTimeJoin) -> str:
    status = f"CAST(CASE WHEN v.s IS NULL THEN {Status.NOT_FOUND:d} ELSE {Status.PRESENT:d} END AS TINYINT)"
    told = [f"{status} AS {quoted(join.label + STATUS_SUFFIX)}"]
    return picked(rows, join, "__asked", equal_keys(len(join.keys), "v", "w"), told)


def picked(rows: ViewRows, join: PointInTimeJoin, winners: str, matching: str, told: Sequence[str]) -> str:
    """The row number of each winner `w`, the columns of the matching rows `v`, and what else is told of both.

    In the order of the winners; of ties the greatest first.
    """
    values = {column.column: f"c{place}" for place, column in enumerate(join.columns)}
    columns = [f"{rows.columns[column]} AS {name}" for column, name in values.items()]
    times = [f"{sql} AS {name}" for sql, name in ((rows.event, "e"), (rows.created, "c")) if sql]
    view = listed([*key_columns(rows), *times, f"{rows.sequence} AS s", *columns])
    order = listed(["w.__row", *(["v.c DESC NULLS LAST"] if rows.created else []), "v.s DESC"])
    output = [f"v.{values[column.column]} AS {quoted(column.name)}" for column in join.columns]
    return (
        f"SELECT {listed(['w.__row', *output, *told])} "
        f"FROM (SELECT {view} FROM {rows.table} WHERE {rows.condition}) v "
        f"RIGHT JOIN {winners} w ON {matching} ORDER BY {order}"
    )


def key_columns(rows: ViewRows) -> list[str]:
    """SQL of a view's keys under the names `k0` ..."""
    return [f"{key} AS k{place}" for place, key in enumerate(rows.keys)]


def equal_keys(count: int, one: str, other: str) -> str:
    """SQL: whether the numbered key columns `k0` ... of two tables are equal."""
    return " AND ".join([f"{one}.k{place} = {other}.k{place}" for place in range(count)]) or "true"
