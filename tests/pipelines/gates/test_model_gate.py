"""Only a better model passes, judged on the same rows; what cannot be told apart is inconclusive."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from featurestore.errors import InputError
from pipelines.definition.model_gate import (
    AtLeast,
    Behaves,
    Calibration,
    Fairness,
    ModelCheck,
    NoWorseThanChampion,
    Slices,
)
from pipelines.gates.behaviour import Behaviour
from pipelines.gates.bootstrap import paired_difference
from pipelines.gates.model import ModelVerdict, judge_model
from pipelines.gates.scored import ScoredRows
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict
from pipelines.metrics import Numbers
from tests.pipelines.gates.scores import BOUND, CARRIERS, CHANCE, GOOD, LABELS, N, against, checked, noisy


def names(verdict: ModelVerdict) -> list[tuple[str, str]]:
    return [(check.name, check.verdict.value) for check in verdict.checks]


# bounds


def test_a_bound_is_kept_or_missed() -> None:
    assert checked(AtLeast("roc_auc", 0.8), GOOD).verdict is Verdict.PASS
    result = checked(AtLeast("roc_auc", 0.9), GOOD)
    assert result.verdict is Verdict.FAIL
    assert result.reason == "roc_auc is 0.8430 on 2,000 test rows, and at least 0.9 is wanted."


def test_where_less_is_better_a_bound_is_a_most() -> None:
    assert checked(AtLeast("brier", 0.18), GOOD).verdict is Verdict.PASS
    result = checked(AtLeast("brier", 0.1), GOOD)
    assert (result.verdict, result.reason[-22:]) == (Verdict.FAIL, "at most 0.1 is wanted.")


def test_of_one_class_nothing_can_be_told() -> None:
    ones = ScoredRows(np.ones(10), np.linspace(0, 1, 10))
    assert judge_model([BOUND], ones).checks[1].verdict is Verdict.INCONCLUSIVE


# the champion


def test_a_better_model_passes_and_a_worse_one_fails() -> None:
    check = NoWorseThanChampion("roc_auc", margin=0.002)
    assert checked(check, against(CHANCE, noisy(CHANCE, 0.3))).verdict is Verdict.PASS
    result = checked(check, against(noisy(CHANCE, 0.3), CHANCE))
    assert result.verdict is Verdict.FAIL
    assert "beside the champion's 0.8430: worse by 0.1008" in result.reason


def test_the_same_scores_are_no_worse_even_without_a_margin() -> None:
    assert checked(NoWorseThanChampion("roc_auc", margin=0), against(CHANCE, CHANCE)).verdict is Verdict.PASS


def test_what_the_rows_are_too_few_to_tell_is_inconclusive() -> None:
    near = noisy(CHANCE, 0.05)
    few = ScoredRows(LABELS[-100:], near[-100:], CHANCE[-100:])
    result = checked(NoWorseThanChampion("roc_auc", margin=0.005), few)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "100 rows are too few to tell" in result.reason
    assert checked(NoWorseThanChampion("roc_auc", margin=0.05), few).verdict is Verdict.PASS


def test_less_is_better_for_a_loss() -> None:
    check = NoWorseThanChampion("log_loss", margin=0.01)
    assert checked(check, against(CHANCE, noisy(CHANCE, 0.3))).verdict is Verdict.PASS
    assert checked(check, against(noisy(CHANCE, 0.3), CHANCE)).verdict is Verdict.FAIL


def test_a_champion_without_scores_is_an_error() -> None:
    verdict = judge_model([NoWorseThanChampion("roc_auc", margin=0), BOUND], against(CHANCE, CHANCE * np.nan))
    assert verdict.verdict is Verdict.ERROR
    assert "The champion gives some test rows no finite score" in verdict.summary


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_the_bootstrap_is_the_same_whenever_it_is_asked(metric: str) -> None:
    asked = [
        paired_difference(metric, LABELS, CHANCE, noisy(CHANCE, 0.2), confidence=0.95, samples=60) for _ in range(2)
    ]
    assert asked[0] == asked[1]


def test_the_bootstrap_of_a_mean_has_the_error_of_a_mean() -> None:
    labels, model, champion = np.zeros(N), CHANCE, noisy(CHANCE, 0.3)
    found = paired_difference("mae", labels, model, champion, confidence=0.95, samples=1_000)
    assert found is not None
    differences = champion - model
    assert found.difference == pytest.approx(differences.mean())
    error = differences.std() / np.sqrt(N)
    assert found.error == pytest.approx(error, rel=0.1)
    assert found.low == pytest.approx(differences.mean() - 1.645 * error, abs=0.25 * error)
    assert found.high == pytest.approx(differences.mean() + 1.645 * error, abs=0.25 * error)


def test_draws_in_which_a_metric_is_undefined_are_left_out() -> None:
    one = np.eye(1, 30)[0]  # one positive of 30: missing from a third of the draws
    found = paired_difference("roc_auc", one, one, one, confidence=0.95, samples=100)
    assert found is not None
    assert 50 < found.samples < 100


def test_200_samples_of_50_000_rows_take_well_below_two_seconds() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random(50_000)
    labels = (draw.random(50_000) < scores).astype(np.float64)
    start = time.process_time()
    paired_difference("roc_auc", labels, scores, np.round(scores, 2), confidence=0.95, samples=200)
    assert time.process_time() - start < 2


# slices and fairness


def spoilt(carrier: str) -> ScoredRows:
    """Scores that know nothing of one carrier's rows."""
    here = (CARRIERS["carrier"] == carrier).to_numpy()
    return replace(GOOD, scores=np.where(here, np.random.default_rng(2).random(N), CHANCE))


SLICES = Slices(by=["carrier"], metric="roc_auc", min_rows=100, max_gap=0.1)


def test_a_slice_that_the_model_knows_nothing_of_refuses_it() -> None:
    assert checked(SLICES, GOOD).verdict is Verdict.PASS
    result = checked(SLICES, spoilt("DL"))
    assert result.verdict is Verdict.FAIL
    assert "worse by more than 0.1 of: carrier=DL with 0.5" in result.reason


def test_a_slice_with_the_larger_loss_is_the_worse_one() -> None:
    check = replace(SLICES, metric="brier", max_gap=0.1)
    assert checked(check, GOOD).verdict is Verdict.PASS
    result = checked(check, spoilt("DL"))
    assert result.verdict is Verdict.FAIL
    assert "carrier=DL" in result.reason


def test_a_slice_that_the_champion_was_judged_on_and_that_is_missing_is_inconclusive() -> None:
    known = judge_model([SLICES, BOUND], GOOD).groups
    assert known == {"carrier": ("AA", "B6", "DL", "UA")}
    renamed = CARRIERS.with_columns(pl.col("carrier").replace("DL", "ZZ"))
    result = checked(SLICES, replace(GOOD, groups=renamed, known=known))
    assert (result.verdict, result.reason) == (
        Verdict.INCONCLUSIVE,
        "What the champion was judged on has no 100 rows of both classes now: carrier=DL.",
    )
    few = replace(GOOD, known=known, groups=CARRIERS.with_columns(carrier=pl.lit("UA")))
    assert checked(SLICES, few).verdict is Verdict.INCONCLUSIVE


def test_a_check_of_slices_proves_itself_whatever_the_model_is_like() -> None:
    halves = replace(GOOD, groups=pl.DataFrame({"carrier": ["UA", "AA"] * (N // 2)}), scores=noisy(CHANCE, 0.4))
    assert checked(replace(SLICES, max_gap=0.45), halves).verdict is Verdict.PASS
    assert checked(replace(SLICES, max_gap=0.55), halves).verdict is Verdict.ERROR  # half the rows wrong: 0.5 of all


def test_without_a_slice_to_judge_nothing_is_told() -> None:
    for check in (replace(SLICES, min_rows=501), replace(SLICES, by=["one"])):
        result = checked(check, GOOD)
        assert (result.verdict, result.reason[:23]) == (Verdict.INCONCLUSIVE, "No slice beside others ")


def test_rows_without_a_value_are_a_slice_too() -> None:
    groups = pl.DataFrame({"carrier": ["UA", None] * (N // 2)})
    assert judge_model([SLICES, BOUND], replace(GOOD, groups=groups)).groups == {"carrier": ("UA", "null")}


def test_a_column_that_is_not_there_is_an_error() -> None:
    result = checked(replace(SLICES, by=["origin"]), GOOD)
    assert (result.verdict, result.reason) == (
        Verdict.ERROR, "The test rows have no column 'origin' to be grouped by; they have: carrier, one.",
    )  # fmt: skip


def test_groups_that_are_far_apart_are_refused() -> None:
    fair = Fairness(group="carrier", metric="accuracy", max_gap=0.1)
    assert checked(fair, GOOD).verdict is Verdict.PASS
    result = checked(fair, spoilt("B6"))
    assert result.verdict is Verdict.FAIL
    assert result.reason.startswith("accuracy is between 0.4")
    assert "(B6)" in result.reason


def test_one_group_alone_is_compared_with_nothing() -> None:
    result = checked(Fairness(group="one", metric="accuracy", max_gap=0.1), GOOD)
    assert (result.verdict, result.reason) == (
        Verdict.INCONCLUSIVE, "Fewer than two groups of 'one' have 100 test rows.",
    )  # fmt: skip
    fair = Fairness(group="carrier", metric="accuracy", max_gap=0.1)
    known = replace(GOOD, known={"carrier": ("UA", "XX")})
    assert checked(fair, known).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("check", "rows", "reason"),
    [
        (Calibration(max_ece=0.1), replace(GOOD, scores=CHANCE * 9), "The scores must be probabilities, and are from"),
        (Calibration(max_ece=0.1), replace(GOOD, labels=LABELS + 3), "Calibration judges the probabilities of labels"),
        (AtLeast("brier", 0.1), replace(GOOD, scores=CHANCE * 9), "The scores must be probabilities, and are from"),
        (AtLeast("roc_auc", 0.6), replace(GOOD, labels=LABELS * 2), "roc_auc is for labels 0 and 1, and the test rows"),
    ],
)
def test_scores_of_another_kind_are_an_error(check: ModelCheck, rows: ScoredRows, reason: str) -> None:
    result = judge_model([check], rows).checks[1]
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith(reason)


# behaviour

SERVED = Behaviour(requests=50, largest_difference=1e-12, latency_ms=3.0, memory_mb=200.0)


def test_a_model_that_was_not_tried_in_a_server_is_inconclusive() -> None:
    assert judge_model([BOUND, Behaves()], GOOD).verdict is Verdict.INCONCLUSIVE
    assert judge_model([BOUND, Behaves()], GOOD, SERVED).verdict is Verdict.PASS


# the gate


def test_a_first_model_passes_its_bounds_and_waits_for_approval() -> None:
    verdict = judge_model([BOUND, NoWorseThanChampion("roc_auc", margin=0), SLICES, Calibration(max_ece=0.05)], GOOD)
    assert names(verdict) == [
        ("Scores", "PASS"), ("AtLeast roc_auc", "PASS"), ("NoWorseThanChampion roc_auc", "PASS"),
        ("Slices roc_auc", "PASS"), ("Calibration", "PASS"), ("Proof", "PASS"),
    ]  # fmt: skip
    assert verdict.needs_approval
    assert verdict.summary == "Model: PASS, 6 checks. A first model waits for approval."
    assert [check.proved for check in verdict.checks] == [
        (), ("wrong scores for all rows",), (), ("wrong scores for carrier=AA alone",),
        ("certain of the rarer label",), (),
    ]  # fmt: skip
    assert not judge_model([BOUND], against(CHANCE, CHANCE)).needs_approval


@pytest.mark.parametrize("checks", [[], [Behaves()]])
@pytest.mark.parametrize("champion", [None, CHANCE])
def test_without_thresholds_nothing_is_approved(checks: list[ModelCheck], champion: Numbers | None) -> None:
    verdict = judge_model(checks, replace(GOOD, champion=champion), SERVED)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "The gate declares no threshold, so nothing can be approved; add AtLeast." in verdict.summary


def test_a_first_model_needs_a_bound_of_its_own() -> None:
    check = NoWorseThanChampion("roc_auc", margin=0.01)
    verdict = judge_model([check], GOOD)
    assert (verdict.verdict, verdict.checks[-1].name) == (Verdict.INCONCLUSIVE, "Thresholds")
    assert judge_model([check], against(CHANCE, CHANCE)).verdict is Verdict.PASS


def test_a_model_without_a_score_for_a_row_fails() -> None:
    scores = CHANCE.copy()
    scores[[3, 5]] = np.nan, np.inf
    verdict = judge_model([BOUND], replace(GOOD, scores=scores))
    assert verdict.summary == "Model: FAIL. Scores: The model gives 2 of 2000 test rows no finite score."


@pytest.mark.parametrize(
    ("check", "copy"),
    [
        (AtLeast("roc_auc", 0.4), "shuffled scores"),  # chance gives 0.5
        (AtLeast("log_loss", 0.7), "constant scores"),  # always one half gives 0.693, shuffling more
        (AtLeast("accuracy", 0.3), "shuffled scores"),
    ],
)
def test_a_bound_that_ignorance_keeps_is_an_error(check: ModelCheck, copy: str) -> None:
    verdict = judge_model([check], GOOD)
    assert (verdict.verdict, verdict.checks[1].verdict) == (Verdict.ERROR, Verdict.PASS)
    assert f"The gate let {copy} pass, which know nothing of the rows" in verdict.summary


@pytest.mark.parametrize(
    "check",
    [
        AtLeast("roc_auc", 0.0),
        NoWorseThanChampion("roc_auc", margin=1.0),
        Slices(by=["carrier"], metric="roc_auc", min_rows=100, max_gap=1.0),
        Fairness(group="carrier", metric="roc_auc", max_gap=1.0),
        Calibration(max_ece=0.9),
    ],
    ids=lambda check: type(check).__name__,
)
def test_a_check_that_nothing_can_fail_is_an_error(check: ModelCheck) -> None:
    result = checked(check, against(CHANCE, CHANCE))
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith("It let a deliberately worse copy of the scores pass (")


@pytest.mark.parametrize(
    ("function", "check"),
    [
        ("judge_bound", BOUND),
        ("judge_champion", NoWorseThanChampion("roc_auc", margin=0)),
        ("judge_slices", SLICES),
        ("judge_fairness", Fairness(group="carrier", metric="accuracy", max_gap=0.1)),
        ("judge_calibration", Calibration(max_ece=0.05)),
    ],
)
def test_a_blind_check_is_an_error(monkeypatch: pytest.MonkeyPatch, function: str, check: ModelCheck) -> None:
    monkeypatch.setattr(
        f"pipelines.gates.model.{function}", lambda *_: CheckResult("blind", Verdict.PASS, "All is well.")
    )
    assert judge_model([check, AtLeast("brier", 0.2)], against(CHANCE, CHANCE)).verdict is Verdict.ERROR


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_regressions_are_judged_alike(metric: str) -> None:
    truth = np.random.default_rng(1).normal(50, 10, N)
    near, far = truth + noisy(np.zeros(N), 1.0), truth + np.random.default_rng(4).normal(0, 8, N)
    bound = AtLeast(metric, 0.5 if metric == "r2" else 5.0)
    gate: list[ModelCheck] = [
        bound,
        NoWorseThanChampion(metric, margin=0.01),
        replace(SLICES, metric=metric, max_gap=0.5),
    ]
    assert judge_model(gate, ScoredRows(truth, near, far, CARRIERS)).verdict is Verdict.PASS
    assert judge_model(gate, ScoredRows(truth, far, near, CARRIERS)).verdict is Verdict.FAIL


def test_unequal_lengths_and_missing_labels_are_the_callers_fault() -> None:
    with pytest.raises(InputError, match=r"one value per test row, found \[3, 4\]"):
        ScoredRows(np.zeros(4), np.zeros(3))
    with pytest.raises(InputError, match=r"found \[3, 4\]"):
        ScoredRows(np.zeros(3), np.zeros(3), groups=pl.DataFrame({"a": [1] * 4}))
    with pytest.raises(InputError, match="must be finite"):
        ScoredRows(np.array([np.nan]), np.zeros(1))


def test_a_verdict_is_written_as_json() -> None:
    rows = replace(against(CHANCE, noisy(CHANCE, 0.3)), known={"carrier": ("UA",)})
    checks: list[ModelCheck] = [
        BOUND,
        NoWorseThanChampion("roc_auc", margin=0),
        SLICES,
        Calibration(max_ece=0.1),
        Behaves(),
    ]
    document = json.loads(json.dumps(judge_model(checks, rows, SERVED).to_json()))
    assert (document["verdict"], document["needs_approval"]) == ("PASS", False)
    assert document["groups"] == {"carrier": ["AA", "B6", "DL", "UA"]}
    assert document["checks"][2]["details"]["champion"] < document["checks"][2]["details"]["model"]
