"""The paired bootstrap: what the difference of two models' metric could have been on other rows of the same kind.

B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals). Both models are
measured on the same drawn rows, so what is hard about a row does not count as a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.gates.scored import better_by
from pipelines.metrics import Numbers, scorer

SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a model is better than the champion; negative: worse.

    `low` and `high` hold the bootstrap's differences, each alone at the confidence asked for; `error` is their standard
    deviation. `samples` counts those in which the metric was defined.
    """

    model: float
    champion: float
    difference: float
    low: float
    high: float
    error: float
    samples: int


def paired_difference(
    metric: str, labels: Numbers, scores: Numbers, champion: Numbers, *, confidence: float, samples: int
) -> Difference | None:
    """The difference over all rows, and over `samples` draws of as many rows; the same whenever it is asked.

    None where the metric is undefined over all rows; draws in which it is count for nothing.
    """
    ours, theirs = scorer(metric, labels, scores), scorer(metric, labels, champion)
    ones = np.ones(labels.size)
    model, other = ours(ones), theirs(ones)
    if model is None or other is None:
        return None
    found = []
    for weights in _draws(labels.size, samples):
        one, two = ours(weights), theirs(weights)
        if one is not None and two is not None:
            found.append(better_by(metric, one, two))
    if not found:
        return None
    low, high = np.quantile(found, [1 - confidence, confidence])
    return Difference(
        model, other, better_by(metric, model, other), float(low), float(high), float(np.std(found)), len(found)
    )


def interval(
    metric: str, labels: Numbers, scores: Numbers, *, confidence: float, samples: int
) -> tuple[float, float] | None:
    """Between which the middle `confidence` of the metric over `samples` draws lies; None where none is defined."""
    ours = scorer(metric, labels, scores)
    found = [value for weights in _draws(labels.size, samples) if (value := ours(weights)) is not None]
    if not found:
        return None
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _draws(rows: int, samples: int) -> Iterator[Numbers]:
    """How often each row was drawn, for each of the samples."""
    draw = np.random.default_rng(SEED)
    for _ in range(samples):
        yield np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(np.float64)
