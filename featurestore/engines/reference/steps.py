"""A windowed view's values, each step of each key by itself, from all events of that key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.arrow import arrow_type
from featurestore.engines.reference.rows import Key, Row, key_order, keys_of, null_rows, rows_in
from featurestore.engines.reference.values import INSTANT, python_values
from featurestore.engines.reference.windows import WindowRow
from featurestore.engines.reference.windows import aggregate as window_value
from featurestore.errors import InputError
from featurestore.plan.nodes import ViewScan
from featurestore.plan.windows import CurrentWindowsPlan, WindowAggregate, WindowJoin, WindowSteps
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Status

Values = list[object]  # of the aggregates, in their order


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `cells` are its event columns by name, times are microseconds."""

    key: Key
    time: int
    created: int | None
    cells: Mapping[str, object]


def window_answers(
    join: WindowJoin, table: pa.Table, keys: Iterable[Key], at: Iterable[int | None]
) -> tuple[dict[str, pa.Array], list[Status]]:
    """The aggregates' columns and the statuses at each (key, instant); `table` holds the canonical rows."""
    events = events_of(join.steps, table)
    found = [_in_force(join, events, key, t) for key, t in zip(keys, at, strict=True)]
    return values_table(join.steps, [values for values, _ in found]), [status for _, status in found]


def current_steps(plan: CurrentWindowsPlan, table: pa.Table, only: pa.Table | None) -> pa.Table:
    """The steps to publish, as CurrentWindowsPlan says, of no key that it allows to leave out; `only` is its table."""
    steps = plan.steps
    assert steps.watermark_us is not None  # what is published is committed
    first, last = step_of(steps, plan.at_us), _on_grid(steps, steps.watermark_us)
    asked = range(first, last + 1, steps.every_us) if steps.every_us else [last]
    events = events_of(steps, table)
    chosen = set() if only is None else _chosen(steps, table, only)
    rows = []
    for key in sorted({event.key for event in events}):
        values = {v: values_at(steps, events, key, v) for v in asked}
        if not plan.is_partial or key in chosen or _has_changed(plan, events, key, values):
            rows += [(key, v, found) for v, found in values.items() if found is not None]
    result = _table(plan.steps, rows, EVENT_TIMESTAMP)
    gone = null_rows(chosen - {key for key, _, _ in rows}, steps.rows.keys, result.schema)
    result = pa.concat_tables([result, gone])
    return result.add_column(len(steps.rows.keys) + 1, CREATED_TIMESTAMP, pa.nulls(result.num_rows, INSTANT))


def _has_changed(plan: CurrentWindowsPlan, events: list[Event], key: Key, values: Mapping[int, Values | None]) -> bool:
    """Whether a later step has other values than the one at `changed_since_us`."""
    if plan.changed_since_us is None:
        return False
    since = _on_grid(plan.steps, plan.changed_since_us)
    before = repr(values_at(plan.steps, events, key, since))
    return any(repr(found) != before for v, found in values.items() if v > since)


def _chosen(steps: WindowSteps, table: pa.Table, only: pa.Table) -> set[Key]:
    """The keys that stand in `only`, and those that sent an event which stands there."""
    chosen = set(keys_of(only, steps.rows.keys))
    if steps.event_id is not None:
        sent = [python_values(rows.column(steps.event_id)) for rows in (only, table)]
        rows = rows_in(table, steps.rows)
        chosen |= {row.key for row in rows if sent[1][row.index] is not None and sent[1][row.index] in sent[0]}
    return chosen


def step_rows(scan: ViewScan, table: pa.Table) -> pa.Table:
    """The rows of a ViewScan, ordered by key, then time."""
    steps = scan.steps
    every, reach = steps.every_us, steps.reach_us
    assert every is not None  # steps that are rows have a grid
    assert reach is not None  # and end
    events = events_of(steps, table)
    held = set()
    for event in events:
        for v in range(event.time // every * every, event.time + reach + 1, every):
            inside = (v - a.reach_us <= event.time < v - a.offset_us for a in steps.aggregates if a.reach_us)
            if any(inside) and _is_known(steps, event, v):
                held.add((event.key, v))
    rows = [(key, v + steps.delay_us, values_at(steps, events, key, v) or []) for key, v in sorted(held)]
    return _table(steps, rows, "event_timestamp")


def events_of(steps: WindowSteps, table: pa.Table) -> list[Event]:
    """The rows before the watermark that have a whole key and are no markers; of re-sends the one that counts."""
    cells = {column.name: python_values(table.column(column.name)) for column in steps.rows.columns}
    found: dict[object, Row] = {}
    for row in rows_in(table, steps.rows):
        if steps.watermark_us is not None and row.at >= steps.watermark_us:
            continue
        sent = None if steps.event_id is None else cells[steps.event_id][row.index]
        event = ("row", row.index) if sent is None else ("event", sent)
        if event not in found or _sent_order(row) > _sent_order(found[event]):
            found[event] = row
    return [
        Event(row.key, row.at, row.created, {name: column[row.index] for name, column in cells.items()})
        for row in found.values()
        if None not in row.key and not row.deleted
    ]


def _sent_order(row: Row) -> tuple[object, ...]:
    """What decides between re-sends: created time with null lowest, event time, key, sequence."""
    return (row.created is not None, row.created or 0, row.at, key_order(row.key), row.sequence)


def _in_force(join: WindowJoin, events: list[Event], key: Key, t: int | None) -> tuple[Values | None, Status]:
    """The values at t and their status; no values unless PRESENT."""
    if t is None or None in key:
        return None, Status.NOT_FOUND
    v = step_of(join.steps, t)
    if not _before(join.steps, events, key, v):
        return None, Status.NOT_FOUND
    if join.ttl_us is not None and t - v > join.ttl_us:
        return None, Status.OUTSIDE_MAX_AGE
    return values_at(join.steps, events, key, v), Status.PRESENT


def step_of(steps: WindowSteps, t: int) -> int:
    """v: the last grid instant with v + delay <= t that is not beyond the watermark."""
    v = t - steps.delay_us
    if steps.watermark_us is not None and steps.watermark_us < v:
        v = steps.watermark_us
    return _on_grid(steps, v)


def _on_grid(steps: WindowSteps, t: int) -> int:
    return t if steps.every_us is None else t // steps.every_us * steps.every_us


def _is_known(steps: WindowSteps, event: Event, v: int) -> bool:
    return steps.visibility == "event" or event.created is None or event.created <= v + steps.delay_us


def _before(steps: WindowSteps, events: list[Event], key: Key, v: int) -> list[Event]:
    """The events of the key before v that are known there."""
    return [event for event in events if event.key == key and event.time < v and _is_known(steps, event, v)]


def values_at(steps: WindowSteps, events: list[Event], key: Key, v: int) -> Values | None:
    """The values at v; None when the key has no event before it."""
    before = _before(steps, events, key, v)
    return [_value(a, before, v) for a in steps.aggregates] if before else None


def _value(aggregate: WindowAggregate, events: list[Event], v: int) -> object:
    given = {"n": aggregate.n, "p": aggregate.p, "series": aggregate.series}
    params = {name: value for name, value in given.items() if value is not None}
    rows = [_row(aggregate, event) for event in events if aggregate.function == "ratio" or _is(event, aggregate.mask)]
    return window_value(aggregate.function, rows, v, aggregate.window_us, aggregate.offset_us, params)


def _row(aggregate: WindowAggregate, event: Event) -> WindowRow:
    value = True if aggregate.value is None else event.cells[aggregate.value]
    if aggregate.function == "ratio" and value is not None:
        value = (_is(event, aggregate.mask), _is(event, aggregate.under))
    return event.time, event.created, value


def _is(event: Event, condition: str | None) -> bool:
    """Whether the event meets a condition; null is false."""
    return condition is None or event.cells[condition] is True


def values_table(steps: WindowSteps, rows: Sequence[Values | None]) -> dict[str, pa.Array]:
    """The aggregates' columns; raises InputError for a sum that its type cannot hold."""
    columns = {}
    for place, aggregate in enumerate(steps.aggregates):
        values = [None if row is None else row[place] for row in rows]
        try:
            columns[aggregate.name] = pa.array(values, arrow_type(aggregate.dtype))
        except (OverflowError, pa.ArrowInvalid) as error:
            message = f"A windowed sum overflows: '{aggregate.name}' does not fit {aggregate.dtype}: {error}"
            raise InputError(message) from error
    return columns


def _table(steps: WindowSteps, rows: Sequence[tuple[Key, int, Values]], time: str) -> pa.Table:
    """Keys, the instant as the column `time`, aggregates."""
    types = [(key.name, arrow_type(key.dtype)) for key in steps.rows.keys]
    keys = {name: pa.array([row[0][place] for row in rows], found) for place, (name, found) in enumerate(types)}
    instants = pa.array([v for _, v, _ in rows], INSTANT)
    return pa.table({**keys, time: instants, **values_table(steps, [values for _, _, values in rows])})
