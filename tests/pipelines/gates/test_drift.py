"""Values that moved are found, judged against the number of rows, in bins that stay those of the earlier data."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import InputError
from featurestore.statistics.bins import Bins
from pipelines.definition.data_gate import DISTANCES, Drift
from pipelines.gates.baseline import Baseline, make_baseline
from pipelines.gates.counting import Counts, count_columns, make_bins
from pipelines.gates.drift import measure_drift
from pipelines.ledger.records import Verdict
from tests.pipelines.gates.frames import checked, flights, training

BEFORE = make_baseline(training(flights()))
HOT = [float(row * 7 % 20 + 8) for row in range(240)]  # 0 to 19 became 8 to 27


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("on_drift", "verdict"), [("retrain", Verdict.PASS_DRIFTED), ("fail", Verdict.FAIL)])
def test_moved_values_retrain_or_fail_as_declared(distance: str, on_drift: str, verdict: Verdict) -> None:
    check = Drift(**{distance: 0.12}, on_drift=on_drift, columns=["temp"], min_rows=100)  # type: ignore[arg-type]  # one of two
    result = checked(check, flights(temp=HOT), flights())
    assert result.verdict is verdict
    assert result.reason.startswith(f"Values moved: 'temp' {distance} ")


@pytest.mark.parametrize("distance", DISTANCES)
def test_values_that_stayed_pass(distance: str) -> None:
    check = Drift(**{distance: 0.05}, min_rows=100)  # type: ignore[arg-type]  # a threshold
    assert checked(check, flights(), flights()).verdict is Verdict.PASS


def test_distances_by_hand() -> None:
    # temp: one bin for each of 0 to 19, 12 rows in each; now 8 to 27, so 8 of 20 parts lie beyond the last edge
    (drift,) = measure_drift(Drift(psi=1.0, columns=["temp"]), training(flights(temp=HOT)), BEFORE)
    assert drift.distances["linf"] == pytest.approx(0.4)
    assert drift.distances["ks"] == pytest.approx(0.4)
    floored, gone, came = 1e-4, 0.05, 0.4
    expected = 8 * (floored - gone) * np.log(floored / gone) + (came - floored) * np.log(came / floored)
    assert drift.distances["psi"] == pytest.approx(expected)


def test_texts_that_nobody_knew_fall_into_the_bin_of_all_others() -> None:
    result = checked(
        Drift(linf=0.2, columns=["carrier"], min_rows=100), flights(carrier=["UA", "AA", "XX", "YY"] * 60), flights()
    )
    assert result.reason == "Values moved: 'carrier' linf 0.500 above 0.2."


def test_nulls_and_nan_are_values_that_can_move() -> None:
    check = Drift(linf=0.2, columns=["temp"], min_rows=100)
    for missing in (None, float("nan")):
        holed = [missing if row % 3 == 0 else float(row * 7 % 20) for row in range(240)]
        assert checked(check, flights(temp=holed), flights()).verdict is Verdict.PASS_DRIFTED


def test_the_label_is_judged_beside_the_inputs() -> None:
    result = checked(Drift(psi=0.2, min_rows=100), flights(late=[True, False] * 120), flights())
    assert (result.verdict, result.reason[:20]) == (Verdict.PASS_DRIFTED, "Values moved: 'late'")


def test_too_few_rows_on_either_side_are_inconclusive() -> None:
    check = Drift(psi=0.2, min_rows=200)
    assert checked(check, flights(199, temp=HOT[:199]), flights()).verdict is Verdict.INCONCLUSIVE
    assert checked(check, flights(200), flights(200)).verdict is Verdict.PASS
    result = checked(check, flights(temp=HOT), flights(199))
    assert (result.verdict, result.reason) == (
        Verdict.INCONCLUSIVE,
        "There are 240 rows, and 199 before; at least 200 on either side tell drift from chance.",
    )


def test_a_distance_that_chance_could_give_at_this_size_is_inconclusive() -> None:
    draw = np.random.default_rng(1)
    before, after = (flights(60, temp=draw.integers(0, 20, 60).astype(float).tolist()) for _ in range(2))
    result = checked(Drift(psi=0.2, columns=["temp"], min_rows=10), after, before)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason.startswith("So few rows move that far by chance: 'temp' psi ")


def test_the_order_of_texts_is_nothing_that_ks_could_judge() -> None:
    result = checked(Drift(ks=0.1, columns=["carrier"], min_rows=10), flights(), flights())
    assert (result.verdict, result.reason) == (
        Verdict.ERROR, "Column 'carrier' has no order that ks could judge; give psi, js or linf.",
    )  # fmt: skip
    (drift,) = measure_drift(Drift(ks=0.1, js=0.1, columns=["carrier"]), training(flights()), BEFORE)
    assert set(drift.distances) == set(drift.noise) == {"psi", "js", "linf"}
    judged = checked(Drift(ks=0.1, min_rows=10), flights(), flights()).details["columns"]
    assert [column["column"] for column in judged] == ["temp"]  # type: ignore[attr-defined]  # a list


# bins


def bins_of(frame: pl.DataFrame) -> dict[str, Bins]:
    """The bins of all columns, in which the frame itself is counted as when they were made."""
    made = make_bins(frame, frame.columns)
    assert count_columns(frame, {name: bins for name, (bins, _) in made.items()}) == {
        n: c for n, (_, c) in made.items()
    }
    return {name: bins for name, (bins, _) in made.items()}


def test_up_to_forty_numbers_have_a_bin_each_and_the_ends_are_open() -> None:
    bins = bins_of(pl.DataFrame({"n": [3, 1, 1, None]}))
    assert bins == {"n": Bins(edges=(1.0, 3.0, 4.0))}
    counted = count_columns(pl.DataFrame({"n": [-9, 0, 1, 2, 3, 4, 99, None]}), bins)
    assert counted == {"n": Counts(bins=(2, 2, 1, 2), nulls=1)}


def test_many_numbers_are_cut_into_ten_equal_parts() -> None:
    values = pl.DataFrame({"x": np.random.default_rng(0).permutation(1_000).astype(float)})
    bins = bins_of(values)
    assert len(bins["x"]) == 10
    assert np.abs(np.array(count_columns(values, bins)["x"].bins) - 100).max() <= 1


def test_infinities_lie_in_the_open_ends_and_make_no_edges() -> None:
    frame = pl.DataFrame({"x": [float("-inf"), 1.0, float("inf"), float("nan"), -0.0, 0.0]})
    bins = bins_of(frame)
    assert bins["x"].edges[:2] == (0.0, 1.0)
    assert count_columns(frame, bins)["x"] == Counts(bins=(1, 2, 1, 1), nans=1)


def test_the_32_most_frequent_texts_are_categories_and_none_that_was_seen_once() -> None:
    often, twice = [f"often {n:02}" for n in range(10) for _ in range(3)], [f"twice {n:02}" for n in range(30)] * 2
    bins = bins_of(pl.DataFrame({"t": ["once", *twice, *often]}))["t"]
    assert bins.categories == (*(f"often {n:02}" for n in range(10)), *(f"twice {n:02}" for n in range(22)))
    assert bins_of(pl.DataFrame({"t": ["a", "b", "b"]}))["t"].categories == ("b",)


def test_a_text_that_reads_like_a_number_is_a_text() -> None:
    frame = pl.DataFrame({"t": ["nan", "inf", "1", None]})
    bins = bins_of(frame)
    assert bins["t"] == Bins()
    assert count_columns(frame, bins)["t"] == Counts(bins=(3,), nulls=1)


def test_columns_whose_names_differ_in_case_only_are_two() -> None:
    frame = pl.DataFrame({"a": [1, 1], "A": [2, 3]})
    counted = count_columns(frame, bins_of(frame))
    assert (counted["a"].bins, counted["A"].bins) == ((0, 2, 0), (0, 1, 1, 0))


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([1, 2, 2, None], dtype=pl.Int8),
        pl.Series([2**63, 1, 1, None], dtype=pl.UInt64),
        pl.Series([Decimal("1.50"), Decimal("2.25"), Decimal("2.25"), None]),
        pl.Series([1.5, 2.5, 2.5, None], dtype=pl.Float32),
        pl.Series([True, False, False, None]),
        pl.Series(["p", "q", "q", None], dtype=pl.Categorical),
        pl.Series(["p", "q", "q", None], dtype=pl.Enum(["p", "q"])),
        pl.Series([b"", b"xy", b"zw", None]),
        pl.Series([[1], [1, 2], [3, 4], None]),
        pl.Series([date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 2), None]),
        flights(4)["sched_dep"],
    ],
    ids=lambda values: str(values.dtype),
)
def test_every_type_is_counted_row_by_row(values: pl.Series) -> None:
    frame = values.alias("v").to_frame()
    counted = count_columns(frame, bins_of(frame))["v"]
    assert (counted.rows, counted.nulls) == (4, values.null_count())
    assert counted == count_columns(frame.reverse(), bins_of(frame.reverse()))["v"]


def test_a_column_without_values_can_drift_to_having_some() -> None:
    result = checked(
        Drift(linf=0.2, columns=["temp"], min_rows=100),
        flights(),
        flights().with_columns(temp=pl.lit(None, pl.Float64)),
    )
    assert result.verdict is Verdict.PASS_DRIFTED


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_the_order_of_rows_means_nothing(seed: int) -> None:
    frame = flights(60, temp=np.random.default_rng(seed).normal(size=60).tolist())
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert make_baseline(training(shuffled)) == make_baseline(training(frame))
    check = Drift(psi=0.2)
    assert measure_drift(check, training(shuffled), BEFORE) == measure_drift(check, training(frame), BEFORE)


def test_a_baseline_is_the_same_after_json() -> None:
    baseline = make_baseline(training(flights(temp=[float("nan"), None, 1.0, 2.5] * 60)))
    assert Baseline.from_json(json.loads(json.dumps(baseline.to_json()))) == baseline
    with pytest.raises(InputError, match="no baseline"):
        Baseline.from_json({"rows": "many"})


def test_rows_per_day_count_at_least_one_day() -> None:
    assert make_baseline(training(flights(49))).rows_per_day == pytest.approx(24.5)
    assert make_baseline(training(flights(5))).rows_per_day == 5
    assert make_baseline(training(flights(0))).rows_per_day == 0
