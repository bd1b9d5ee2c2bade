"""When the flights happened: wall clock times of New York and of the destination, turned into instants in UTC.

The raw table gives local times as numbers (`515` is 5:15, `2400` is midnight) and one date, that of the scheduled
departure. What can be trusted, checked on all 336,776 rows:

- The scheduled departure: date and `sched_dep_time` in New York. None lies in the hour that the clock change skips or
  repeats, so each is exactly one instant.
- The departure: scheduled departure + `dep_delay`. It reproduces `dep_time` for every row, also after midnight and
  across a clock change, while `dep_time` alone does not say which day it belongs to.
- The scheduled arrival: the first time after the scheduled departure at which a clock at the destination shows
  `sched_arr_time`. The longest flight (Honolulu) takes 11 h 40 min, so that is the same or the next date.
- The arrival: scheduled arrival + `arr_delay`. It reproduces `arr_time` for all rows but one, B6 35 of March 9, whose
  `arr_time` 2:03 is in the hour that the clocks skipped that night. Arrival minus departure minus `air_time`, which is
  the time spent taxiing, is between 5 and 235 minutes for every flight; a wrong zone or day would break that, and
  `flight_instants` refuses it.

A flight without `arr_delay` (cancelled, or diverted) has no arrival.
"""

from __future__ import annotations

import polars as pl

from featurestore.errors import SourceError

NEW_YORK = "America/New_York"

CARIBBEAN = {"BQN": "America/Puerto_Rico", "PSE": "America/Puerto_Rico", "SJU": "America/Puerto_Rico",
             "STT": "America/St_Thomas"}  # fmt: skip
"""Zones of the destinations that the airports table lacks: UTC-4 the whole year."""

LONGEST_TAXI_MIN = 360


def flight_instants(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """The rows of `flights` in their order, with `sched_dep`, `departed_at`, `sched_arr`, `arrived_at` in UTC added.

    The four columns are timestamps in microseconds. `departed_at` is null for a cancelled flight, `arrived_at` for one
    without `arr_delay`. SourceError when a zone is unknown, a scheduled time is no single instant, or a flight takes
    less, or much longer, than its time in the air.
    """
    zoned = flights.with_row_index("_row").with_columns(
        _date=pl.datetime("year", "month", "day", time_unit="us"), _zone=_destination_zone(airports)
    )
    if unknown := zoned.filter(pl.col("_zone").is_null())["dest"].unique().sort().to_list():
        raise SourceError(f"No time zone is known for {', '.join(unknown)}: add them to demo.instants.CARIBBEAN.")
    try:
        timed = pl.concat(
            _instants_at(part, str(part["_zone"][0])) for part in zoned.partition_by("_zone", maintain_order=True)
        )
    except pl.exceptions.ComputeError as error:
        raise SourceError(f"A scheduled time of the flights is not one instant: {error}") from error
    _check_taxi_times(timed)
    return timed.sort("_row").drop("_row", "_date", "_zone")


def _destination_zone(airports: pl.DataFrame) -> pl.Expr:
    """The IANA zone of `dest`, null where neither the airports table nor CARIBBEAN has it."""
    known = airports.filter(pl.col("tzone").is_not_null())
    zones = dict(zip(known["faa"], known["tzone"], strict=True)) | CARIBBEAN
    return pl.col("dest").replace_strict(zones, default=None, return_dtype=pl.String)


def _instants_at(flights: pl.DataFrame, zone: str) -> pl.DataFrame:
    """The flights to destinations in one zone with their four instants."""
    arrival_clock = pl.col("_date") + _since_midnight("sched_arr_time")
    next_day = arrival_clock + pl.duration(days=1)
    return (
        flights.with_columns(
            sched_dep=_instant(pl.col("_date") + _since_midnight("sched_dep_time"), NEW_YORK),
            sched_arr=_instant(arrival_clock, zone),
        )
        .with_columns(
            departed_at=pl.col("sched_dep") + pl.duration(minutes="dep_delay"),
            sched_arr=pl.when(pl.col("sched_arr") > pl.col("sched_dep"))
            .then("sched_arr")
            .otherwise(_instant(next_day, zone)),
        )
        .with_columns(arrived_at=pl.col("sched_arr") + pl.duration(minutes="arr_delay"))
    )


def _since_midnight(column: str) -> pl.Expr:
    """The duration that a clock time such as 515 or 2400 is after midnight."""
    return pl.duration(hours=pl.col(column) // 100, minutes=pl.col(column) % 100)


def _instant(wall_clock: pl.Expr, zone: str) -> pl.Expr:
    """The instant at which a clock in the zone shows the time; ComputeError when there is none, or there are two."""
    return wall_clock.dt.replace_time_zone(zone).dt.convert_time_zone("UTC")


def _check_taxi_times(timed: pl.DataFrame) -> None:
    """SourceError unless each flight that arrived was on its way at least as long as in the air, plus a taxi time."""
    taxi = (pl.col("arrived_at") - pl.col("departed_at")).dt.total_minutes() - pl.col("air_time")
    wrong = timed.filter(~taxi.is_between(0, LONGEST_TAXI_MIN)).with_columns(_taxi=taxi)
    if not wrong.is_empty():
        first = wrong.row(0, named=True)
        raise SourceError(
            f"{wrong.height:,} flights have instants that their time in the air contradicts, the first is "
            f"{first['carrier']} {first['flight']} {first['origin']}-{first['dest']} of {first['sched_dep']}: "
            f"{first['_taxi']} minutes on the ground, expected 0 to {LONGEST_TAXI_MIN}."
        )
