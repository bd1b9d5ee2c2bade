"""Broken data stops, changed values may train, and a gate that cannot refuse has no verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pandera.polars as pandera
import polars as pl
import pytest
from pandera.config import config_context

from featurestore.contracts.verdict import REASONS
from featurestore.errors import GateRefused
from pipelines.definition.data_gate import Contract, Drift, Freshness, NullRate, Volume
from pipelines.gates.baseline import Baseline, make_baseline
from pipelines.gates.data import judge_data
from pipelines.gates.data_checks import judge_contract
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict
from tests.pipelines.gates.frames import HOUR, START, Flight, checked, flights, judged, training

DAY = timedelta(days=1)
ALL = (
    Contract(Flight), Volume(min_rows=100, max_change=0.4), Freshness(2 * HOUR), NullRate(max_increase=0.05),
    Drift(psi=0.2, min_rows=100),
)  # fmt: skip


def test_data_like_the_data_before_passes_every_check() -> None:
    verdict = judged(ALL, flights(264), flights(240))
    assert [(check.name, check.verdict.value) for check in verdict.checks] == [
        ("Schema", "PASS"), ("Contract", "PASS"), ("Volume", "PASS"), ("Freshness", "PASS"), ("NullRate", "PASS"),
        ("Drift", "PASS"),
    ]  # fmt: skip
    assert (verdict.verdict, verdict.rows) == (Verdict.PASS, 264)
    assert verdict.summary == "Data: PASS, 6 checks."


def test_every_check_has_refused_broken_copies_before_it_says_anything() -> None:
    assert {check.name: check.proved for check in judged(ALL, flights(), flights()).checks} == {
        "Schema": ("column 'temp' gone", "column 'temp' of another type"),
        "Contract": ("nulls, wrong types and a missing column",),
        "Volume": ("too few rows", "rows gone"),
        "Freshness": ("old labels",),
        "NullRate": ("nulls in every column",),
        "Drift": ("other values in every column",),
    }


def test_the_first_data_is_judged_by_itself_and_becomes_the_reference() -> None:
    verdict = judged(ALL, flights())
    assert verdict.verdict is Verdict.PASS
    assert all(check.proved for check in verdict.checks)
    assert verdict.statistics is not None
    assert (verdict.statistics.rows, list(verdict.statistics.columns)) == (240, ["temp", "carrier", "gusty", "late"])


def test_without_declared_checks_the_columns_are_still_looked_at() -> None:
    assert judged([], flights()).verdict is Verdict.PASS
    assert judged([], flights().drop("temp")).verdict is Verdict.FAIL


# schema


def test_a_column_that_is_gone_stops_and_nothing_else_is_judged() -> None:
    verdict = judged(ALL, flights().drop("temp", "arrived_at"), flights())
    (schema,) = verdict.checks
    assert (verdict.verdict, verdict.statistics) == (Verdict.FAIL, None)
    assert schema.reason == "There is no column 'temp'. There is no column 'arrived_at'."


def test_a_column_of_another_type_stops() -> None:
    verdict = judged(ALL, flights(temp=3), flights())
    assert verdict.summary == (
        "Data: FAIL. Schema: Column 'temp' was Float64 and is Int32; a new meaning needs a new name."
    )


def test_instants_must_be_instants() -> None:
    verdict = judged([], flights().with_columns(pl.col("arrived_at").cast(pl.Int64)))
    assert verdict.checks[0].reason == "Column 'arrived_at' must hold instants, and is Int64."


def test_columns_that_were_declared_since_are_told_and_do_not_stop() -> None:
    data = training(flights())
    verdict = judge_data(ALL, data, make_baseline(replace(data, inputs=("temp", "carrier"))))
    assert (verdict.verdict, verdict.checks[0].details["new"]) == (Verdict.PASS, ["gusty"])
    verdict = judge_data(ALL, replace(data, inputs=("temp", "carrier")), make_baseline(data))
    assert (verdict.verdict, verdict.checks[0].details["gone"]) == (Verdict.PASS, ["gusty"])


# contract


def test_unexpected_values_stop_and_their_rows_are_kept_with_reasons() -> None:
    frame = flights(8, carrier=["UA", "AA", "??", "B6"] * 2, temp=[1.0, 2.0, 3.0, 451.0, 5.0, 6.0, 7.0, 8.0])
    result = checked(Contract(Flight), frame)
    assert result.verdict is Verdict.FAIL
    assert result.reason == (
        "3 of 8 rows break Flight: temp: less_than_or_equal_to(60) (1 row, found 451.0); "
        "carrier: isin(['AA', 'B6', 'DL', 'UA']) (2 rows, found ??)."
    )
    assert result.failing is not None
    assert result.failing.drop(REASONS).equals(frame[[2, 3, 6]])
    assert result.failing[REASONS].to_list()[1] == ["temp: less_than_or_equal_to(60) (found 451.0)"]


def test_nan_satisfies_no_comparison() -> None:
    result = checked(Contract(Flight), flights(4, temp=[1.0, float("nan"), None, 2.0]))
    assert (result.verdict, result.reason) == (
        Verdict.FAIL,
        "1 of 4 rows break Flight: "
        "temp: less_than_or_equal_to(60) (1 row, found NaN); temp: not NaN (1 row, found NaN).",
    )


def test_a_contract_that_is_not_looked_at_is_an_error() -> None:
    with config_context(validation_enabled=False):
        result = checked(Contract(Flight), flights())
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith("Contracts cannot be checked: pandera's validation is disabled.")


def test_a_contract_never_judges_with_validation_switched_off() -> None:
    with config_context(validation_enabled=False), pytest.raises(GateRefused, match="validation is disabled"):
        judge_contract(Contract(Flight), training(flights()))


def test_a_contract_about_nothing_is_an_error() -> None:
    class Elsewhere(pandera.DataFrameModel):
        wind: float = pandera.Field(ge=0)

        class Config:
            strict = False

    class Optional(pandera.DataFrameModel):
        wind: float | None

    assert checked(Contract(Elsewhere), flights()).verdict is Verdict.FAIL  # the column is required
    result = checked(Contract(Optional), flights())
    assert (result.verdict, result.proved) == (Verdict.ERROR, ())
    assert "looks at no column" in result.reason


# volume


def test_too_few_rows_stop() -> None:
    assert checked(Volume(min_rows=240), flights(240)).verdict is Verdict.PASS
    result = checked(Volume(min_rows=241), flights(240))
    assert (result.verdict, result.reason) == (Verdict.FAIL, "There are 240 rows, and at least 241 are needed.")


def test_a_collapse_of_rows_per_day_stops_and_so_does_a_flood() -> None:
    volume = Volume(min_rows=1, max_change=0.5)
    sparse, dense = flights(120, every=3 * HOUR), flights(480, every=HOUR / 2)
    result = checked(volume, sparse, flights())
    assert result.verdict is Verdict.FAIL
    assert "8.1 rows per day among all rows, 24.1 in the data before: a change of -66." in result.reason
    assert checked(volume, dense, flights()).verdict is Verdict.FAIL
    assert checked(Volume(min_rows=1, max_change=1.1), dense, flights()).verdict is Verdict.PASS


def test_data_that_grows_with_time_is_no_change() -> None:
    assert checked(Volume(min_rows=1, max_change=0.05), flights(960), flights(240)).verdict is Verdict.PASS


def test_a_collapse_among_the_new_rows_stops_though_a_long_history_hides_it() -> None:
    before = flights(24 * 60)
    broken = pl.concat([before, flights(28, since=START + 60 * DAY, every=6 * HOUR)])  # 4 a day for a week
    result = checked(Volume(min_rows=1, max_change=0.5), broken, before)
    assert (result.verdict, result.details["new_rows"]) == (Verdict.FAIL, 28)
    assert "among new rows" in result.reason


def test_of_less_than_a_day_of_new_rows_no_rate_is_taken() -> None:
    before = flights(24 * 60)
    after = pl.concat([before, flights(1, since=START + 60 * DAY + 10 * HOUR)])
    assert checked(Volume(min_rows=1, max_change=0.5), after, before).verdict is Verdict.PASS


# freshness


@pytest.mark.parametrize(("age", "verdict"), [(HOUR, "PASS"), (HOUR + timedelta(microseconds=1), "FAIL")])
def test_labels_may_be_as_old_as_declared_and_no_older(age: timedelta, verdict: str) -> None:
    result = judge_data([Freshness(HOUR)], training(flights(), age=age), None).checks[1]
    assert result.verdict.value == verdict


def test_a_view_that_lags_behind_or_was_never_materialized_stops() -> None:
    data = training(flights())
    now = data.as_of_us
    lagging = replace(data, watermarks={"weather": now, "carriers": now - 3 * 3_600_000_000, "planes": None})
    (_, result) = judge_data([Freshness(2 * HOUR)], lagging, None).checks
    assert (result.verdict, result.reason) == (
        Verdict.FAIL, "View 'carriers' is 3h old; view 'planes': nothing is there; at most 2h may be.",
    )  # fmt: skip
    fresh = replace(data, watermarks={"weather": now})
    (_, result) = judge_data([Freshness(2 * HOUR)], fresh, None).checks
    assert (result.verdict, result.proved) == (Verdict.PASS, ("old labels", "view 'weather' left behind"))


# nulls


def test_a_surge_of_nulls_stops_and_names_the_columns() -> None:
    result = checked(NullRate(max_increase=0.05), flights(240, temp=[None, 2.0, 3.0, 4.0] * 60), flights())
    assert result.verdict is Verdict.FAIL
    assert result.reason == "The share of nulls grew by more than 5.0%: 'temp' from 0.0% by 25.0%."
    assert checked(NullRate(max_increase=0.25), flights(240, temp=[None, 2.0, 3.0, 4.0] * 60), flights()).verdict is (
        Verdict.PASS
    )


def test_nan_is_as_missing_as_null_for_a_model() -> None:
    frame = flights(240, temp=[float("nan"), 2.0, 3.0, 4.0] * 60)
    assert checked(NullRate(max_increase=0.05), frame, flights()).verdict is Verdict.FAIL


def test_nulls_that_always_were_there_are_no_surge() -> None:
    holed = flights(240, temp=[None, 2.0, 3.0, 4.0] * 60)
    assert checked(NullRate(max_increase=0.05), holed, holed).verdict is Verdict.PASS


def test_a_surge_among_the_new_rows_stops_though_a_long_history_hides_it() -> None:
    before = flights(24 * 60)
    new = flights(120, since=START + 60 * DAY, temp=[None, 2.0] * 60)
    assert checked(NullRate(max_increase=0.1), pl.concat([before, new]), before).verdict is Verdict.FAIL
    few = pl.concat([before, new.head(99)])
    assert checked(NullRate(max_increase=0.1), few, before).verdict is Verdict.PASS


def test_only_the_named_columns_are_judged() -> None:
    holed = flights(240, temp=[None, 2.0, 3.0, 4.0] * 60)
    assert checked(NullRate(max_increase=0.05, columns=["carrier"]), holed, flights()).verdict is Verdict.PASS
    result = checked(NullRate(max_increase=0.05, columns=["wind"]), holed, flights())
    assert result.verdict is Verdict.ERROR


# what cannot refuse has no verdict


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (NullRate(max_increase=1.0), "nulls in every column"),
        (Drift(linf=1.5, min_rows=10), "other values in column"),
        (Drift(psi=50.0, min_rows=10), "other values in column"),
    ],
)
def test_a_threshold_that_nothing_can_exceed_is_an_error(check: NullRate | Drift, broken: str) -> None:
    result = checked(check, flights(), flights())
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith(f"It let a deliberately broken copy of the data pass ({broken}")


@pytest.mark.parametrize(
    ("module", "function", "check"),
    [
        ("data_proof", "judge_volume", Volume(min_rows=10)),
        ("data_proof", "judge_rate", Volume(min_rows=10, max_change=0.5)),
        ("data_proof", "judge_rate", Volume(min_rows=10, max_change=2.0)),
        ("data_proof", "judge_freshness", Freshness(DAY)),
        ("data_proof", "judge_nulls", NullRate(max_increase=0.1)),
    ],
)
def test_a_check_that_lets_everything_pass_is_an_error(
    monkeypatch: pytest.MonkeyPatch, module: str, function: str, check: Volume | Freshness | NullRate
) -> None:
    def blind(*_: object) -> CheckResult:
        return CheckResult("blind", Verdict.PASS, "All is well.")

    monkeypatch.setattr(f"pipelines.gates.{module}.{function}", blind)
    verdict = judged([check], flights(), flights())
    assert (verdict.verdict, verdict.checks[1].verdict) == (Verdict.ERROR, Verdict.ERROR)


def test_a_null_check_that_overlooks_one_column_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_eyed(*_: object) -> CheckResult:
        return CheckResult("NullRate", Verdict.FAIL, "Nulls.", {"grown": ["temp", "gusty"]})

    monkeypatch.setattr("pipelines.gates.data_proof.judge_nulls", one_eyed)
    assert judged([NullRate(max_increase=0.1)], flights(), flights()).checks[1].verdict is Verdict.ERROR


def test_a_schema_check_that_lets_everything_pass_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.gates.data_proof.judge_schema", lambda *_: CheckResult("Schema", Verdict.PASS, "All is well.")
    )
    assert judged([], flights()).verdict is Verdict.ERROR


def test_the_gravest_check_decides() -> None:
    drifting, failing = Drift(psi=0.2, min_rows=10), Volume(min_rows=10_000)
    few, blind = Drift(psi=0.2, min_rows=10_000), NullRate(max_increase=1.0)
    cold = flights(temp=-5.0)
    assert judged([drifting], cold, flights()).verdict is Verdict.PASS_DRIFTED
    assert judged([drifting, few], cold, flights()).verdict is Verdict.INCONCLUSIVE
    assert judged([drifting, few, failing], cold, flights()).verdict is Verdict.FAIL
    assert judged([blind, drifting, few, failing], cold, flights()).verdict is Verdict.ERROR


def test_a_verdict_is_written_as_json() -> None:
    verdict = judged(ALL, flights(temp=99.0), flights())
    document = json.loads(json.dumps(verdict.to_json()))
    assert (document["verdict"], document["rows"], document["policy"]) == ("FAIL", 240, verdict.policy)
    assert document["checks"][1]["failing_rows"] == 240
    assert Baseline.from_json(document["statistics"]) == verdict.statistics
