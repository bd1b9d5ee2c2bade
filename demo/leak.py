"""What goes wrong without point-in-time joins: averages of the day, joined by the date.

A table of each day's mean delay per carrier, origin and destination is easily made and easily joined, and every row of
it holds what happened later that day, the flight itself included. The model looks better than it can ever be: at the
departure only the flights that have landed are known.
"""

from __future__ import annotations

import polars as pl

from demo.instants import NEW_YORK

KEYS = ("carrier", "origin", "dest")
DAY_AVERAGES = tuple(f"{key}_day_delay" for key in KEYS)
"""The columns that both functions give, in minutes; null where no flight counts."""


def day_averages(flights: pl.DataFrame) -> pl.DataFrame:
    """For each flight its `flight_id` and the mean arrival delays of its whole day: the leak."""
    return _with_day(flights).select(
        "flight_id",
        *(
            pl.col("arr_delay").mean().over(key, "_day").alias(name)
            for key, name in zip(KEYS, DAY_AVERAGES, strict=True)
        ),
    )


def day_averages_so_far(flights: pl.DataFrame) -> pl.DataFrame:
    """The same of the flights of that day that had landed before the scheduled departure: all that could be known."""
    asked = _with_day(flights).sort("sched_dep")
    landed = asked.filter(pl.col("arrived_at").is_not_null()).sort("arrived_at")
    known = asked.select("flight_id")
    for key, name in zip(KEYS, DAY_AVERAGES, strict=True):
        day = (key, "_day")
        running = landed.select(
            *day,
            pl.col("arrived_at").alias("_known_at"),
            (pl.col("arr_delay").cum_sum().over(day) / pl.int_range(1, pl.len() + 1).over(day)).alias(name),
        )
        found = asked.join_asof(
            running,
            left_on="sched_dep",
            right_on="_known_at",
            by=day,
            allow_exact_matches=False,
            check_sortedness=False,  # both are sorted by time above; polars cannot check that within each key
        )
        known = known.with_columns(found[name])
    return known


def _with_day(flights: pl.DataFrame) -> pl.DataFrame:
    """The flights with `_day`, the date of the scheduled departure in New York."""
    return flights.with_columns(_day=pl.col("sched_dep").dt.convert_time_zone(NEW_YORK).dt.date())
