"""The plans of a materialization: rows of an interval to commit, and records to publish."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.plan.nodes import FrameScan, Rows, StoredRows
from featurestore.timeline import Visibility


@dataclass(frozen=True, slots=True)
class ExtractPlan:
    """Rows of a view with `start_us <= event time < end_us`, in canonical columns, ordered by key, event time,
    created time, sequence.

    `start_us` None: from the beginning. With `in_force_at_start` also each key's last row before `start_us`; of rows
    with markers, as `SourceRows` says. A timeless view has neither bound. `created_after_us`: only rows with a greater
    created time. `excluding`: without the rows that stand there as well; of equal rows as many are left out as stand
    there, the first ones. Rows are equal when keys, times, marks and columns are, to the bit (all NaN being one).
    """

    rows: Rows
    start_us: int | None
    end_us: int | None
    in_force_at_start: bool = False
    created_after_us: int | None = None
    excluding: Rows | None = None


@dataclass(frozen=True, slots=True)
class CurrentPlan:
    """Of each key: every row that is in force at some instant at or after `at_us`; ordered by key, then event time,
    created time, sequence.

    A row is in force at t when it is the one that answers then (`PointInTimeJoin`, whatever its age). Besides, each
    marker that cancels one of them: of the same key and event time, and greater. Timeless: every row. The result has
    the keys, event time, created time, `__deleted` when the rows have it, and the columns in their logical types,
    without the sequence.

    `changed_since_us`: only keys that have a row (or marker) with event time at or after it. `only`: only keys that
    stand in it, in columns of their names. With both either is enough. A timeless view has neither; with one of them
    each of these keys that has no row in force comes last, in the order of keys, with nulls for times and columns.
    """

    rows: StoredRows
    at_us: int
    delay_us: int = 0
    visibility: Visibility = "event"
    changed_since_us: int | None = None
    only: FrameScan | None = None

    @property
    def is_partial(self) -> bool:
        """Whether not all keys are asked for."""
        return self.changed_since_us is not None or self.only is not None
