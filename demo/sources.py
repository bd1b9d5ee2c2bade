"""Writes the sources of the example: one Parquet file per table, in UTC, sorted, the same bytes at every run.

| file | one row is | key | event time |
|---|---|---|---|
| `flights.parquet` | a scheduled flight, flown or not | `flight_id` | `sched_dep` |
| `landings.parquet` | a flight that arrived | `flight_id` | `arrived_at` |
| `weather.parquet` | an hour at EWR, JFK or LGA | `airport` | `time_hour` |
| `planes.parquet` | an aircraft | `tailnum` | none |
| `airlines.parquet` | a carrier | `carrier` | none |

`flights` is the record written after the fact and holds what nobody knew at the departure. What a feature may use is
`landings`, where a delay becomes known when the flight arrives. The hour of the weather is that of its first reading;
the last one, and the hour's precipitation, come 51 minutes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from demo import tables
from demo.instants import flight_instants

KEYS = ("flight_id", "carrier", "flight", "tailnum", "origin", "dest", "route", "distance")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One written file and how many rows it has."""

    path: Path
    rows: int


def write_sources(directory: Path) -> tuple[SourceFile, ...]:
    """Write the five files into `directory`, made if missing; what they are named and hold is in the module's table."""
    directory.mkdir(parents=True, exist_ok=True)
    flights = flight_records(tables.read_flights(), tables.read_airports())
    frames = {
        "flights": flights,
        "landings": landings(flights),
        "weather": weather_hours(tables.read_weather()),
        "planes": tables.read_planes().sort("tailnum"),
        "airlines": tables.read_airlines().sort("carrier"),
    }
    return tuple(_write(frame, directory / f"{name}.parquet") for name, frame in frames.items())


def flight_records(flights: pl.DataFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """One row per scheduled flight, by scheduled departure and `flight_id`.

    `flight_id` is carrier, number, origin and date of the scheduled departure in New York (`UA1545-EWR-20130101`),
    `route` is `EWR-IAH`. A cancelled flight has no departure and no arrival; a diverted one departed and has no arrival
    delay, hence no arrival. Delays and `air_time` are minutes, `distance` is miles.
    """
    flight_id = pl.format(
        "{}{}-{}-{}", "carrier", "flight", "origin", pl.date("year", "month", "day").dt.to_string("%Y%m%d")
    )
    cancelled = pl.col("departed_at").is_null()
    return (
        flight_instants(flights, airports)
        .with_columns(
            flight_id=flight_id,
            route=pl.format("{}-{}", "origin", "dest"),
            cancelled=cancelled,
            diverted=~cancelled & pl.col("arrived_at").is_null(),
        )
        .select(
            *KEYS,
            *("sched_dep", "sched_arr", "departed_at", "arrived_at"),
            *("dep_delay", "arr_delay", "air_time", "cancelled", "diverted"),
        )
        .sort("sched_dep", "flight_id")
    )


def landings(flights: pl.DataFrame) -> pl.DataFrame:
    """The flights that arrived, by arrival and `flight_id`: each row is known from `arrived_at` on."""
    landed = flights.filter(pl.col("arrived_at").is_not_null())
    return landed.drop("cancelled", "diverted").sort("arrived_at", "flight_id")


def weather_hours(weather: pl.DataFrame) -> pl.DataFrame:
    """One row per airport and hour, by hour and airport; Fahrenheit, miles per hour, inches, millibars, miles.

    The hour that New York's clocks repeat on November 3 is two rows: it is two hours in UTC.
    """
    return (
        weather.with_columns(time_hour=pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%S%#z", time_unit="us"))
        .rename({"origin": "airport"})
        .sort("time_hour", "airport")
    )


def _write(frame: pl.DataFrame, path: Path) -> SourceFile:
    frame.write_parquet(path, statistics=True)
    return SourceFile(path, frame.height)
