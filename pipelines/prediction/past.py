"""Live metrics as they could be told at any instant of the past, from what was known then.

A prediction is known from when it was served on, a label of the pipeline's source from its `known_at`, any other from
when it was recorded on. So the source's labels are pretended to have been joined as soon as they were known.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.timeline import duration_us
from pipelines.definition.triggers import PerformanceDrop
from pipelines.prediction.labels import (
    ID,
    all_recorded,
    foremost,
    known_last,
    logged_predictions,
    source_labels,
    window_start,
)
from pipelines.prediction.monitoring import LiveWindow, WindowState, windows_at
from pipelines.rooms import PipelineRooms, predictions_folder

_FROM = "from_us"  # the instant from which on a row was known
_WINDOW = ("version", "start")


@dataclass(frozen=True, slots=True)
class Logged:
    """So many predictions were known at an instant; the first and the last instant that they were asked for."""

    count: int
    first_us: int | None = None
    last_us: int | None = None


@dataclass(slots=True)
class _Window:
    """What could be told of the window of a version: a function of time that steps at `marks` only, in order.

    A row of its predictions and of their labels, from the source and as recorded, is known from `from_us` on.
    """

    rule: PerformanceDrop
    predictions: pl.DataFrame
    source: pl.DataFrame
    recorded: pl.DataFrame
    marks: npt.NDArray[np.int64]
    place: int = 0
    told: LiveWindow | None = None

    def at(self, at_us: int) -> LiveWindow | None:
        """As it was known at an instant; None before it is ripe."""
        place = int(np.searchsorted(self.marks, at_us, side="right"))
        if place != self.place:
            self.place, self.told = place, next(windows_at(at_us, self._known(at_us), self.rule), None)
        return self.told

    def _known(self, at_us: int) -> pl.DataFrame:
        predictions, source, recorded = (
            rows.filter(pl.col(_FROM) <= at_us).drop(_FROM) for rows in (self.predictions, self.source, self.recorded)
        )
        return predictions.join(known_last(pl.concat([foremost(source), recorded])), on=ID, how="left")


class PredictionPast:
    """The predictions of a model and their labels, each with the instant from which on it was known."""

    def __init__(self, predictions: pl.DataFrame, source: pl.DataFrame, recorded: pl.DataFrame) -> None:
        """Frames as of `logged_predictions`, `source_labels` and `all_recorded`."""
        self._predictions = predictions.select(ID, "version", "asked_at", "score", _since("served_at"))
        self._source = source.select(ID, "label", "known_at", _since("seen_at"))
        self._recorded = recorded.select(ID, "label", "known_at", _since("recorded_at"))
        self._windows: dict[PerformanceDrop, dict[int, list[tuple[int, _Window]]]] = {}

    @staticmethod
    def of(rooms: PipelineRooms, name: str) -> PredictionPast:
        """What is logged and recorded of a pipeline's model, and what its source of labels has by now.

        Raises InputError when that source cannot be read as it is declared; without predictions it is not read.
        """
        folder = predictions_folder(rooms.store)
        logged, recorded = logged_predictions(folder, name), all_recorded(folder, name)
        if logged.is_empty():
            return PredictionPast(logged, recorded.clear().rename({"recorded_at": "seen_at"}), recorded)
        source = source_labels(rooms, name, logged)
        return PredictionPast(logged, source, recorded)

    def logged(self, at_us: int) -> Logged:
        """How many predictions were known at an instant."""
        asked = self._predictions.filter(pl.col(_FROM) <= at_us)["asked_at"].dt.epoch("us").to_numpy()
        return Logged(asked.size, int(asked.min()), int(asked.max())) if asked.size else Logged(0)

    def judged(self, rule: PerformanceDrop, version: int, at_us: int) -> list[LiveWindow]:
        """The last `rule.windows` windows of a version that had a verdict at an instant, in order of time."""
        if rule not in self._windows:
            self._windows[rule] = self._divided(rule)
        windows = self._windows[rule].get(version, [])
        begun = bisect_right(windows, at_us, key=lambda window: window[0])
        told = (window.at(at_us) for _, window in reversed(windows[:begun]))
        verdicts = (window for window in told if window is not None and window.state is WindowState.JUDGED)
        return list(islice(verdicts, rule.windows))[::-1]

    def _divided(self, rule: PerformanceDrop) -> dict[int, list[tuple[int, _Window]]]:
        """By version the windows and when each begins, in order."""
        length_us, delay_us = duration_us(rule.window), duration_us(rule.label_delay)
        predictions = self._predictions.with_columns(window_start(length_us)).sort(*_WINDOW, ID)
        of = predictions.select(ID, *_WINDOW)
        source, recorded = (
            labels.join(of, on=ID, maintain_order="left").partition_by(_WINDOW, include_key=False, as_dict=True)
            for labels in (self._source, self._recorded)
        )
        divided: dict[int, list[tuple[int, _Window]]] = {}
        for key, rows in predictions.partition_by(_WINDOW, maintain_order=True, as_dict=True).items():
            version, start = key
            known = source.get(key, self._source.clear())
            told = recorded.get(key, self._recorded.clear())
            steps = np.concatenate([part[_FROM].to_numpy() for part in (rows, known, told)])
            marks = np.unique(np.maximum(steps, start + length_us + delay_us))  # before, it has no verdict anyway
            divided.setdefault(version, []).append((start, _Window(rule, rows, known, told, marks)))
        return divided


def _since(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("us").alias(_FROM)
