"""What must be true of the rows before they are published."""

from __future__ import annotations

from typing import Annotated

import pandera.polars as pa
import polars as pl

INSTANT = Annotated[pl.Datetime, "us", "UTC"]


class Weather(pa.DataFrameModel):
    """An hourly observation in the range of what has ever been measured in New York.

    A gust is reported only when there is one. In February the anemometer of Newark once showed 1,048 mph.
    """

    airport: str = pa.Field(isin=["EWR", "JFK", "LGA"])
    time_hour: INSTANT
    temp: float = pa.Field(ge=-20, le=115, nullable=True)
    humid: float = pa.Field(ge=0, le=100, nullable=True)
    wind_speed: float = pa.Field(ge=0, le=120, nullable=True)
    wind_gust: float = pa.Field(ge=0, le=150, nullable=True)
    precip: float = pa.Field(ge=0, le=5)
    pressure: float = pa.Field(ge=940, le=1070, nullable=True)
    visib: float = pa.Field(ge=0, le=10)


class Aircraft(pa.DataFrameModel):
    """What the registry of aircraft says of one; the year of manufacture is not always known."""

    tailnum: str = pa.Field(str_matches=r"^N[0-9A-Z]{1,5}$")
    year: int = pa.Field(ge=1930, le=2013, nullable=True)
    seats: int = pa.Field(ge=1, le=600)


class Landing(pa.DataFrameModel):
    """A flight that arrived: at most two hours early, at most two days late."""

    arrived_at: INSTANT
    arr_delay: int = pa.Field(ge=-120, le=2_880)
    dep_delay: int = pa.Field(ge=-60, le=2_880)
    air_time: int = pa.Field(ge=15, le=900)
