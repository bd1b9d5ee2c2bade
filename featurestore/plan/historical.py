"""The plan of a point-in-time retrieval."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.dtypes import DType
from featurestore.plan.nodes import Rows
from featurestore.plan.on_demand import OnDemandStep
from featurestore.plan.windows import WindowJoin
from featurestore.timeline import Visibility


@dataclass(frozen=True, slots=True)
class Projection:
    """A column of a view's rows (`column`) and its name in the result (`name`)."""

    column: str
    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class PointInTimeJoin:
    """For each spine row at t: the view's step in force at t.

    Visible at t are rows with event time + delay <= t (with visibility "created" also created time <= t, null: at
    once). Of those with one event time the greatest (created time with null lowest, sequence) counts, and none when
    that one is a marker; of what counts the greatest event time answers, while t - event time <= ttl. `keys` pairs each
    join key with its spine column; a null key matches nothing. Timeless rows are visible at all t.
    """

    label: str  # unique in the plan, for explain: the view, with its aliases
    rows: Rows
    keys: tuple[tuple[str, str], ...]
    columns: tuple[Projection, ...]
    delay_us: int = 0
    ttl_us: int | None = None
    visibility: Visibility = "event"
    timeless: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the result's columns."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class HistoricalPlan:
    """One row per spine row, in the spine's order: the spine's columns untouched, then `outputs`.

    An engine computes the joins' columns and, for each join, a status column; `on_demand` steps run on the result.
    `outputs` names the feature columns of the final result in order (from joins and on-demand steps).
    """

    features: str  # what was asked, for people: the service's name or the listed references
    timestamp: str
    joins: tuple[PointInTimeJoin | WindowJoin, ...]
    on_demand: tuple[OnDemandStep, ...]
    request: tuple[tuple[str, DType], ...]  # spine columns that on-demand features read
    outputs: tuple[tuple[str, DType], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The spine's columns that joins look entities up by, in first use."""
        return tuple(dict.fromkeys(column for join in self.joins for _, column in join.keys))
