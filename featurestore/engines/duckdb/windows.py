"""Windowed values: DuckDB reads and sorts events and points, the kernel computes, DuckDB's order is kept.

Points are the distinct (key, v) that are asked for; keys are numbered, so that the kernel sees int64 only. Whether a
key has an event before v is asked of all events; the kernel gets only those that the windows reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import arrow_type
from featurestore.dtypes import Timestamp
from featurestore.engines.base import STATUS_SUFFIX
from featurestore.engines.duckdb.chosen import gone_rows, keys_in
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.historical import equal_keys, key_columns, number_keys
from featurestore.engines.duckdb.reading import BATCH_ROWS, read
from featurestore.engines.duckdb.rows import ViewRows, view_rows
from featurestore.engines.duckdb.scan import relation
from featurestore.engines.duckdb.spine import SpineKeys
from featurestore.engines.duckdb.text import listed, quoted
from featurestore.plan.nodes import ViewScan
from featurestore.plan.windows import CurrentWindowsPlan, WindowAggregate, WindowJoin, WindowSteps
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Status, floor_to_grid
from featurestore.windows.kernel import compute
from featurestore.windows.spec import WindowEvents, WindowPoints, WindowSpec

_SPINE = "__spine"
_EARLIEST = -(2**62)  # created time of an event that has none: known at once


def window_columns(cursor: duckdb.DuckDBPyConnection, join: WindowJoin, spine: SpineKeys) -> pa.RecordBatchReader:
    """The join's columns and its status, one row per spine row in the spine's order."""
    cursor.register(_SPINE, spine.table)
    steps = join.steps
    rows = event_rows(cursor, steps)
    with translated(rows.blame):
        number_keys(cursor, join.keys, join.rows.keys, spine)
        make_events(cursor, steps, rows)
        _make_steps(cursor, join)
        make_points(cursor, f"SELECT DISTINCT id, v FROM __steps WHERE status = {Status.PRESENT:d}")
        values = _values(cursor, steps)
        answers = cursor.sql(
            "SELECT p.point, s.status FROM __steps s "
            f"LEFT JOIN __points p ON s.id = p.id AND s.v = p.v AND s.status = {Status.PRESENT:d} ORDER BY s.__row"
        ).to_arrow_table()
    columns = {name: value.take(answers.column("point")) for name, value in zip(join.names, values, strict=True)}
    columns[join.label + STATUS_SUFFIX] = answers.column("status")
    return pa.table(columns).to_reader(max_chunksize=BATCH_ROWS)


def current_windows(cursor: duckdb.DuckDBPyConnection, plan: CurrentWindowsPlan) -> pa.RecordBatchReader:
    """Keys, v and values of every step in force at some instant at or after `at_us`; ordered by key, then v."""
    steps = plan.steps
    first, last = steps.step_at(plan.at_us), _last_step(steps)
    rows = event_rows(cursor, steps)
    since = _memory_since(plan)
    forgetful = steps.reach_us is not None and not _re_sent_or_hidden(steps)
    if since is not None and plan.only is None and first == last and forgetful:
        rows = rows.events_from(since)  # whoever changed has an event from there on, and no window reaches further
    with translated(rows.blame):
        _number_keys(cursor, rows, _changed(rows, plan, last), _asked_keys(cursor, rows, plan))
        make_events(cursor, steps, _sent_by_numbered(rows, steps) if plan.is_partial else rows)
        grid = f"range({first}, {last + 1}, {steps.every_us})" if steps.every_us else f"[{last}]"
        make_points(cursor, f"SELECT s.id, g.v FROM __seen s JOIN (SELECT unnest({grid}) AS v) g ON s.since <= g.v")
        table = keyed_values(cursor, steps, rows, EVENT_TIMESTAMP)
        names = listed([*(f"k{place} NULLS FIRST" for place in range(len(rows.keys))), "one"])
        gone = cursor.sql(f"FROM __ids WHERE asked AND id NOT IN (SELECT id FROM __points) ORDER BY {names}")
        table = pa.concat_tables([table, gone_rows(gone.to_arrow_table(), rows, table.schema)])
    created = pa.nulls(table.num_rows, arrow_type(Timestamp))
    return table.add_column(len(rows.keys) + 1, CREATED_TIMESTAMP, created).to_reader(max_chunksize=BATCH_ROWS)


def step_rows(cursor: duckdb.DuckDBPyConnection, scan: ViewScan) -> pa.Table:
    """A row for each key and v at which a window holds an event: keys, `event_timestamp` (v + delay), aggregates.

    An event lies in a window from the first v after event time + offset to the last one up to its reach.
    """
    steps = scan.steps
    every = steps.every_us
    assert every is not None  # who has no grid has no steps
    spans = dict.fromkeys((aggregate.offset_us, aggregate.reach_us) for aggregate in steps.aggregates)
    rows = event_rows(cursor, steps)
    with translated(rows.blame):
        _number_keys(cursor, rows, "true")
        make_events(cursor, steps, rows)
        first = [grid_sql(f"(e + {offset})", every) for offset, _ in spans]
        held = [
            f"SELECT id, unnest(range({before} + {every}, e + {reach} + 1, {every})) AS v, c FROM __events"
            for before, (_, reach) in zip(first, spans, strict=True)
        ]
        known = f"v >= c - {steps.delay_us}" if steps.visibility == "created" else "true"
        make_points(cursor, f"SELECT DISTINCT id, v FROM ({' UNION ALL '.join(held)}) WHERE {known}")
        return keyed_values(cursor, steps, rows, "event_timestamp", steps.delay_us)


def _number_keys(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, condition: str, asked: Sequence[str] = ()) -> None:
    """Make `__ids` of the keys that have a row of that condition or stand in a query `asked`, numbered in order."""
    keys = listed([*key_columns(rows), "true AS one", "false AS asked"])
    names = listed([*(f"k{place}" for place in range(len(rows.keys))), "one"])
    found = [f"SELECT DISTINCT {keys} FROM {rows.table} WHERE {rows.condition} AND {condition}"]
    found += [f"SELECT DISTINCT *, true AS asked FROM ({query})" for query in asked]
    distinct = f"SELECT {names}, bool_or(asked) AS asked FROM ({' UNION ALL '.join(found)}) GROUP BY {names}"
    cursor.execute(f"CREATE TEMP TABLE __ids AS SELECT *, row_number() OVER (ORDER BY {names}) AS id FROM ({distinct})")


def _asked_keys(cursor: duckdb.DuckDBPyConnection, rows: ViewRows, plan: CurrentWindowsPlan) -> list[str]:
    """Queries of the keys that stand in `only`, and of those that sent an event which stands there."""
    if plan.only is None:
        return []
    asked = [keys_in(cursor, plan.only, rows.names)]
    event_id = plan.steps.event_id
    if event_id is not None:
        sent = f"SELECT {quoted(event_id)} FROM {relation(cursor, plan.only).table}"
        keys = listed([*key_columns(rows), "true AS one"])
        asked.append(f"SELECT {keys} FROM {rows.table} WHERE {rows.condition} AND {rows.columns[event_id]} IN ({sent})")
    return asked


def _sent_by_numbered(rows: ViewRows, steps: WindowSteps) -> ViewRows:
    """The rows that decide which events the numbered keys have: of other keys those that they sent too."""
    if steps.event_id is None:
        return rows
    sent = rows.columns[steps.event_id]
    same = " AND ".join([*(f"{key} = i.k{place}" for place, key in enumerate(rows.keys)), "i.one"])
    mine = f"SELECT {sent} FROM {rows.table} SEMI JOIN __ids i ON {same} WHERE {rows.condition}"
    return replace(rows, condition=f"({rows.condition}) AND ({sent} IS NULL OR {sent} IN ({mine}))")


def _make_steps(cursor: duckdb.DuckDBPyConnection, join: WindowJoin) -> None:
    """Make `__steps`, the spine's rows with the key's number, v and the status there."""
    expired = "" if join.ttl_us is None else f"WHEN t - v > {join.ttl_us} THEN {Status.OUTSIDE_MAX_AGE:d} "
    unseen = f"WHEN (since <= v) IS NOT TRUE THEN {Status.NOT_FOUND:d}"
    asked = (
        f"SELECT a.__row, a.id, a.t, s.since, {_step_sql(join.steps, 'a.t')} AS v "
        "FROM __asked a LEFT JOIN __seen s ON a.id = s.id"
    )
    cursor.execute(
        "CREATE TEMP TABLE __steps AS SELECT __row, id, v, "
        f"CAST(CASE {unseen} {expired}ELSE {Status.PRESENT:d} END AS TINYINT) AS status FROM ({asked})"
    )


def make_points(cursor: duckdb.DuckDBPyConnection, asked: str) -> None:
    """Make `__points`, the asked (id, v) in their order with their places."""
    cursor.execute(
        f"CREATE TEMP TABLE __points AS SELECT row_number() OVER (ORDER BY id, v) - 1 AS point, * FROM ({asked})"
    )


def keyed_values(
    cursor: duckdb.DuckDBPyConnection, steps: WindowSteps, rows: ViewRows, time: str, later_us: int = 0
) -> pa.Table:
    """Keys, v (plus `later_us`) as the column `time`, and aggregates of all points, in their order."""
    shown = [f"i.k{place} AS {quoted(name)}" for place, name in enumerate(rows.names)]
    instants = f"make_timestamptz(p.v + {later_us}) AS {quoted(time)}"
    sql = f"SELECT {listed([*shown, instants])} FROM __points p JOIN __ids i ON p.id = i.id ORDER BY p.point"
    types = [*((key.name, key.dtype) for key in steps.rows.keys), (time, Timestamp)]
    table = read(cursor, sql, rows.what, types).read_all()
    for aggregate, value in zip(steps.aggregates, _values(cursor, steps), strict=True):
        table = table.append_column(aggregate.name, value)
    return table


def event_rows(cursor: duckdb.DuckDBPyConnection, steps: WindowSteps) -> ViewRows:
    wanted = {name for a in steps.aggregates for name in (a.value, a.mask, a.under) if name is not None}
    return view_rows(cursor, steps.rows, {*wanted, *([steps.event_id] if steps.event_id else [])})


def _step_sql(steps: WindowSteps, at: str) -> str:
    """v for an instant, as `WindowSteps.step_at` has it."""
    bounded = f"({at} - {steps.delay_us})"
    if steps.watermark_us is not None:
        bounded = f"least({bounded}, {steps.watermark_us})"
    if steps.every_us is None:
        return bounded
    return grid_sql(bounded, steps.every_us)


def grid_sql(micros: str, every: int) -> str:
    """The last grid instant up to one, also before 1970, where DuckDB's remainder is negative."""
    return f"({micros} - ({micros} % {every} + {every}) % {every})"


def _last_step(steps: WindowSteps) -> int:
    assert steps.watermark_us is not None  # what is published is committed
    return steps.watermark_us if steps.every_us is None else floor_to_grid(steps.watermark_us, steps.every_us)


def _changed(rows: ViewRows, plan: CurrentWindowsPlan, last: int) -> str:
    since, steps = _memory_since(plan), plan.steps
    if since is None:
        return "true" if plan.only is None else "false"
    changed = f"{rows.since(since)} AND {rows.before(last)}"
    if steps.visibility == "created" and rows.created:
        changed = f"({changed}) OR {rows.created} > {since + steps.memory_us + steps.delay_us}"
    return f"({changed})"


def _memory_since(plan: CurrentWindowsPlan) -> int | None:
    """From when on an event can tell the values now from those at the last step that was published; None: any can."""
    if plan.changed_since_us is None:
        return None
    every = plan.steps.every_us
    before = plan.changed_since_us if every is None else floor_to_grid(plan.changed_since_us, every)
    return before - plan.steps.memory_us


def _re_sent_or_hidden(steps: WindowSteps) -> bool:
    """Whether an event may count because of another one, or of an instant, that its own time does not tell."""
    return steps.event_id is not None or steps.visibility == "created"


def make_events(cursor: duckdb.DuckDBPyConnection, steps: WindowSteps, rows: ViewRows) -> None:
    """Make `__events` of the numbered keys, of re-sends the one that counts, and `__seen`: since which v a key has any.

    Rows from the watermark on are none: no step covers them, and as re-sends they would replace rows that count.
    With visibility "created" an event is known from v = created time - delay on. A marker that counts is no event.
    """
    created = f"coalesce({rows.created}, {_EARLIEST})" if rows.created else f"{_EARLIEST}"
    columns = [f"{sql} AS {quoted('c ' + name)}" for name, sql in rows.columns.items()]
    marker = [f"{rows.deleted} AS d"] if rows.deleted else []
    times = [f"{rows.event} AS e", f"{created} AS c", f"{rows.sequence} AS s"]
    view = listed([*key_columns(rows), *times, *marker, *columns])
    committed = [rows.condition] if steps.watermark_us is None else [rows.condition, rows.before(steps.watermark_us)]
    newest = ""
    if steps.event_id is not None:
        sent = quoted("c " + steps.event_id)
        ranks = ["c", "e", *(f"k{place}" for place in range(len(rows.keys))), "s"]
        order = listed(f"{rank} DESC NULLS LAST" for rank in ranks)
        counts = f"{sent} IS NULL OR row_number() OVER (PARTITION BY {sent} ORDER BY {order}) = 1"
        newest = f" QUALIFY ({counts}) AND NOT d" if marker else f" QUALIFY {counts}"
    elif marker:
        newest = " WHERE NOT d"
    names = [quoted("c " + name) for name in rows.columns]
    cursor.execute(
        f"CREATE TEMP TABLE __events AS SELECT {listed(['i.id', 'v.e', 'v.c', *(f'v.{name}' for name in names)])} "
        f"FROM (SELECT * FROM (SELECT {view} FROM {rows.table} WHERE {' AND '.join(committed)}){newest}) v "
        f"JOIN __ids i ON {equal_keys(len(rows.keys), 'v', 'i')}"
    )
    known = f"greatest(e + 1, c - {steps.delay_us})" if steps.visibility == "created" else "e + 1"
    cursor.execute(f"CREATE TEMP TABLE __seen AS SELECT id, min({known}) AS since FROM __events GROUP BY id")


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Events and points as the kernel takes them, and where in it each event column stands."""

    events: WindowEvents
    points: WindowPoints
    columns: dict[str, int]
    masks: dict[str, int]


def _values(cursor: duckdb.DuckDBPyConnection, steps: WindowSteps) -> list[pa.Array]:
    """The values of every aggregate at every point, in the order of `__points`."""
    given = _sorted(cursor, steps)
    specs = [_spec(aggregate, given) for aggregate in steps.aggregates]
    [(threads,)] = cursor.sql("SELECT current_setting('threads')").fetchall()
    found = compute(specs, given.events, given.points, threads=int(threads))
    return [
        value if value.type.equals(arrow_type(a.dtype)) else value.cast(arrow_type(a.dtype))
        for a, value in zip(steps.aggregates, found.values, strict=True)
    ]


def _sorted(cursor: duckdb.DuckDBPyConnection, steps: WindowSteps) -> _Sorted:
    columns = list(dict.fromkeys(a.value for a in steps.aggregates if a.value is not None))
    masks = list(dict.fromkeys(name for a in steps.aggregates for name in (a.mask, a.under) if name is not None))
    points = cursor.sql("SELECT id, v FROM __points ORDER BY point").to_arrow_table()
    ends = points.column("v")
    reach = steps.reach_us
    bounds = [f"e < {pc.max(ends).as_py()}"] if points.num_rows else ["false"]
    if reach is not None and points.num_rows:
        bounds.append(f"e >= {pc.min(ends).as_py() - reach}")
    names = [quoted("c " + name) for name in (*columns, *masks)]
    picked = listed(["id", "e", "c", *(f"{name} AS {quoted(str(place))}" for place, name in enumerate(names))])
    table = cursor.sql(f"SELECT {picked} FROM __events WHERE {' AND '.join(bounds)} ORDER BY id, e").to_arrow_table()
    end_us = _int64(ends)
    return _Sorted(
        events=WindowEvents(
            group=_int64(table.column("id")),
            time_us=_int64(table.column("e")),
            columns=tuple(table.column(3 + place) for place in range(len(columns))),
            masks=tuple(table.column(3 + len(columns) + place) for place in range(len(masks))),
            created_us=_int64(table.column("c")),
        ),
        points=WindowPoints(
            group=_int64(points.column("id")),
            end_us=end_us,
            known_us=end_us + steps.delay_us if steps.visibility == "created" else None,
        ),
        columns={name: place for place, name in enumerate(columns)},
        masks={name: place for place, name in enumerate(masks)},
    )


def _int64(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]] = column.cast(pa.int64()).to_numpy()
    return numbers


def _spec(aggregate: WindowAggregate, given: _Sorted) -> WindowSpec:
    return WindowSpec(
        function=aggregate.function,
        value=None if aggregate.value is None else given.columns[aggregate.value],
        mask=None if aggregate.mask is None else given.masks[aggregate.mask],
        window_us=aggregate.window_us,
        offset_us=aggregate.offset_us,
        series=aggregate.series,
        n=aggregate.n,
        p=aggregate.p,
        of=None if aggregate.under is None else given.masks[aggregate.under],
    )
