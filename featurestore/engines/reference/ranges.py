"""The steps of a view in a range: at every instant at which something may change, what answers then, key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from featurestore.arrow import arrow_type
from featurestore.engines.reference.rows import Key, Row, key_order, rows_in
from featurestore.engines.reference.steps import Event, events_of, step_of, values_at, values_table
from featurestore.engines.reference.values import INSTANT
from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.nodes import Column, Computed
from featurestore.plan.ranges import STOOD_SINCE, VALID_FROM, VALID_TO, RangePlan
from featurestore.plan.windows import WindowJoin

InForce = Callable[[list[Row], Key, int, PointInTimeJoin], Row | None]


@dataclass(frozen=True, slots=True)
class _Step:
    """What answers from `start` until `end` (None: still at the end of the range); `same` tells steps apart."""

    key: Key
    found: object
    same: object
    start: int
    end: int | None


def plain_steps(plan: RangePlan, table: pa.Table, keys: set[Key] | None, in_force: InForce) -> pa.Table:
    """The steps of a plain view; `table` holds its canonical rows, `in_force` finds the row that answers."""
    join = plan.join
    assert isinstance(join, PointInTimeJoin)
    rows = rows_in(table, join.rows)
    steps: list[_Step] = []
    for key in _keys((row.key for row in rows), keys):
        mine = [row for row in rows if row.key == key]
        instants = [plan.start_us]
        if not join.timeless:
            instants += [row.visible_from(join.delay_us, join.visibility) for row in mine]
            if join.ttl_us is not None:
                instants += [row.at + join.ttl_us + 1 for row in mine]
        found = {t: in_force(mine, key, t, join) for t in instants if plan.start_us <= t < plan.end_us}
        steps += _runs(key, {t: (row, row.index) if row else None for t, row in found.items()})
    chosen = [step.found for step in steps if isinstance(step.found, Row)]
    indices = pa.array([row.index for row in chosen], pa.int64())
    columns = {column.name: table.column(column.column).take(indices) for column in join.columns}
    return _table(plan, steps, [row.event for row in chosen], columns)


def windowed_steps(plan: RangePlan, table: pa.Table, keys: set[Key] | None) -> pa.Table:
    """The steps of a windowed view; `table` holds its canonical rows."""
    join = plan.join
    assert isinstance(join, WindowJoin)
    events = events_of(join.steps, table)
    found: list[_Step] = []
    for key in _keys((event.key for event in events), keys):
        mine = [event for event in events if event.key == key]
        answers = {}
        for t in _changes(plan, join, mine):
            v = step_of(join.steps, t)
            values = None if join.ttl_us is not None and t - v > join.ttl_us else values_at(join.steps, mine, key, v)
            answers[t] = None if values is None else ((v, values), repr(values))
        found += _runs(key, answers)
    stood = [step.found for step in found if isinstance(step.found, tuple)]
    columns = values_table(join.steps, [values for _, values in stood])
    return _table(plan, found, [v for v, _ in stood], columns)


def _changes(plan: RangePlan, join: WindowJoin, events: list[Event]) -> list[int]:
    """The instants of the range at which the values, or their age, may change."""
    steps = join.steps
    last = step_of(steps, plan.end_us - 1)
    stands = [last]
    if steps.every_us is not None:
        stands += range(step_of(steps, plan.start_us), last + 1, steps.every_us)
    else:
        for event in events:
            for a in steps.aggregates:
                lengths = [(a.window_us or 0) * times for times in range((a.series or 1) + 1)]
                stands += [event.time + 1, *(event.time + a.offset_us + length + 1 for length in lengths)]
            stands += [] if event.created is None else [event.created]
    instants = [plan.start_us, *(v + steps.delay_us for v in stands)]
    if join.ttl_us is not None:
        instants += [v + join.ttl_us + 1 for v in stands]
    return sorted({t for t in instants if plan.start_us <= t < plan.end_us})


def _runs(key: Key, answers: Mapping[int, tuple[object, object] | None]) -> list[_Step]:
    """The steps of one key; `answers` has what answers from each instant on, and what tells it from others."""
    steps: list[_Step] = []
    for t in sorted(answers):
        answer = answers[t]
        open_step = steps[-1] if steps and steps[-1].end is None else None
        if open_step is not None and answer is not None and answer[1] == open_step.same:
            continue
        if open_step is not None:
            steps[-1] = _Step(key, open_step.found, open_step.same, open_step.start, t)
        if answer is not None:
            steps.append(_Step(key, *answer, t, None))
    return steps


def _keys(known: Iterable[Key], asked: set[Key] | None) -> list[Key]:
    """The keys that are there and asked for, in order."""
    found = {key for key in known if None not in key}
    return sorted(found if asked is None else found & asked, key=key_order)


def _table(plan: RangePlan, steps: list[_Step], stood: list[int | None], columns: dict[str, pa.Array]) -> pa.Table:
    named: tuple[Column | Computed, ...] = plan.join.rows.keys
    keys = {
        key.name: pa.array([step.key[place] for step in steps], arrow_type(key.dtype))
        for place, key in enumerate(named)
    }
    return pa.table(
        {
            **keys,
            STOOD_SINCE: pa.array(stood, INSTANT),
            **columns,
            VALID_FROM: pa.array([step.start for step in steps], INSTANT),
            VALID_TO: pa.array([step.end for step in steps], INSTANT),
        }
    )
