"""Scores are judged as probabilities, against what chance makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from pipelines.definition.model_gate import Calibration
from pipelines.gates.model_checks import calibration_error
from pipelines.gates.scored import ScoredRows
from pipelines.ledger.records import Verdict
from tests.pipelines.gates.scores import CHANCE, GOOD, LABELS, checked


def test_probabilities_that_are_too_sure_are_refused() -> None:
    check = Calibration(max_ece=0.05)
    assert checked(check, GOOD).verdict is Verdict.PASS
    sure = np.clip((CHANCE - 0.5) * 3 + 0.5, 0, 1)
    result = checked(check, replace(GOOD, scores=sure))
    assert result.verdict is Verdict.FAIL
    assert result.reason == "The expected calibration error is 0.1556, and 0.05 may be."


def test_with_few_rows_a_calibrated_model_looks_uncalibrated_too() -> None:
    few = ScoredRows(LABELS[:50], CHANCE[:50])
    result = checked(Calibration(max_ece=0.05), few)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "with 50 rows a calibrated model has 0.1" in result.reason


def test_the_calibration_error_by_hand() -> None:
    labels, scores = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.3, 0.6, 0.8])
    error, chance, bins = calibration_error(labels, scores, 2)
    assert error == pytest.approx((abs(0.5 - 0.2) + abs(1.0 - 0.7)) / 2)
    assert chance == pytest.approx((np.sqrt(0.2 * 0.8 / np.pi) + np.sqrt(0.7 * 0.3 / np.pi)) / 2)
    assert [row["rows"] for row in bins] == [2, 2]


def test_calibration_bins_are_those_of_scikit_learn() -> None:
    rates, means = calibration_curve(LABELS, CHANCE, n_bins=10, strategy="quantile")
    error, _, bins = calibration_error(LABELS, CHANCE, 10)
    assert [row["rate"] for row in bins] == pytest.approx(rates.tolist(), abs=0.006)  # a row on an edge lies beside
    assert error == pytest.approx(np.abs(rates - means).mean(), abs=0.002)


@settings(max_examples=20)
@given(seed=st.integers(0, 1_000))
def test_the_order_of_rows_means_nothing_to_calibration(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(200)
    labels, scores = LABELS[:200], np.round(CHANCE[:200], 1)
    ours, theirs = (calibration_error(labels[o], scores[o], 10)[0] for o in (order, np.arange(200)))
    assert ours == pytest.approx(theirs)
    assert 0 <= ours <= 1
