"""The plan of windowed values: a step function of time that changes on a grid, computed from a view's events.

At an instant t the value stands at v: the last instant of the epoch-aligned grid of `every` with v + delay <= t, and
never beyond the last grid instant at or before the watermark. Without `every` v is t, and never beyond the watermark.
The value covers events with v - offset - window <= event time < v - offset; with visibility "created" only those
created by v + delay (null: at once).
"""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.dtypes import DType
from featurestore.plan.nodes import FrameScan, Rows
from featurestore.timeline import Visibility, floor_to_grid


@dataclass(frozen=True, slots=True)
class WindowAggregate:
    """One aggregate of a view's events; `name` is the column of the result.

    `value`: the event column it is computed from (None: rows). `mask`: the Bool event column that must be true.
    `under`: for ratios, the Bool column of the denominator. `window_us` None: all events. `n`, `p`, `series` as the
    function has them.
    """

    name: str
    dtype: DType
    function: str
    value: str | None
    mask: str | None = None
    under: str | None = None
    window_us: int | None = None
    offset_us: int = 0
    n: int | None = None
    p: float | None = None
    series: int | None = None

    @property
    def reach_us(self) -> int | None:
        """How far before v the earliest event lies that counts; None: any distance."""
        return None if self.window_us is None else self.offset_us + self.window_us * (self.series or 1)


@dataclass(frozen=True, slots=True)
class WindowSteps:
    """A windowed view's step function, from its events.

    `event_id`: the event column whose equal values are re-sends, of which the greatest (created time, event time, key,
    sequence) counts: sequences alone would tell how runs were split. Rows where it is null are events of their own.
    There is no event when the row that counts is a marker.
    `watermark_us`: there are no rows at or after it; None: nothing bounds rows and steps.
    """

    rows: Rows
    aggregates: tuple[WindowAggregate, ...]
    every_us: int | None = None
    delay_us: int = 0
    watermark_us: int | None = None
    visibility: Visibility = "event"
    event_id: str | None = None

    @property
    def reach_us(self) -> int | None:
        """The longest reach of the aggregates; None when one takes all events."""
        reaches = [aggregate.reach_us for aggregate in self.aggregates]
        return None if None in reaches else max(reach for reach in reaches if reach is not None)

    @property
    def memory_us(self) -> int:
        """How long before a step an event still matters that no earlier step has seen; windows without end forget none.

        Between two steps only keys change that have an event in the later one's memory, counted from the earlier step.
        """
        return max(a.offset_us if a.reach_us is None else a.reach_us for a in self.aggregates)

    def step_at(self, at_us: int) -> int:
        """v, the instant at which the value that answers `at_us` stands."""
        bounded = at_us - self.delay_us if self.watermark_us is None else min(at_us - self.delay_us, self.watermark_us)
        return bounded if self.every_us is None else floor_to_grid(bounded, self.every_us)


@dataclass(frozen=True, slots=True)
class WindowJoin:
    """For each spine row at t the values at v; `keys` pairs each join key with its spine column.

    NOT_FOUND, all null, when the key is null or has no event before v (created by v + delay, with that visibility);
    OUTSIDE_MAX_AGE, all null, when t - v > ttl; else PRESENT, where an empty window counts 0 and is null otherwise.
    """

    label: str
    steps: WindowSteps
    keys: tuple[tuple[str, str], ...]
    ttl_us: int | None = None

    @property
    def rows(self) -> Rows:
        """The events."""
        return self.steps.rows

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the result's columns."""
        return tuple(aggregate.name for aggregate in self.steps.aggregates)


@dataclass(frozen=True, slots=True)
class CurrentWindowsPlan:
    """Of each key that has an event before it: the values at every step v in force at some instant at or after `at_us`.

    These are the steps from `step_at(at_us)` to the last one at or before the watermark; of equal successive values
    the first is enough. Rows: keys, v as event time, a null created time, the aggregates; ordered by key, then v.
    `changed_since_us`: only keys whose values may differ from those at the last step at or before that instant. `only`:
    only keys that stand in it, in columns of their names, and with `event_id` also those that sent an event whose id
    stands in its column of that name. With both either is enough. Each key of `only` that has no value comes last, in
    the order of keys, with nulls.
    """

    steps: WindowSteps
    at_us: int
    changed_since_us: int | None = None
    only: FrameScan | None = None

    @property
    def is_partial(self) -> bool:
        """Whether not all keys are asked for."""
        return self.changed_since_us is not None or self.only is not None
