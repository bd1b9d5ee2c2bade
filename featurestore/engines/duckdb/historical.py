"""The point-in-time join.

The ASOF join sees keys and times only, and decides nothing but the event time that answers: rows that tie on it
are equal to it. The fetch then reads the columns of those (key, event time), and picks among ties by created time and
sequence. Two statements, since DuckDB would build the wrong side as one.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from featurestore.dtypes import duckdb_type, parse
from featurestore.engines.base import STATUS_SUFFIX
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.reading import read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.spine import SpineKeys
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.historical import PointInTimeJoin
from featurestore.timeline import Status

_SPINE = "__spine"


def join_columns(cursor: duckdb.DuckDBPyConnection, join: PointInTimeJoin, spine: SpineKeys) -> pa.RecordBatchReader:
    """The join's columns and its status, one row per spine row in the spine's order."""
    cursor.register(_SPINE, spine.table)
    rows = view_rows(cursor, join.rows, {column.column for column in join.columns})
    keys = _spine_key_sql(join, spine)
    with translated(rows.blame):
        if join.timeless:
            sql = _timeless(rows, keys, join)
        elif join.visibility == "created" and rows.created:
            sql = _by_created(cursor, rows, keys, join)
        else:
            sql = _by_event(cursor, rows, keys, join)
    types = [(column.name, column.dtype) for column in join.columns]
    return read(cursor, sql, rows.blame, [*types, (join.label + STATUS_SUFFIX, parse("Int8"))])


def _spine_key_sql(join: PointInTimeJoin, spine: SpineKeys) -> list[str]:
    """The spine's key in the order and types of the view's; a value outside the type equals no key, so it is null."""
    columns = dict(join.keys)
    pairs = [((columns[key.name], key.dtype), key.dtype) for key in join.rows.keys]
    return [f"TRY_CAST({spine.columns[pair]} AS {duckdb_type(dtype)})" for pair, dtype in pairs]


def _by_event(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, keys: list[str], join: PointInTimeJoin) -> str:
    event = [f"{key} AS k{place}" for place, key in enumerate(rows.keys)]
    cursor.execute(
        f"CREATE TEMP TABLE __winner AS SELECT s.*, r.e, {_age_status('r.e', join.ttl_us)} AS status "
        f"FROM ({_thin_spine(keys)}) s "
        f"ASOF LEFT JOIN (SELECT {listed([*event, f'{rows.event} AS e'])} FROM {rows.table} WHERE {rows.condition}) r "
        f"ON {_equal(len(keys), 's', 'r', f's.t - {join.delay_us} >= r.e')}"
    )
    return _fetch(rows, join, "v.e = w.e")


def _by_created(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, keys: list[str], join: PointInTimeJoin) -> str:
    """The step function first: at each instant where a row becomes visible, the greatest rank visible by then."""
    names = [f"k{place}" for place in range(len(keys))]
    known = f"{rows.event} + {join.delay_us}"
    by_key = f"PARTITION BY {listed(rows.keys)} " if keys else ""
    columns = [f"{key} AS {name}" for key, name in zip(rows.keys, names, strict=True)]
    cursor.execute(
        f"CREATE TEMP TABLE __ranked AS SELECT {listed([*columns, f'{rows.event} AS e', f'{rows.sequence} AS s'])}, "
        f"greatest({known}, coalesce({rows.created}, {known})) AS v, "
        f"row_number() OVER ({by_key}ORDER BY {listed(rows.order)}) AS rank FROM {rows.table} WHERE {rows.condition}"
    )
    running = f"max(rank) OVER ({f'PARTITION BY {listed(names)} ' if names else ''}ORDER BY v) AS best"
    cursor.execute(
        f"CREATE TEMP TABLE __winner AS SELECT s.*, b.e, b.s, {_age_status('b.e', join.ttl_us)} AS status "
        f"FROM (SELECT s.*, r.best FROM ({_thin_spine(keys)}) s "
        f"ASOF LEFT JOIN (SELECT {listed([*names, 'v', running])} FROM __ranked) r "
        f"ON {_equal(len(keys), 's', 'r', 's.t >= r.v')}) s "
        f"LEFT JOIN __ranked b ON {_equal(len(keys), 's', 'b', 's.best = b.rank')}"
    )
    return _fetch(rows, join, "v.s = w.s")


def _timeless(rows: ViewRows, keys: list[str], join: PointInTimeJoin) -> str:
    status = f"CAST(CASE WHEN v.s IS NULL THEN {Status.NOT_FOUND:d} ELSE {Status.PRESENT:d} END AS TINYINT)"
    matching = _equal(len(keys), "v", "w", "true")
    return _picked(rows, join, f"({_thin_spine(keys)}) w", matching, status)


def _fetch(rows: ViewRows, join: PointInTimeJoin, chosen: str) -> str:
    keys = len(rows.keys)
    matching = _equal(keys, "v", "w", f"{chosen} AND w.status = {Status.PRESENT:d}")
    return _picked(rows, join, "__winner w", matching, "w.status")


def _picked(rows: ViewRows, join: PointInTimeJoin, winners: str, matching: str, status: str) -> str:
    """The columns of the matching rows, of ties the greatest, in the spine's order."""
    keys = [f"{key} AS k{place}" for place, key in enumerate(rows.keys)]
    values = {column.column: f"c{place}" for place, column in enumerate(join.columns)}
    columns = [f"{rows.columns[column]} AS {name}" for column, name in values.items()]
    times = [f"{sql} AS {name}" for sql, name in ((rows.event, "e"), (rows.created, "c")) if sql]
    view = listed([*keys, *times, f"{rows.sequence} AS s", *columns])
    order = listed([*(["v.c DESC NULLS LAST"] if rows.created else []), "v.s DESC"])
    output = [f"v.{values[column.column]} AS {quoted(column.name)}" for column in join.columns]
    return (
        f"SELECT {listed([*output, f'{status} AS {quoted(join.label + STATUS_SUFFIX)}'])} "
        f"FROM (SELECT {view} FROM {rows.table} WHERE {rows.condition}) v RIGHT JOIN {winners} ON {matching} "
        f"QUALIFY row_number() OVER (PARTITION BY w.__row ORDER BY {order}) = 1 ORDER BY w.__row"
    )


def _thin_spine(keys: list[str]) -> str:
    columns = ["__row", "__at AS t", *(f"{key} AS k{place}" for place, key in enumerate(keys))]
    return f"SELECT {listed(columns)} FROM {_SPINE}"


def _equal(keys: int, one: str, other: str, also: str) -> str:
    return " AND ".join([*(f"{one}.k{place} = {other}.k{place}" for place in range(keys)), also])


def _age_status(event: str, ttl_us: int | None) -> str:
    expired = "" if ttl_us is None else f"WHEN s.t - {event} > {ttl_us} THEN {Status.OUTSIDE_MAX_AGE:d} "
    cases = f"WHEN {event} IS NULL THEN {Status.NOT_FOUND:d} {expired}ELSE {Status.PRESENT:d}"
    return f"CAST(CASE {cases} END AS TINYINT)"
