"""Metrics equal scikit-learn's, with and without weights, and are None where there is nothing to measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipelines.definition.metrics import METRICS
from pipelines.metrics import Numbers, all_measured, measured, scorer

THEIRS: dict[str, Callable[..., Any]] = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "brier": sk.brier_score_loss,
    "accuracy": lambda y, p, **k: sk.accuracy_score(y, p > 0.5, **k),
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
}


def rows_of(metric: str, seed: int, n: int, ties: bool) -> tuple[Numbers, Numbers]:
    draw = np.random.default_rng(seed)
    if METRICS[metric].kind == "regression":
        labels = draw.normal(100, 20, n)
        return labels, labels + draw.normal(0, 10, n)
    labels = np.concatenate([[0.0, 1.0], draw.integers(0, 2, n - 2).astype(np.float64)])
    scores = np.clip(draw.random(n) * 0.8 + labels * 0.2, 0, 1)
    return labels, np.round(scores, 1) if ties else scores


def test_every_metric_that_can_be_named_is_computed() -> None:
    assert set(THEIRS) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), ties=st.booleans())
def test_metrics_equal_those_of_scikit_learn(metric: str, seed: int, n: int, ties: bool) -> None:
    labels, scores = rows_of(metric, seed, n, ties)
    weights = np.random.default_rng(seed).integers(1, 5, n).astype(np.float64)
    assert measured(metric, labels, scores) == pytest.approx(THEIRS[metric](labels, scores), rel=1e-12, abs=1e-12)
    expected = THEIRS[metric](labels, scores, sample_weight=weights)
    assert scorer(metric, labels, scores)(weights) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_of_weight_three_counts_as_three_rows_and_one_of_weight_zero_not_at_all(metric: str) -> None:
    labels, scores = rows_of(metric, 5, 40, ties=True)
    weights = np.tile([0, 1, 3, 1], 10)
    repeated = measured(metric, np.repeat(labels, weights), np.repeat(scores, weights))
    assert scorer(metric, labels, scores)(weights.astype(np.float64)) == pytest.approx(repeated, rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1_000))
def test_the_order_of_rows_means_nothing(metric: str, seed: int) -> None:
    labels, scores = rows_of(metric, seed, 50, ties=True)
    order = np.random.default_rng(seed).permutation(50)
    assert measured(metric, labels[order], scores[order]) == pytest.approx(measured(metric, labels, scores), rel=1e-12)


def test_auc_of_ties_by_hand() -> None:
    # pairs of a positive (0.4, 0.4) and a negative (0.4, 0.1): tie, right, tie, right
    assert measured("roc_auc", np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.4, 0.4, 0.4, 0.1])) == 0.75


def test_certain_and_wrong_is_a_large_loss_and_no_infinite_one() -> None:
    loss = measured("log_loss", np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert loss == pytest.approx(sk.log_loss([1, 0], np.array([0.0, 0.0]), labels=[0, 1]))


@pytest.mark.parametrize("metric", METRICS)
def test_of_no_rows_there_is_no_metric(metric: str) -> None:
    assert measured(metric, np.empty(0), np.empty(0)) is None


def test_of_one_class_there_is_no_ranking_and_of_equal_labels_nothing_to_explain() -> None:
    ones, scores = np.ones(4), np.array([0.1, 0.7, 0.7, 0.9])
    assert measured("roc_auc", ones, scores) is None
    assert measured("roc_auc", 1 - ones, scores) is None
    assert measured("average_precision", ones, scores) is None
    assert measured("average_precision", 1 - ones, scores) is None
    assert measured("r2", np.full(3, 0.1), np.array([0.1, 0.2, 0.3])) is None
    assert measured("r2", np.array([0.1]), np.array([0.1])) is None


def test_all_metrics_of_a_kind() -> None:
    found = all_measured("regression", np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    assert found == {"mae": 1.0, "rmse": pytest.approx(2**0.5), "r2": pytest.approx(-7.0)}
