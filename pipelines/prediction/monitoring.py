"""Live metrics: predictions and the labels that came later, by windows of time; only ripe windows give a verdict.

A window is ripe `label_delay` after its end, when `min_coverage` of its predictions and `min_rows` have a label.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from featurestore.errors import InputError, UnknownNameError
from featurestore.timeline import duration_us
from pipelines.definition.metrics import METRICS
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.definition.triggers import PerformanceDrop
from pipelines.gates.bootstrap import interval
from pipelines.metrics import measured
from pipelines.prediction.labels import ID, predicted_scores, recorded_labels
from pipelines.rooms import PipelineRooms, predictions_folder

CONFIDENCE, SAMPLES = 0.95, 200


class WindowState(StrEnum):
    """What can be said of a window."""

    JUDGED = "JUDGED"
    YOUNG = "YOUNG"
    FEW_LABELS = "FEW_LABELS"
    FEW_ROWS = "FEW_ROWS"
    UNDEFINED = "UNDEFINED"


@dataclass(frozen=True, slots=True)
class LiveWindow:
    """The predictions of a version that were asked for in [start_us, end_us), and how many have a label.

    `value` is the metric, None unless the window is JUDGED; the bootstrap's 95% of values lie from `low` to `high`.
    """

    start_us: int
    end_us: int
    version: int
    predictions: int
    labels: int
    state: WindowState
    value: float | None = None
    low: float | None = None
    high: float | None = None


def rule_of(pipeline: TrainingPipeline, metric: str | None) -> PerformanceDrop:
    """By what to judge: the pipeline's own PerformanceDrop for the metric, by default its first; else the defaults."""
    drops = [trigger for trigger in pipeline.triggers if isinstance(trigger, PerformanceDrop)]
    for drop in drops:
        if metric in (None, drop.metric):
            return drop
    if metric is None:
        raise InputError(f"Pipeline '{pipeline.name}' has no PerformanceDrop; say which metric with --metric.")
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    return PerformanceDrop(metric, below=0.0)


def live_windows(
    rooms: PipelineRooms,
    model: str,
    rule: PerformanceDrop,
    *,
    version: int | None = None,
    newest: int = sys.maxsize,
    samples: int = SAMPLES,
) -> list[LiveWindow]:
    """The windows in which a model predicted, by time and version; `version`: only that one; the `newest` of them.

    Windows are aligned to the epoch. With no `samples` there are no intervals.
    """
    folder, length = predictions_folder(rooms.store), duration_us(rule.window)
    rows = predicted_scores(folder, model, version, length_us=length, newest=newest)
    rows = rows.join(recorded_labels(folder, model), on=ID, how="left")
    return list(windows_at(rooms.store.now_us(), rows, rule, samples))[-newest:]


def windows_at(now_us: int, rows: pl.DataFrame, rule: PerformanceDrop, samples: int = 0) -> Iterator[LiveWindow]:
    """What can be said at an instant of the windows of the predictions that are known then, by time and version.

    `rows` are these predictions: prediction_id, version, `start` of the window, score, label (null: not known yet).
    """
    length, delay = duration_us(rule.window), duration_us(rule.label_delay)
    for (start, version), part in rows.sort("start", "version", ID).group_by("start", "version", maintain_order=True):
        labelled = part.filter(pl.col("label").is_not_null())
        end = int(str(start)) + length
        found = (int(str(start)), end, int(str(version)), part.height, labelled.height)
        if end + delay > now_us:
            yield LiveWindow(*found, WindowState.YOUNG)
        elif labelled.height < rule.min_coverage * part.height:
            yield LiveWindow(*found, WindowState.FEW_LABELS)
        elif labelled.height < rule.min_rows:
            yield LiveWindow(*found, WindowState.FEW_ROWS)
        else:
            yield _judged(found, labelled, rule.metric, samples)


def _judged(found: tuple[int, int, int, int, int], rows: pl.DataFrame, metric: str, samples: int) -> LiveWindow:
    labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
    value = measured(metric, labels, scores)
    if value is None:
        return LiveWindow(*found, WindowState.UNDEFINED)
    between = interval(metric, labels, scores, confidence=CONFIDENCE, samples=samples) if samples else None
    return LiveWindow(*found, WindowState.JUDGED, value, *(between or (None, None)))


def judged(windows: Sequence[LiveWindow]) -> list[LiveWindow]:
    """Those that have a verdict."""
    return [window for window in windows if window.state is WindowState.JUDGED]
