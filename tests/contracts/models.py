"""Contracts and chunks that the tests share: hourly weather of airports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Optional

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
from pandera.api.polars.types import PolarsData

from featurestore.contracts.gate import Gate
from featurestore.contracts.verdict import Policy
from featurestore.dtypes import Float64, Int64, String
from featurestore.plan.nodes import Column

SCHEMA = pa.schema(
    {
        "airport": pa.string(),
        "__event_timestamp": pa.timestamp("us", tz="UTC"),
        "__created_timestamp": pa.timestamp("us", tz="UTC"),
        "__sequence": pa.int64(),
        "temp": pa.float64(),
        "gusty": pa.int64(),
        "station": pa.string(),
    }
)


class Weather(pandera.DataFrameModel):
    """What the weather must look like."""

    airport: str = pandera.Field(str_length={"exact_value": 3})
    time_hour: Annotated[pl.Datetime, "us", "UTC"]
    temp: float = pandera.Field(ge=-60, le=60, nullable=True)
    gusty: int = pandera.Field(isin=[0, 1])


class OneStation(pandera.DataFrameModel):
    """A check with one answer for the chunk."""

    station: str

    @pandera.check("station")
    @classmethod
    def only_one(cls, data: PolarsData) -> bool:
        return bool(data.lazyframe.select(pl.col(data.key).n_unique() <= 1).collect().item())


class MildOnAverage(pandera.DataFrameModel):
    """An aggregate that comes as a frame of one row."""

    temp: float

    @pandera.check("temp")
    @classmethod
    def mild(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).mean() < 30)


class NotFarAboveAverage(pandera.DataFrameModel):
    """A check that answers once per row, but by looking at all of them."""

    temp: float

    @pandera.check("temp")
    @classmethod
    def near_mean(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) <= pl.col(data.key).mean() * 2)


class GustyIsWarm(pandera.DataFrameModel):
    """A custom check of each row by itself."""

    temp: float
    gusty: int

    @pandera.dataframe_check
    @classmethod
    def warm(cls, data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("gusty") == 0) | (pl.col("temp") > 0))


class UniqueStation(pandera.DataFrameModel):
    """No two rows of one station."""

    station: str = pandera.Field(unique=True)


class OptionalColumns(pandera.DataFrameModel):
    """Nothing is required."""

    missing: Optional[float] = pandera.Field(ge=0, nullable=True)  # noqa: UP045  # pandera reads Optional only


def hour(of_day: int) -> datetime:
    """An hour of the first day of 2013."""
    return datetime(2013, 1, 1, of_day, tzinfo=UTC)


def row(**values: object) -> dict[str, Any]:
    """A row that satisfies `Weather`, with the given values instead."""
    return {
        "airport": "JFK",
        "__event_timestamp": hour(5),
        "__created_timestamp": None,
        "__sequence": 0,
        "temp": 4.0,
        "gusty": 0,
        "station": "s1",
    } | values


def chunk(*rows: dict[str, Any]) -> pa.Table:
    """A chunk as an extraction gives it."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def gate(contract: type[pandera.DataFrameModel] | None = None, policy: Policy = "refuse") -> Gate:
    """The gate of a view with the features temp and gusty; station is carried along for the contract."""
    return Gate(
        view="origin_weather",
        keys=(Column("airport", String),),
        columns=(Column("temp", Float64), Column("gusty", Int64)),
        event_timestamp="time_hour",
        contract=contract,
        policy=policy,
    )


def reasons(rows: pa.Table) -> list[list[str]]:
    """The reasons of refused rows."""
    found: list[list[str]] = rows.column("__reasons").to_pylist()
    return found
