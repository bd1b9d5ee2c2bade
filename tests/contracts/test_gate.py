"""What the gate lets pass, drops and refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pytest

from featurestore.contracts.gate import Gate
from featurestore.contracts.verdict import Outcome, Policy
from featurestore.dtypes import Float64
from featurestore.plan.nodes import Column
from tests.contracts.models import (
    SCHEMA,
    GustyIsWarm,
    MildOnAverage,
    NotFarAboveAverage,
    OneStation,
    UniqueStation,
    Weather,
    chunk,
    gate,
    hour,
    reasons,
    row,
)

FAR_TOO_COLD = row(temp=-273.0, airport="LGA", __sequence=7)
UNKNOWN_GUST = row(gusty=9, __event_timestamp=hour(6))


def test_rows_that_satisfy_the_contract_pass_unchanged() -> None:
    rows = chunk(row(), row(temp=None), row(temp=-60.0), row(temp=60.0))
    verdict = gate(Weather).check(rows)
    assert (verdict.outcome, verdict.rows, verdict.refused_rows) == (Outcome.PASSED, 4, 0)
    assert verdict.accepted.equals(rows)
    assert verdict.reasons == ()
    assert verdict.summary == "View 'origin_weather': all 4 rows passed."


def test_one_bad_row_refuses_the_chunk() -> None:
    verdict = gate(Weather).check(chunk(row(), FAR_TOO_COLD, row()))
    assert (verdict.outcome, verdict.rows, verdict.refused_rows) == (Outcome.REFUSED, 3, 1)
    assert verdict.accepted.num_rows == 0
    assert verdict.accepted.schema == SCHEMA
    assert reasons(verdict.refused) == [["temp: greater_than_or_equal_to(-60) (found -273.0)"]]
    assert verdict.summary == (
        "View 'origin_weather': chunk of 3 rows refused, 1 of them failing: "
        "temp: greater_than_or_equal_to(-60) (1 row, found -273.0)."
    )


def test_bad_rows_are_dropped_and_the_others_keep_their_order() -> None:
    rows = chunk(row(__sequence=1), FAR_TOO_COLD, row(__sequence=2), UNKNOWN_GUST, row(__sequence=3))
    verdict = gate(Weather, "drop").check(rows)
    assert (verdict.outcome, verdict.rows, verdict.refused_rows) == (Outcome.DROPPED, 5, 2)
    assert verdict.accepted.equals(rows.take([0, 2, 4]))
    assert verdict.refused.drop_columns(["__reasons"]).equals(rows.take([1, 3]))
    assert verdict.summary == (
        "View 'origin_weather': 2 of 5 rows dropped: temp: greater_than_or_equal_to(-60) (1 row, found -273.0); "
        "gusty: isin([0, 1]) (1 row, found 9)."
    )


def test_a_row_names_every_rule_that_it_breaks() -> None:
    verdict = gate(Weather, "drop").check(chunk(row(temp=99.0, gusty=None, airport="NOWHERE"), row()))
    assert reasons(verdict.refused) == [
        [
            "airport: str_length(3) (found NOWHERE)",
            "temp: less_than_or_equal_to(60) (found 99.0)",
            "gusty: not_nullable (found null)",
        ]
    ]


def test_a_chunk_without_rows_passes() -> None:
    assert gate(Weather).check(chunk()).summary == "View 'origin_weather': all 0 rows passed."


@pytest.mark.parametrize("policy", ["refuse", "drop"])
def test_nan_satisfies_no_comparison(policy: Policy) -> None:
    verdict = gate(Weather, policy).check(chunk(row(), row(temp=math.nan), row(temp=math.inf)))
    assert verdict.refused_rows == 2
    assert reasons(verdict.refused) == [
        ["temp: less_than_or_equal_to(60) (found NaN)", "temp: not NaN (found NaN)"],
        ["temp: less_than_or_equal_to(60) (found inf)"],
    ]


def test_nan_is_refused_where_pandera_lets_it_pass() -> None:
    class Warm(pandera.DataFrameModel):
        temp: float = pandera.Field(ge=0, nullable=True)

    nan = pl.DataFrame({"temp": [math.nan]})
    assert Warm.to_schema().validate(nan, lazy=True).equals(nan)
    assert reasons(gate(Warm).check(chunk(row(temp=math.nan))).refused) == [["temp: not NaN (found NaN)"]]


def test_nan_is_null_where_nulls_are_forbidden() -> None:
    class Known(pandera.DataFrameModel):
        temp: float = pandera.Field(ge=0)

    verdict = gate(Known).check(chunk(row(temp=math.nan), row(temp=None)))
    assert reasons(verdict.refused) == [["temp: not_nullable (found NaN)"], ["temp: not_nullable (found null)"]]


def test_nan_satisfies_no_comparison_of_the_whole_frame() -> None:
    class AllPositive(pandera.DataFrameModel):
        g: float = pandera.Field(nullable=True)

        class Config:
            greater_than = 0

    judged = Gate(
        view="constants",
        keys=(),
        columns=(Column("g", Float64),),
        event_timestamp="g",  # the column hides the time, which cannot be compared with a number
        contract=AllPositive,
    )
    rows = pa.table({"g": [9.81, math.nan], "__event_timestamp": chunk(row(), row())["__event_timestamp"]})
    assert reasons(judged.check(rows).refused) == [["g: not NaN (found NaN)"]]


def test_nan_passes_where_nothing_is_compared() -> None:
    class AnyTemp(pandera.DataFrameModel):
        temp: float = pandera.Field(nullable=True)

    assert gate(AnyTemp).check(chunk(row(temp=math.nan))).outcome is Outcome.PASSED


def test_null_keys_and_times_are_refused_without_a_contract() -> None:
    rows = chunk(row(), row(airport=None), row(__event_timestamp=None), row(airport=None, __event_timestamp=None))
    verdict = gate().check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 3)
    key, time = "airport: not_nullable (found null)", "time_hour: not_nullable (found null)"
    assert reasons(verdict.refused) == [[key], [time], [key, time]]
    assert gate(policy="drop").check(rows).accepted.equals(rows.take([0]))


def test_a_null_key_is_one_reason_although_the_contract_forbids_it_too() -> None:
    verdict = gate(Weather, "drop").check(chunk(row(airport=None), row()))
    assert reasons(verdict.refused) == [["airport: not_nullable (found null)"]]
    assert verdict.reasons[0].waivable is False


def test_a_wrong_type_refuses_the_chunk_under_both_policies() -> None:
    rows = chunk(row()).set_column(4, "temp", pa.array(["mild"]))
    verdict = gate(policy="drop").check(rows)
    assert (verdict.outcome, verdict.refused_rows, verdict.accepted.num_rows) == (Outcome.REFUSED, 0, 0)
    assert [str(reason) for reason in verdict.reasons] == ["temp: type Float64 (found string)"]


def test_a_missing_column_of_the_view_refuses_the_chunk() -> None:
    verdict = gate(Weather, "drop").check(chunk(row()).drop_columns(["gusty"]))
    assert verdict.outcome is Outcome.REFUSED
    assert [str(reason) for reason in verdict.reasons] == ["gusty: column_in_dataframe (found no such column)"]


def test_a_missing_column_of_the_contract_refuses_the_chunk() -> None:
    verdict = gate(UniqueStation, "drop").check(chunk(row()).drop_columns(["station"]))
    assert verdict.outcome is Outcome.REFUSED
    assert [str(reason) for reason in verdict.reasons] == ["station: column_in_dataframe (found no such column)"]


def test_a_type_other_than_the_contract_says_refuses_the_chunk() -> None:
    class TempInFloat32(pandera.DataFrameModel):
        temp: pl.Float32

    verdict = gate(TempInFloat32, "drop").check(chunk(row()))
    assert [str(reason) for reason in verdict.reasons] == ["temp: dtype('Float32') (found Float64)"]
    assert verdict.outcome is Outcome.REFUSED


def test_duplicates_refuse_the_chunk_and_are_pointed_at() -> None:
    verdict = gate(UniqueStation, "drop").check(chunk(row(station="a"), row(station="b"), row(station="a")))
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 2)
    assert reasons(verdict.refused) == [["station: field_uniqueness (found a)"]] * 2


def test_a_check_with_one_answer_refuses_the_chunk() -> None:
    verdict = gate(OneStation, "drop").check(chunk(row(station="a"), row(station="b")))
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 0)
    assert [str(reason) for reason in verdict.reasons] == ["station: only_one"]


@pytest.mark.parametrize("temps", [[10.0, 20.0, 90.0], [90.0]])
def test_an_aggregate_refuses_the_chunk_even_when_it_has_one_row(temps: list[float]) -> None:
    verdict = gate(MildOnAverage, "drop").check(chunk(*(row(temp=temp) for temp in temps)))
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 0)
    assert [str(reason) for reason in verdict.reasons] == ["temp: mild"]


@pytest.mark.parametrize("others", [0, 2])
def test_a_custom_check_of_rows_drops_rows_however_many_there_are(others: int) -> None:
    rows = chunk(row(temp=-5.0, gusty=1), *[row()] * others)
    verdict = gate(GustyIsWarm, "drop").check(rows)
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.DROPPED, 1)
    assert reasons(verdict.refused) == [["warm"]]
    assert verdict.accepted.equals(rows.slice(1))


def test_a_check_that_looks_at_other_rows_drops_none() -> None:
    verdict = gate(NotFarAboveAverage, "drop").check(chunk(*(row(temp=temp) for temp in (1.0, 2.0, 3.0, 50.0))))
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.REFUSED, 1)
    assert [reason.name for reason in verdict.reasons] == ["temp: near_mean, which depends on other rows"]


def test_rows_that_fail_once_others_are_dropped_refuse_the_chunk() -> None:
    class AtLeastTwo(pandera.DataFrameModel):
        temp: float = pandera.Field(le=60)

        @pandera.dataframe_check
        @classmethod
        def two_rows(cls, data: object) -> bool:
            frame: pl.LazyFrame = data.lazyframe  # type: ignore[attr-defined]  # pandera hands over PolarsData
            return bool(frame.collect().height != 1)

    verdict = gate(AtLeastTwo, "drop").check(chunk(row(), row(temp=99.0)))
    assert verdict.outcome is Outcome.REFUSED
    assert [reason.name for reason in verdict.reasons] == [
        "temp: less_than_or_equal_to(60)",
        "two_rows, once rows are dropped",
    ]


def test_a_check_that_breaks_refuses_the_chunk() -> None:
    class Broken(pandera.DataFrameModel):
        temp: float

        @pandera.check("temp")
        @classmethod
        def no_such_column(cls, data: object) -> pl.LazyFrame:
            frame: pl.LazyFrame = data.lazyframe  # type: ignore[attr-defined]  # pandera hands over PolarsData
            return frame.select(pl.col("tmep") > 0)

    verdict = gate(Broken, "drop").check(chunk(row()))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.reasons[0].name == "temp: no_such_column"
    assert 'ColumnNotFoundError("unable to find column "tmep"' in str(verdict.reasons[0].example)


def test_bytes_that_are_no_text_are_shown_in_hexadecimal() -> None:
    class UniqueBytes(pandera.DataFrameModel):
        raw: pl.Binary = pandera.Field(unique=True)

    rows = chunk(row(), row()).append_column("raw", pa.array([b"\xff", b"\xff"]))
    assert reasons(gate(UniqueBytes).check(rows).refused) == [["raw: field_uniqueness (found 0xff)"]] * 2


def test_a_check_with_one_answer_fails_beside_checks_of_rows() -> None:
    class OneCold(OneStation):
        temp: float = pandera.Field(le=0)

    verdict = gate(OneCold).check(chunk(row(station="a"), row(station="b", temp=-1.0)))
    assert [str(reason) for reason in verdict.reasons] == [
        "station: only_one",
        "temp: less_than_or_equal_to(0) (1 row, found 4.0)",
    ]


def test_a_strict_contract_refuses_columns_that_it_does_not_name() -> None:
    class Strict(Weather):
        class Config:
            strict = True

    assert gate(Strict).check(chunk(row()).drop_columns(["station"])).outcome is Outcome.PASSED
    verdict = gate(Strict, "drop").check(chunk(row()))
    assert verdict.outcome is Outcome.REFUSED
    assert [str(reason) for reason in verdict.reasons] == ["column_in_schema (found station)"]


def test_the_contract_sees_times_under_the_names_of_the_source() -> None:
    class Times(pandera.DataFrameModel):
        time_hour: pl.Datetime(time_unit="us", time_zone="UTC")  # type: ignore[valid-type]  # pandera's spelling
        written: pl.Datetime(time_unit="us", time_zone="UTC")  # type: ignore[valid-type]  # as above

        class Config:
            strict = "filter"

    Times.Config.strict = True  # type: ignore[assignment]  # a literal elsewhere
    judged = replace(gate(), created_timestamp="written")
    assert judged._natural(chunk(row())).columns == ["airport", "time_hour", "written", "temp", "gusty", "station"]
    assert gate()._natural(chunk(row())).columns == ["airport", "time_hour", "temp", "gusty", "station"]


def test_a_column_of_the_view_hides_a_time_of_the_same_name() -> None:
    judged = replace(gate(), event_timestamp="temp")
    assert judged._natural(chunk(row())).columns == ["airport", "temp", "gusty", "station"]
