"""What the gate asks of keys, types and vectors, and how it tells what it found."""

from __future__ import annotations

from dataclasses import replace

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pytest

from featurestore.contracts.gate import Gate
from featurestore.contracts.verdict import Outcome, Policy
from featurestore.dtypes import Decimal, Float32, Float64, Int64, String, UInt64, Vector
from featurestore.plan.nodes import Column, Computed, FrameScan, SourceRows
from tests.contracts.models import (
    Weather,
    chunk,
    gate,
    hour,
    reasons,
    row,
)


@pytest.mark.parametrize("policy", ["refuse", "drop"])
def test_a_timeless_view_has_one_row_per_key(policy: Policy) -> None:
    judged = replace(gate(policy=policy), event_timestamp=None, columns=(Column("temp", Float64),))
    rows = chunk(row(), row(airport="LGA"), row()).select(["airport", "temp"])
    verdict = judged.check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 2)
    assert reasons(verdict.refused) == [["one row per key"]] * 2
    assert judged.check(rows.slice(0, 2)).outcome is Outcome.PASSED


def test_rows_without_a_key_are_no_duplicates() -> None:
    judged = replace(gate(policy="drop"), event_timestamp=None, columns=(Column("temp", Float64),))
    rows = chunk(row(airport=None), row(), row(airport=None)).select(["airport", "temp"])
    verdict = judged.check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.DROPPED, 2)


def test_a_timeless_global_view_has_one_row() -> None:
    judged = Gate(view="constants", keys=(), columns=(Column("g", Float64),), event_timestamp=None)
    assert judged.check(pa.table({"g": [9.81]})).outcome is Outcome.PASSED
    assert judged.check(pa.table({"g": [9.81, 9.82]})).outcome is Outcome.REFUSED


def test_a_vector_with_a_null_in_it_is_refused() -> None:
    vectors = pa.array([[1.0, 2.0], None, [1.0, None]], pa.list_(pa.float32(), 2))
    rows = chunk(row(), row(), row()).append_column("embedding", vectors)
    judged = replace(gate(policy="drop"), columns=(Column("embedding", Vector(Float32, 2)),))
    verdict = judged.check(rows)
    assert reasons(verdict.refused) == [["embedding: no null in a vector (found [1.0, None])"]]
    assert verdict.accepted.equals(rows.slice(0, 2))


@pytest.mark.parametrize(
    ("dtype", "good", "bad", "shown"),
    [
        (pl.Int8, 1, 0, "0"),
        (pl.UInt64, 2**64 - 1, 0, "0"),
        (pl.Float32, 1.0, -1.5, "-1.5"),
        (pl.Decimal(10, 2), 1, -1, "-1.00"),
    ],
)
def test_values_of_every_type_are_shown_in_reasons(dtype: pl.DataType, good: object, bad: object, shown: str) -> None:
    model = type(
        "Positive", (pandera.DataFrameModel,), {"__annotations__": {"x": dtype}, "x": pandera.Field(gt=0), **_HOME}
    )
    rows = chunk(row(), row()).append_column("x", pl.Series([good, bad], dtype=dtype).to_arrow())
    assert reasons(gate(model).check(rows).refused) == [[f"x: greater_than(0) (found {shown})"]]


_HOME = {"__module__": __name__}


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.Boolean, True),
        (pl.Binary, b"\xff"),
        (pl.Date, hour(5).date()),
        (pl.List(pl.Int64), [1]),
        (pl.Array(pl.Float64, 2), [1.0, 2.0]),
        (pl.String, "ü"),
    ],
)
def test_nulls_of_every_type_are_refused(dtype: pl.DataType, value: object) -> None:
    model = type("Known", (pandera.DataFrameModel,), {"__annotations__": {"x": dtype}, "x": pandera.Field(), **_HOME})
    rows = chunk(row(), row()).append_column("x", pl.Series([None, value], dtype=dtype).to_arrow())
    assert reasons(gate(model).check(rows).refused) == [["x: not_nullable (found null)"]]


def test_long_values_are_cut() -> None:
    verdict = gate(Weather).check(chunk(row(airport="x" * 500)))
    assert reasons(verdict.refused) == [[f"airport: str_length(3) (found {'x' * 80})"]]


def test_arguments_of_checks_read_the_same_in_every_process() -> None:
    class Carriers(pandera.DataFrameModel):
        airport: str = pandera.Field(isin=["e", "d", "c", "b", "a"])
        temp: float = pandera.Field(in_range={"min_value": 10, "max_value": 20, "include_max": False})
        station: str = pandera.Field(isin=[f"station {number}" for number in range(100)])

    names = [reason.name for reason in gate(Carriers).check(chunk(row())).reasons]
    assert names[:2] == [
        "airport: isin(['a', 'b', 'c', 'd', 'e'])",
        "temp: in_range(min_value=10, max_value=20, include_max=False)",
    ]
    assert names[2].startswith("station: isin(['station 0', 'station 1', 'station 10', ")
    assert len(names[2]) == len("station: ") + 120


def test_a_plan_says_what_its_gate_is() -> None:
    rows = SourceRows(
        view="origin_weather",
        scan=FrameScan("weather", b""),
        keys=(Computed("airport", String, "origin"),),
        event_timestamp="time_hour",
        created_timestamp=None,
        columns=(
            Computed("temp", Float64, "temp"),
            Computed("gusty", Int64, "gusty", "CAST(wind_gust > 30 AS BIGINT)"),
        ),
    )
    assert Gate.of(rows, Weather, "drop") == gate(Weather, "drop")


def test_types_are_judged_by_meaning_not_by_encoding() -> None:
    declared = (Column("temp", Float64), Column("n", UInt64), Column("price", Decimal(10, 2)))
    judged = replace(gate(), columns=declared)
    rows = (
        chunk(row())
        .append_column("n", pa.array([2**63], pa.uint64()))
        .append_column("price", pa.array([1], pa.decimal128(10, 2)))
        .set_column(0, "airport", pa.array(["JFK"], pa.large_string()))
    )
    assert judged.check(rows).outcome is Outcome.PASSED
