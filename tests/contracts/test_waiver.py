"""What a release lets through, and what it does not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandera.polars as pandera
import pyarrow as pa
import pytest
from pandera.api.polars.types import PolarsData

from featurestore.contracts.gate import Gate, content_columns
from featurestore.contracts.model import ContractModel
from featurestore.contracts.quarantine import Quarantine
from featurestore.contracts.verdict import Occasion, Outcome
from featurestore.contracts.waiver import Waiver, chunk_digest, row_digests
from featurestore.errors import InputError
from tests.contracts.models import (
    MildOnAverage,
    NotFarAboveAverage,
    OneStation,
    UniqueStation,
    Weather,
    chunk,
    gate,
    hour,
    row,
)

JANUARY = Occasion("origin_weather_1", start_us=0, end_us=1_000)
FEBRUARY = Occasion("origin_weather_1", start_us=1_000, end_us=2_000)
PUSH = Occasion("origin_weather_1")
COLD = row(temp=-273.0)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """An empty quarantine."""
    return Quarantine(tmp_path / "quarantine")


def release(
    quarantine: Quarantine, judged: Gate, rows: pa.Table, occasion: Occasion = JANUARY, at_us: int = 2
) -> Waiver:
    """The waiver for what the gate refuses of the rows."""
    entry = quarantine.keep(judged.check(rows, occasion), at_us=1)
    return quarantine.release(entry.id, "ops", "the sensor was replaced", at_us)


def test_released_rows_are_let_through_and_counted(quarantine: Quarantine) -> None:
    rows = chunk(row(), COLD, COLD, row(gusty=9))
    waiver = release(quarantine, gate(Weather), rows)
    verdict = gate(Weather).check(rows, JANUARY, quarantine.waivers("origin_weather"))
    assert verdict.outcome is Outcome.PASSED
    assert verdict.accepted.equals(rows)
    assert [(let.actor, let.rows, let.entry) for let in verdict.let_through] == [("ops", 3, waiver.entry)]
    assert verdict.summary == (
        f"View 'origin_weather': all 4 rows passed; 3 rows let through by ops (release of {waiver.entry})."
    )


def test_rows_that_fail_but_were_not_released_are_refused_as_before(quarantine: Quarantine) -> None:
    release(quarantine, gate(Weather), chunk(COLD))
    waivers = quarantine.waivers("origin_weather")
    rows = chunk(COLD, row(temp=-272.0), row())
    refused = gate(Weather).check(rows, JANUARY, waivers)
    assert (refused.outcome, refused.refused_rows, refused.let_through[0].rows) == (Outcome.REFUSED, 1, 1)
    dropped = gate(Weather, "drop").check(rows, JANUARY, waivers)
    assert (dropped.outcome, dropped.refused_rows) == (Outcome.DROPPED, 1)
    assert dropped.accepted.equals(rows.take([0, 2]))
    assert dropped.summary.endswith("-272.0); 1 row let through by ops (release of " + waivers[0].entry + ").")


def test_a_released_row_passes_in_any_interval_and_place(quarantine: Quarantine) -> None:
    release(quarantine, gate(Weather), chunk(COLD))
    later = chunk(row(), row(temp=-273.0, __sequence=99))
    assert gate(Weather).check(later, FEBRUARY, quarantine.waivers("origin_weather")).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "changed", [{"airport": "LGA"}, {"__event_timestamp": hour(6)}, {"gusty": 1}, {"station": "s2"}, {"station": None}]
)
def test_a_row_that_changed_is_another_row(quarantine: Quarantine, changed: dict[str, object]) -> None:
    release(quarantine, gate(Weather), chunk(COLD))
    verdict = gate(Weather).check(chunk(COLD | changed), JANUARY, quarantine.waivers("origin_weather"))
    assert verdict.outcome is Outcome.REFUSED


def test_a_feature_added_since_does_not_take_back_a_release(quarantine: Quarantine) -> None:
    release(quarantine, gate(Weather), chunk(COLD))
    rows = chunk(COLD).append_column("humid", pa.array([0.4]))
    assert gate(Weather).check(rows, JANUARY, quarantine.waivers("origin_weather")).outcome is Outcome.PASSED


def test_a_column_removed_since_takes_a_release_back(quarantine: Quarantine) -> None:
    release(quarantine, gate(Weather), chunk(COLD))
    rows = chunk(COLD).drop_columns(["station"])
    assert gate(Weather).check(rows, JANUARY, quarantine.waivers("origin_weather")).outcome is Outcome.REFUSED


def test_a_contract_that_changed_judges_anew(quarantine: Quarantine) -> None:
    class Warmer(Weather):
        temp: float = pandera.Field(ge=-50, le=60, nullable=True)

    release(quarantine, gate(Weather), chunk(COLD))
    waivers = quarantine.waivers("origin_weather")
    assert gate(Warmer).check(chunk(COLD), JANUARY, waivers).outcome is Outcome.REFUSED


def test_a_release_for_one_view_is_none_for_another(quarantine: Quarantine) -> None:
    waiver = release(quarantine, gate(Weather), chunk(COLD))
    assert quarantine.waivers("destination_weather") == ()
    other = replace(gate(Weather), view="destination_weather")
    assert other.check(chunk(COLD), JANUARY, [waiver]).outcome is Outcome.REFUSED


@pytest.mark.parametrize("contract", [OneStation, UniqueStation, MildOnAverage])
def test_a_check_of_the_chunk_is_let_through_for_its_interval_only(
    quarantine: Quarantine, contract: ContractModel
) -> None:
    rows = chunk(*(row(station=station, temp=40.0) for station in "aab"))
    waiver = release(quarantine, gate(contract), rows)
    waivers = quarantine.waivers("origin_weather")
    more = pa.concat_tables([rows, rows.slice(2)])
    for judged in (rows, more):
        verdict = gate(contract).check(judged, JANUARY, waivers)
        assert verdict.outcome is Outcome.PASSED
        assert [let.checks for let in verdict.let_through] == [tuple(waiver.checks)]
    assert gate(contract).check(rows, FEBRUARY, waivers).outcome is Outcome.REFUSED


def test_without_an_interval_a_check_is_let_through_for_the_same_rows_only(quarantine: Quarantine) -> None:
    rows = chunk(row(station="a"), row(station="b"))
    release(quarantine, gate(OneStation), rows, PUSH)
    waivers = quarantine.waivers("origin_weather")
    assert gate(OneStation).check(rows.take([1, 0]), PUSH, waivers).outcome is Outcome.PASSED
    other = chunk(row(station="a"), row(station="c"))
    assert gate(OneStation).check(other, PUSH, waivers).outcome is Outcome.REFUSED


def test_a_check_that_looks_at_other_rows_can_be_released(quarantine: Quarantine) -> None:
    judged, rows = gate(NotFarAboveAverage, "drop"), chunk(*(row(temp=temp) for temp in (1.0, 2.0, 3.0, 50.0)))
    release(quarantine, judged, rows)
    assert judged.check(rows, JANUARY, quarantine.waivers("origin_weather")).outcome is Outcome.PASSED


def test_a_released_check_does_not_refuse_what_remains_after_a_drop(quarantine: Quarantine) -> None:
    class OneKnownStation(OneStation):
        temp: float = pandera.Field(le=60)

    release(quarantine, gate(OneKnownStation), chunk(row(station="a"), row(station="b")))
    rows = chunk(row(station="a"), row(station="b"), row(temp=99.0))
    verdict = gate(OneKnownStation, "drop").check(rows, JANUARY, quarantine.waivers("origin_weather"))
    assert (verdict.outcome, verdict.refused_rows) == (Outcome.DROPPED, 1)


def test_rows_without_a_key_or_time_cannot_be_released(quarantine: Quarantine) -> None:
    verdict = gate(Weather).check(chunk(row(airport=None), row(__event_timestamp=None)), JANUARY)
    entry = quarantine.keep(verdict, at_us=1)
    with pytest.raises(InputError, match=r'cannot be released: airport: not_nullable .* declare on_refusal="drop"'):
        quarantine.release(entry.id, "ops", "let it be", at_us=2)


def test_a_row_without_a_key_is_refused_even_when_released_beside_others(quarantine: Quarantine) -> None:
    rows = chunk(row(airport=None), COLD)
    release(quarantine, gate(Weather), rows)
    verdict = gate(Weather).check(rows, JANUARY, quarantine.waivers("origin_weather"))
    assert (verdict.outcome, verdict.refused_rows, verdict.let_through[0].rows) == (Outcome.REFUSED, 1, 1)


def test_a_row_that_no_release_can_admit_is_not_counted_as_let_through(quarantine: Quarantine) -> None:
    rows = chunk(row(airport=None, temp=-273.0))
    release(quarantine, gate(Weather), rows)
    verdict = gate(Weather).check(rows, JANUARY, quarantine.waivers("origin_weather"))
    assert (verdict.outcome, verdict.refused_rows, verdict.let_through) == (Outcome.REFUSED, 1, ())
    assert [reason.name for reason in verdict.reasons] == [
        "airport: not_nullable",
        "temp: greater_than_or_equal_to(-60)",
    ]


def test_a_waiver_names_the_checks_of_the_chunk_that_can_be_let_through(quarantine: Quarantine) -> None:
    class OneWarmStation(OneStation):
        temp: float = pandera.Field(ge=0)

    timeless = replace(gate(OneWarmStation), event_timestamp=None)
    rows = chunk(row(station="a"), row(station="b", temp=-1.0)).drop_columns(["__event_timestamp"])
    waiver = release(quarantine, timeless, rows)
    assert waiver.checks == {"station: only_one"}
    assert timeless.check(rows, JANUARY, [waiver]).reasons[0].name == "one row per key"


def test_what_remains_after_a_drop_can_be_released_too(quarantine: Quarantine) -> None:
    class OddNumberOfRows(Weather):
        @pandera.dataframe_check
        @classmethod
        def odd(cls, data: PolarsData) -> bool:
            return data.lazyframe.collect().height % 2 == 1

    judged = gate(OddNumberOfRows, "drop")
    first = judged.check(chunk(row(), row(), COLD), JANUARY)
    assert [reason.name for reason in first.reasons][1:] == ["odd, once rows are dropped"]
    release(quarantine, judged, chunk(row(), row(), COLD))
    again = judged.check(chunk(row(), COLD, row(temp=99.0)), JANUARY, quarantine.waivers("origin_weather"))
    assert (again.outcome, again.refused_rows, again.accepted.num_rows) == (Outcome.DROPPED, 1, 2)
    assert [(let.rows, let.checks) for let in again.let_through] == [(1, ()), (0, ("odd, once rows are dropped",))]


def test_the_older_of_two_releases_is_credited(quarantine: Quarantine) -> None:
    both = chunk(COLD, row(gusty=9))
    one = release(quarantine, gate(Weather), chunk(COLD), at_us=2)
    two = release(quarantine, gate(Weather), both, at_us=3)
    verdict = gate(Weather).check(both, JANUARY, quarantine.waivers("origin_weather"))
    assert [(let.entry, let.rows) for let in verdict.let_through] == [(one.entry, 1), (two.entry, 1)]


def test_row_digests_tell_values_apart_and_encodings_not() -> None:
    values = pa.chunked_array([pa.array([None, math.nan, 0.0, -0.0, 1.0])])
    digests = row_digests(pa.table({"x": values}), ["x"])
    assert len(set(digests)) == 5
    again = pa.chunked_array([[None, math.nan], [0.0], [-0.0, 1.0]], pa.float64())
    assert row_digests(pa.table({"x": again}), ["x"]) == digests
    assert row_digests(pa.table({"y": values}), ["y"]) != digests
    assert row_digests(pa.table({"x": values.cast(pa.float32())}), ["x"]) != digests


def test_row_digests_do_not_run_columns_together() -> None:
    table = pa.table({"a": ["1", "12"], "b": ["23", "3"]})
    first, second = row_digests(table, ["a", "b"])
    assert first != second


def test_row_digests_of_strings_ignore_how_arrow_keeps_them() -> None:
    texts = pa.array(["JFK", None, "ü"])
    plain = row_digests(pa.table({"x": texts}), ["x"])
    assert row_digests(pa.table({"x": texts.cast(pa.large_string())}), ["x"]) == plain
    assert row_digests(pa.table({"x": texts.dictionary_encode()}), ["x"]) == plain


def test_row_digests_take_types_that_no_feature_has() -> None:
    table = pa.table(
        {
            "naive": pa.array([1, 2], pa.timestamp("ns")),
            "when": pa.array([1, 2], pa.time64("us")),
            "place": pa.array([{"x": 1}, {"x": 2}]),
        }
    )
    assert len(set(row_digests(table, ["naive", "when"]))) == 2
    assert len(set(row_digests(table, ["place"]))) == 2


def test_a_chunk_digest_ignores_order_and_place_in_ingestion() -> None:
    rows = chunk(row(__sequence=1), row(__sequence=2, temp=None), row(__sequence=3, gusty=1))
    names = content_columns(rows)
    assert "__sequence" not in names
    shuffled = rows.take(np.array([2, 0, 1]))
    assert chunk_digest(shuffled, names) == chunk_digest(rows, names)
    assert chunk_digest(rows.slice(1), names) != chunk_digest(rows, names)
