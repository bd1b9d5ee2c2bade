"""Evaluate: how good a model is on rows that it has not seen, and the champion on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from featurestore.errors import InputError, UnknownNameError
from featurestore.store import FeatureStore
from pipelines.definition.metrics import METRICS
from pipelines.frames import Labels, Signature, label_values, model_frame
from pipelines.metrics import all_measured, measured
from pipelines.models.document import Metrics
from pipelines.models.scoring import Scores, score
from pipelines.steps.split import Parts

SCORE, CHAMPION_SCORE = "__score", "__champion_score"
GOLDEN = 50
_POINTS = 100
_IMPORTANCE_ROWS = 1_000


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics by part of the split; those of the champion on the test rows, where there is one."""

    metrics: dict[str, Metrics]
    champion: int | None
    champion_metrics: Metrics


@dataclass(frozen=True, slots=True)
class Contestant:
    """A fitted model with what it is asked with."""

    model: object
    signature: Signature

    def scores(self, rows: pl.DataFrame) -> Scores:
        """A score for each row."""
        return score(self.model, model_frame(rows, self.signature.inputs), self.signature.kind)


@dataclass(frozen=True, slots=True)
class Champion:
    """The live version, and the test rows with the inputs that it learned from, in the same order."""

    version: int
    contestant: Contestant
    rows: pl.DataFrame


def evaluate(
    candidate: Contestant, parts: Parts, sliced: tuple[str, ...], champion: Champion | None
) -> tuple[Evaluated, pl.DataFrame]:
    """The metrics, and the test rows with label, SCORE, CHAMPION_SCORE and the columns of slices."""
    signature = candidate.signature
    judged = {"validation": parts.validation, "test": parts.test}
    labels = {part: label_values(rows, signature.label, signature.kind) for part, rows in judged.items() if rows.height}
    scores = {part: candidate.scores(judged[part]) for part in labels}
    table = parts.test.select(list(dict.fromkeys((*sliced, signature.label))))
    table = table.with_columns(pl.Series(signature.label, labels["test"]), pl.Series(SCORE, scores["test"]))
    theirs: Metrics = {}
    if champion is not None:
        found = champion.contestant.scores(champion.rows)
        table = table.with_columns(pl.Series(CHAMPION_SCORE, found))
        theirs = all_measured(signature.kind, labels["test"], found)
    return Evaluated(
        metrics={part: all_measured(signature.kind, labels[part], scores[part]) for part in scores},
        champion=None if champion is None else champion.version,
        champion_metrics=theirs,
    ), table


def champion_rows(store: FeatureStore, champion: Signature, test: pl.DataFrame, timestamp: str) -> pl.DataFrame:
    """The test rows as the champion is asked: where inputs are missing, with those that its own service has.

    Raises InputError when that service has them no more.
    """
    if all(name in test.columns for name in champion.names):
        return test
    request = [name for name, _ in champion.request]
    asked = list(dict.fromkeys((*champion.keys, *request, timestamp)))
    try:
        rows = store.get_historical_features(test.select(asked), champion.service, timestamp=timestamp).to_polars()
        lost = [name for name in champion.names if name not in rows.columns]
    except (UnknownNameError, InputError, pl.exceptions.ColumnNotFoundError):
        lost = [name for name in champion.names if name not in test.columns]
    if lost:
        raise InputError(
            f"The champion learned from '{lost[0]}' of service '{champion.service}', which is there no more, so the "
            "two cannot be compared on the same rows. Apply that service again beside the new one."
        )
    return rows


def golden_requests(candidate: Contestant, parts: Parts, timestamp: str, count: int = GOLDEN) -> pl.DataFrame:
    """Test rows, evenly spaced, with keys, instant, request data, inputs and SCORE: what serving must answer."""
    signature = candidate.signature
    step = max(1, parts.test.height // count)
    rows = parts.test.gather_every(step).head(count)
    request = [name for name, _ in signature.request]
    kept = rows.select(list(dict.fromkeys((*signature.keys, *request, timestamp, *signature.names))))
    return kept.with_columns(pl.Series(SCORE, candidate.scores(rows)))


def curves(candidate: Contestant, parts: Parts) -> dict[str, object]:
    """What plots are drawn from, as JSON values: at most 100 points each.

    Of a classifier `roc` (false and true positive rates), `precision_recall` (recall, precision), `calibration` (mean
    score, share of positives, rows); of a regressor `residuals` and `fitted` (predicted and actual, of
    at most 400 rows). `importance`: by how much the main metric falls when
    an input's values are shuffled among at most 1,000 test rows (Breiman 2001).
    """
    labels = label_values(parts.test, candidate.signature.label, candidate.signature.kind)
    scores = candidate.scores(parts.test)
    drawn = (
        _of_classifier(labels, scores) if candidate.signature.kind == "classification" else _residuals(labels, scores)
    )
    return drawn | {"importance": _importance(candidate, parts.test)}


def _of_classifier(labels: Labels, scores: Scores) -> dict[str, object]:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    told = np.arange(1, labels.size + 1)
    at = np.unique(np.linspace(0, labels.size - 1, min(_POINTS, labels.size)).astype(int))
    positives, negatives = max(float(hits[-1]), 1.0), max(float(labels.size - hits[-1]), 1.0)
    bins = [part for part in np.array_split(order[::-1], 10) if part.size]
    return {
        "roc": [[0.0, 0.0], *np.column_stack([(told - hits)[at] / negatives, hits[at] / positives]).tolist()],
        "precision_recall": np.column_stack([hits[at] / positives, (hits / told)[at]]).tolist(),
        "calibration": [[float(scores[part].mean()), float(labels[part].mean()), int(part.size)] for part in bins],
    }


def _residuals(labels: Labels, scores: Scores) -> dict[str, object]:
    counts, edges = np.histogram(labels - scores, bins=30)
    at = np.unique(np.linspace(0, labels.size - 1, min(4 * _POINTS, labels.size)).astype(int))
    fitted = np.column_stack([scores[at], labels[at]]).tolist()
    return {"residuals": {"counts": counts.tolist(), "edges": edges.tolist()}, "fitted": fitted}


def _importance(candidate: Contestant, test: pl.DataFrame) -> dict[str, float]:
    signature = candidate.signature
    metric = "roc_auc" if signature.kind == "classification" else "rmse"
    rows = test.gather_every(max(1, test.height // _IMPORTANCE_ROWS)).head(_IMPORTANCE_ROWS)
    labels, frame = label_values(rows, signature.label, signature.kind), model_frame(rows, signature.inputs)
    sign = 1 if METRICS[metric].higher else -1

    def value(of: pl.DataFrame) -> float:
        return measured(metric, labels, score(candidate.model, of, signature.kind)) or 0.0

    draw, found = np.random.default_rng(0), dict[str, float]()
    with threadpool_limits(1):  # so few rows are no work to share
        whole = value(frame)
        for name in signature.names:
            shuffled = frame.with_columns(frame[name].gather(draw.permutation(rows.height)))
            found[name] = sign * (whole - value(shuffled))
    return dict(sorted(found.items(), key=lambda item: -item[1]))
