"""Which flights teach and test the model, and what they are labelled with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

LATE_AFTER_MIN = 15

SPINE = (
    *("flight_id", "carrier", "flight", "tailnum", "origin", "dest", "distance"),
    *("sched_dep", "sched_arr", "late"),
)
"""What a training set starts from: keys, what the schedule says, and the label."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Flights scheduled in a period whose label is known at its end, as spine rows by `sched_dep`.

    The others are counted: a `cancelled` or `diverted` flight has no arrival delay and so no label, one `in_the_air`
    lands after the end.
    """

    spine: pl.DataFrame
    cancelled: int
    diverted: int
    in_the_air: int

    @property
    def late_share(self) -> float:
        """The share of rows labelled late."""
        return float(self.spine.select(pl.col("late").mean()).item())


def labelled_flights(
    flights: pl.DataFrame, start: datetime, end: datetime, known_at: datetime | None = None
) -> Labelled:
    """The flights of `flights.parquet` with `start <= sched_dep < end`, labelled as known at `known_at` (`end`).

    `late` says whether the arrival was more than 15 minutes late; it is known once `arrived_at <= known_at`.
    """
    scheduled = flights.filter(pl.col("sched_dep").is_between(start, end, closed="left"))
    landed = scheduled.filter(pl.col("arrived_at") <= (known_at or end))
    late = (pl.col("arr_delay") > LATE_AFTER_MIN).alias("late")
    cancelled, diverted = (int(scheduled[column].sum()) for column in ("cancelled", "diverted"))
    return Labelled(
        spine=landed.with_columns(late).select(SPINE),
        cancelled=cancelled,
        diverted=diverted,
        in_the_air=scheduled.height - landed.height - cancelled - diverted,
    )
