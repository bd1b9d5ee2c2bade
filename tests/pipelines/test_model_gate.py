"""Every check of the model gate has a case in which it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines import AtLeast, Calibration, Fairness, NoWorseThanChampion, Slices
from pipelines.definition.model_gate import ModelCheck
from pipelines.ledger.records import Verdict
from pipelines.model_gate.checks import CHAMPION_SCORE, SCORE, Trial
from pipelines.model_gate.gate import judge_model


def trial(champion: bool = False, **changed: Any) -> Trial:
    """Test rows whose scores tell the classes apart in both shops, and in shop "b" less well."""
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 2, 2_000)
    shop = np.where(np.arange(2_000) % 4 == 0, "b", "a")
    spread = np.where(shop == "b", 0.5, 0.2)
    scores = np.clip(0.3 + 0.4 * labels + draw.normal(0, 1, 2_000) * spread, 0.01, 0.99)
    table = pl.DataFrame({"late": labels.astype(float), "shop": shop, SCORE: scores})
    if champion:
        table = table.with_columns(
            (pl.col(SCORE) + changed.pop("ahead", 0.0) * (pl.col("late") - 0.5)).alias(CHAMPION_SCORE)
        )
    return Trial(table, "late", "classification", champion=7 if champion else None, slices=changed.get("slices"))


BOUND = AtLeast("roc_auc", 0.5)
MODEL_CHECKS: list[tuple[list[ModelCheck], Trial, str]] = [
    ([AtLeast("roc_auc", 0.8)], trial(), "PASS"),
    ([AtLeast("roc_auc", 0.99)], trial(), "FAIL"),
    ([AtLeast("brier", 0.5)], trial(), "PASS"),
    ([AtLeast("brier", 0.01)], trial(), "FAIL"),
    ([NoWorseThanChampion("roc_auc", margin=0.001)], trial(champion=True), "PASS"),
    ([NoWorseThanChampion("roc_auc", margin=0.001)], trial(champion=True, ahead=0.3), "FAIL"),
    ([NoWorseThanChampion("brier", margin=0.001)], trial(champion=True, ahead=0.3), "FAIL"),
    ([BOUND, Slices(by=["shop"], metric="roc_auc", min_rows=100, max_gap=0.3)], trial(), "PASS"),
    ([BOUND, Slices(by=["shop"], metric="roc_auc", min_rows=100, max_gap=0.05)], trial(), "FAIL"),
    ([BOUND, Slices(by=["shop"], metric="roc_auc", min_rows=900, max_gap=0.9)], trial(), "PASS"),
    (
        [BOUND, Slices(by=["shop"], metric="roc_auc", min_rows=900, max_gap=0.9)],
        trial(champion=True, slices={"shop": ("a", "b")}),
        "INCONCLUSIVE",
    ),
    ([BOUND, Slices(by=["shop"], metric="roc_auc", min_rows=9_000, max_gap=0.9)], trial(), "INCONCLUSIVE"),
    ([BOUND, Fairness(group="shop", metric="accuracy", max_gap=0.5)], trial(), "PASS"),
    ([BOUND, Fairness(group="shop", metric="accuracy", max_gap=0.01)], trial(), "FAIL"),
    ([BOUND, Fairness(group="shop", metric="accuracy", max_gap=0.01, min_rows=900)], trial(), "INCONCLUSIVE"),
    ([BOUND, Calibration(max_ece=0.5)], trial(), "PASS"),
    ([BOUND, Calibration(max_ece=0.001)], trial(), "FAIL"),
    ([], trial(), "INCONCLUSIVE"),
    ([Calibration(max_ece=0.5)], trial(), "INCONCLUSIVE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "tried", "verdict"), MODEL_CHECKS, ids=[f"{c}-{v}"[:70] for c, _, v in MODEL_CHECKS]
)
def test_each_model_check_passes_and_refuses(checks: list[ModelCheck], tried: Trial, verdict: str) -> None:
    report = judge_model(checks, tried)
    assert report.verdict.value == verdict, report.summary


def test_few_rows_do_not_show_that_a_model_is_no_worse() -> None:
    tried = trial(champion=True, ahead=0.02)
    few = Trial(tried.rows.head(40), "late", "classification", champion=7)
    report = judge_model([NoWorseThanChampion("roc_auc", margin=0.01)], few)
    assert report.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert not report.verdict.passed
