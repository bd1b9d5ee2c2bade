"""The judged windows that a PerformanceDrop goes by: those of the champion, now or at an instant of the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pipelines.definition.triggers import PerformanceDrop
from pipelines.ledger.records import CHAMPION_ALIAS
from pipelines.rooms import PipelineRooms
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import JudgedWindow

if TYPE_CHECKING:
    from pipelines.prediction.monitoring import LiveWindow
    from pipelines.prediction.past import PredictionPast

Judged = Callable[[TriggerPlan, PerformanceDrop], Sequence[JudgedWindow]]
JudgedThen = Callable[[TriggerPlan, PerformanceDrop, int], Sequence[JudgedWindow]]


def live_judged(rooms: PipelineRooms) -> Judged:
    """What judges the predictions of each champion by the labels that were recorded."""

    def windows(plan: TriggerPlan, trigger: PerformanceDrop) -> Sequence[JudgedWindow]:
        champion = rooms.ledger.alias(plan.pipeline, CHAMPION_ALIAS)
        if champion is None:
            return ()
        # frames take a while to import, and most looks need none
        from pipelines.prediction.monitoring import judged, live_windows

        return _verdicts(judged(live_windows(rooms, plan.pipeline, trigger, version=champion, samples=0)))

    return windows


def past_judged(rooms: PipelineRooms, past: PredictionPast) -> JudgedThen:
    """What judges, as `live_judged` did then, the predictions of who was champion at an instant of the past.

    A tick counts no window that began before the last run that trained: here the one that made that champion.
    """

    @cache
    def learned_us(model: str, version: int) -> int:
        return rooms.ledger.run(rooms.ledger.model(model, version).run).as_of_us

    moves = cache(rooms.ledger.alias_log)

    def windows(plan: TriggerPlan, trigger: PerformanceDrop, at_us: int) -> Sequence[JudgedWindow]:
        name = plan.pipeline
        before = (move for move in moves(name) if move.alias == CHAMPION_ALIAS and move.at_us <= at_us)
        champion = next((move.to_version for move in before), None)  # the newest comes first
        if champion is None:
            return ()
        since_us = learned_us(name, champion)
        return [window for window in _verdicts(past.judged(trigger, champion, at_us)) if window.start_us >= since_us]

    return windows


def _verdicts(windows: Sequence[LiveWindow]) -> list[JudgedWindow]:
    return [JudgedWindow(w.start_us, w.end_us, w.value, w.labels) for w in windows if w.value is not None]
