"""The plans of a materialization: rows of an interval to commit, and records to publish."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.plan.nodes import SourceRows, StoredRows


@dataclass(frozen=True, slots=True)
class ExtractPlan:
    """Rows of a view with `start_us <= event time < end_us`, in canonical columns, ordered by key, event time,
    created time, sequence.

    `start_us` None: from the beginning. With `in_force_at_start` also each key's last row before `start_us`.
    A timeless view has neither bound.
    """

    rows: SourceRows
    start_us: int | None
    end_us: int | None
    in_force_at_start: bool = False


@dataclass(frozen=True, slots=True)
class CurrentPlan:
    """Of each key: the step in force at `at_us` and every step that becomes visible later; ordered by key, then
    event time.

    A row is in force at t when it is the greatest (event time, created time, sequence) among those with
    event time + delay <= t. Of rows that tie on event time only the winner stays. With `changed_since_us` only keys
    that have a row with event time at or after it. Timeless: every row.
    """

    rows: StoredRows
    at_us: int
    delay_us: int = 0
    changed_since_us: int | None = None
