"""The metrics that gates name, computed: equal to scikit-learn's, with weights, None where undefined.

A scorer looks at labels and scores once (it sorts them, or takes each row's loss) and then answers for any weights of
the rows: a bootstrap asks hundreds of times. Labels of a classification are 0 and 1, scores the probability of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pipelines.definition.metrics import METRICS

Numbers = NDArray[np.float64]
Scorer = Callable[[Numbers], float | None]  # weights, one per row (none negative), to the metric; None: undefined

_EPS = float(np.finfo(np.float64).eps)  # so far from 0 and 1 probabilities are held, as scikit-learn holds them


def scorer(metric: str, labels: Numbers, scores: Numbers) -> Scorer:
    """What answers the metric for weights of the rows; labels and scores are equally long and finite."""
    return _SCORERS[metric](labels, scores)


def measured(metric: str, labels: Numbers, scores: Numbers) -> float | None:
    """The metric over all rows.

    None where it is undefined: of no rows; ROC AUC and average precision of one class only; r2 of one row, or of
    labels that are all equal.

    >>> measured("roc_auc", np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    return scorer(metric, labels, scores)(np.ones(labels.size))


def _roc_auc(labels: Numbers, scores: Numbers) -> Scorer:
    """By ranks: of all pairs of a positive and a negative, those in the right order, ties half (Mann and Whitney)."""
    ups, downs = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    downs = downs[np.argsort(scores[downs], kind="stable")]
    below, upto = (np.searchsorted(scores[downs], scores[ups], side=side) for side in ("left", "right"))

    def score(weights: Numbers) -> float | None:
        passed = np.concatenate([[0.0], np.cumsum(weights[downs])])
        w = weights[ups]
        pairs = w.sum() * passed[-1]
        if not pairs > 0:
            return None
        return _dot(w, passed[below] + passed[upto]) / (2 * float(pairs))

    return score


def _average_precision(labels: Numbers, scores: Numbers) -> Scorer:
    """The precision at each score, from the highest down, weighted by the recall that it adds."""
    order = np.argsort(-scores, kind="stable")
    ascending, positive = scores[order], (labels[order] == 1).astype(np.float64)
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]])[: scores.size])

    def score(weights: Numbers) -> float | None:
        w = weights[order]
        ups, alls = _sums(w * positive, starts), _sums(w, starts)
        found, taken = np.cumsum(ups), np.cumsum(alls)
        if not taken.size or not 0 < found[-1] < taken[-1]:
            return None
        return _dot(ups / found[-1], np.divide(found, taken, out=np.zeros_like(found), where=taken > 0))

    return score


def _sums(values: Numbers, starts: NDArray[np.int64]) -> Numbers:
    if starts.size == values.size:
        return values
    sums: Numbers = np.add.reduceat(values, starts)
    return sums


def _dot(left: Numbers, right: Numbers) -> float:
    """The sum of products, in numpy's own order: BLAS would start threads, and add up otherwise with each number."""
    return float((left * right).sum())


def _mean(losses: Numbers) -> Scorer:
    """The weighted mean of each row's loss."""

    def score(weights: Numbers) -> float | None:
        total = weights.sum()
        return _dot(losses, weights) / float(total) if total > 0 else None

    return score


def _log_loss(labels: Numbers, scores: Numbers) -> Scorer:
    held = np.clip(scores, _EPS, 1 - _EPS)
    return _mean(-np.log(np.where(labels == 1, held, 1 - held)))


def _brier(labels: Numbers, scores: Numbers) -> Scorer:
    return _mean((scores - labels) ** 2)


def _accuracy(labels: Numbers, scores: Numbers) -> Scorer:
    return _mean(((scores > 0.5) == (labels == 1)).astype(np.float64))


def _mae(labels: Numbers, scores: Numbers) -> Scorer:
    return _mean(np.abs(scores - labels))


def _rmse(labels: Numbers, scores: Numbers) -> Scorer:
    mean = _mean((scores - labels) ** 2)

    def score(weights: Numbers) -> float | None:
        square = mean(weights)
        return None if square is None else float(np.sqrt(square))

    return score


def _r2(labels: Numbers, scores: Numbers) -> Scorer:
    missed, centred = (scores - labels) ** 2, labels - (labels.mean() if labels.size else 0.0)
    squared = centred**2

    def score(weights: Numbers) -> float | None:
        total = weights.sum()
        if np.count_nonzero(weights) < 2:
            return None
        spread = _dot(squared, weights) - _dot(centred, weights) ** 2 / float(total)
        return 1 - _dot(missed, weights) / spread if spread > 0 else None

    return score


_SCORERS: Mapping[str, Callable[[Numbers, Numbers], Scorer]] = MappingProxyType(
    {
        "roc_auc": _roc_auc,
        "average_precision": _average_precision,
        "log_loss": _log_loss,
        "brier": _brier,
        "accuracy": _accuracy,
        "mae": _mae,
        "rmse": _rmse,
        "r2": _r2,
    }
)


def all_measured(kind: str, labels: Numbers, scores: Numbers) -> dict[str, float | None]:
    """Every metric for that kind of label, by name."""
    return {name: measured(name, labels, scores) for name, metric in METRICS.items() if metric.kind == kind}
