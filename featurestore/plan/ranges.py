"""The plan of a range: every step of a view that is in force somewhere in an interval, without a spine."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.windows import WindowJoin

VALID_FROM, VALID_TO = "valid_from", "valid_to"
STOOD_SINCE = "event_timestamp"


@dataclass(frozen=True, slots=True)
class RangePlan:
    """The steps of a view in `start_us <= t < end_us`: at every t of [valid_from, valid_to) the join answers with them.

    Where no step is, it answers NOT_FOUND or OUTSIDE_MAX_AGE. Of a plain view a step is a row while it answers, of a
    windowed one the values at successive v for as long as they are equal. A step that is in force at the start begins
    there, one that still is at the end has a null `valid_to`. Rows: keys, event time (v at `valid_from`; null when
    timeless), the join's columns, `valid_from`, `valid_to`; ordered by key, then `valid_from`.
    """

    join: PointInTimeJoin | WindowJoin
    start_us: int
    end_us: int
