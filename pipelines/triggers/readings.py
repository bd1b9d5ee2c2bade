"""What a trigger sees, from facts about data, runs and clock: functions without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from featurestore.cron import Cron
from featurestore.timeline import duration_us, format_duration, format_instant
from pipelines.definition.metrics import METRICS
from pipelines.definition.triggers import DataDrift, NewData, PerformanceDrop, Schedule, Trigger
from pipelines.ledger.triggers import RunBase, TableState
from pipelines.triggers.decision import Reading

_COUNTED = 1_000  # times of a schedule that were missed are counted up to here
HANDLED = "handled_us"  # in a schedule's document: the last time that was answered


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a feature is from the data that the champion learned from, by one distance.

    `value` None: fewer rows than are asked for on one side. `noise` is what chance alone gives so few rows.
    """

    view: str
    feature: str
    distance: str
    value: float | None
    threshold: float
    rows_then: int
    rows_now: int
    noise: float = 0.0

    @property
    def drifted(self) -> bool:
        """Whether the distance is above its threshold, and above what chance gives."""
        return self.value is not None and self.value > max(self.threshold, self.noise)


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """The champion's live metric over the predictions of [start_us, end_us), once enough labels had come."""

    start_us: int
    end_us: int
    value: float
    rows: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What readings are made of: the state of each view's table, and `base`, what the last run that trained began with.

    `data` is the digest of all data, `champion` the run whose model is live. `seen` has the document of each trigger's
    last reading. `drift` and `judged` are asked only where a trigger needs them; windows come in order of time. While
    `recorded` is the same no label was recorded; None: nobody knows.
    """

    now_us: int
    data: str
    views: Mapping[str, TableState]
    base: RunBase | None
    champion: int | None
    seen: Mapping[str, Mapping[str, object]]
    drift: Callable[[DataDrift], Sequence[Moved]]
    judged: Callable[[PerformanceDrop], Sequence[JudgedWindow]]
    recorded: int | None = None


def to_the_second(instant_us: int) -> str:
    """The instant for people, its fraction of a second cut off."""
    return format_instant(instant_us - instant_us % 1_000_000)


def read(name: str, trigger: Trigger, facts: Facts) -> Reading:
    """What a trigger sees."""
    match trigger:
        case Schedule():
            return _schedule(name, Cron(trigger.cron, trigger.zone), facts)
        case NewData():
            return _new_data(name, trigger, facts)
        case DataDrift():
            return _drift(name, trigger, facts)
        case PerformanceDrop():
            return _performance(name, trigger, facts)


def _schedule(name: str, cron: Cron, facts: Facts) -> Reading:
    handled = facts.seen.get(name, {}).get(HANDLED)
    if not isinstance(handled, int):
        says = f"watched from {to_the_second(facts.now_us)} on"
        return Reading(name, False, says, edge=True, document={HANDLED: facts.now_us})
    last = cron.last_us(facts.now_us)
    if last <= handled:
        says = f"due next at {format_instant(next(cron.after_us(facts.now_us)))}"
        return Reading(name, False, says, edge=True, document={HANDLED: handled})
    missed = cron.count(handled, last, _COUNTED) - 1
    more = f", and {'once' if missed == 1 else f'{missed} times'} before it" if missed else ""
    says = f"was due at {format_instant(last)}{more}"
    return Reading(name, True, says, edge=True, document={HANDLED: last, "missed": missed})


def _new_data(name: str, trigger: NewData, facts: Facts) -> Reading:
    state = facts.views.get(trigger.view)
    if state is None:
        return Reading(name, False, f"view '{trigger.view}' has committed nothing yet")
    before = facts.base.views.get(trigger.view) if facts.base else None
    same = before is not None and before.table == state.table
    rows = max(0, state.rows - (before.rows if before is not None and same else 0))
    since = f"since run {facts.base.run} began" if facts.base else "in all, and no run has trained yet"
    says = f"{rows:,} of {trigger.min_rows:,} rows {since}"
    return Reading(name, rows >= trigger.min_rows, says, document={"rows": rows, "table_version": state.version})


def _drift(name: str, trigger: DataDrift, facts: Facts) -> Reading:
    """Measured anew only when data or champion have changed."""
    if facts.champion is None:
        return Reading(name, False, "no run has trained yet, so there is nothing to have drifted from")
    seen, of = facts.seen.get(name, {}), {"data": facts.data, "champion": facts.champion}
    if of.items() <= seen.items():
        return Reading(name, bool(seen["fired"]), str(seen["says"]), document=seen)
    moved = sorted(facts.drift(trigger), key=_exceeding, reverse=True)
    fired, says = _drift_told(trigger, moved)
    features = [_moved_document(one) for one in moved[:20]]
    return Reading(name, fired, says, document={**of, "fired": fired, "says": says, "features": features})


def _drift_told(trigger: DataDrift, moved: Sequence[Moved]) -> tuple[bool, str]:
    judged = [one for one in moved if one.value is not None]
    if not judged:
        return False, f"too few rows to judge by, {trigger.min_rows:,} are asked for"
    worst = judged[0]
    where = f"{worst.feature} of {worst.view}: {worst.distance} {worst.value:.3f}"
    if not worst.drifted:
        chance = (
            "" if worst.value is None or worst.value <= worst.threshold else ", but so few rows move that far by chance"
        )
        return False, f"most of all {where}, {worst.threshold:g} would be drift{chance}"
    more = sum(one.drifted for one in judged) - 1
    others = f", and {more} more" if more else ""
    return (
        True,
        f"{where}, above {worst.threshold:g} over the last {format_duration(duration_us(trigger.window))}{others}",
    )


def _exceeding(moved: Moved) -> tuple[bool, float]:
    return moved.drifted, -1.0 if moved.value is None else moved.value / moved.threshold


def _moved_document(moved: Moved) -> dict[str, object]:
    return {
        "view": moved.view,
        "feature": moved.feature,
        "distance": moved.distance,
        "value": moved.value,
        "threshold": moved.threshold,
        "rows_then": moved.rows_then,
        "rows_now": moved.rows_now,
        "noise": moved.noise,
    }


def _performance(name: str, trigger: PerformanceDrop, facts: Facts) -> Reading:
    """Judged anew only when labels were recorded, the champion has changed, or another window has ripened."""
    of = {
        "rule": msgspec.to_builtins(trigger),
        "champion": facts.champion,
        "since": None if facts.base is None else facts.base.run,
        "recorded": facts.recorded,
        "ripens_us": _ripens_us(trigger, facts.now_us),
    }
    seen = facts.seen.get(name, {})
    if facts.recorded is not None and of.items() <= seen.items():
        return Reading(name, bool(seen["fired"]), str(seen["says"]), document=seen)
    read = _performance_now(name, trigger, facts)
    return replace(read, document={**read.document, **of, "fired": read.fired, "says": read.says})


def _ripens_us(trigger: PerformanceDrop, now_us: int) -> int:
    """When the next window can be judged, of those that begin at multiples of their length."""
    length_us, delay_us = duration_us(trigger.window), duration_us(trigger.label_delay)
    return ((now_us - delay_us) // length_us + 1) * length_us + delay_us


def _performance_now(name: str, trigger: PerformanceDrop, facts: Facts) -> Reading:
    since_us = facts.base.as_of_us if facts.base else 0
    windows = [window for window in facts.judged(trigger) if window.start_us >= since_us][-trigger.windows :]
    if len(windows) < trigger.windows:
        said = f"{len(windows)} of {trigger.windows} windows are judged"
        return Reading(name, False, f"{said} since run {facts.base.run} began" if facts.base else said)
    higher = METRICS[trigger.metric].higher
    worse = [window.value < trigger.below if higher else window.value > trigger.below for window in windows]
    values = ", ".join(f"{window.value:.3f}" for window in windows)
    document = {"values": [window.value for window in windows], "until_us": windows[-1].end_us}
    side = "below" if higher else "above"
    until = f"up to {format_instant(windows[-1].end_us)}"
    if all(worse):
        says = f"{trigger.metric} {values} {until}, {side} {trigger.below:g} in each window"
        return Reading(name, True, says, document=document)
    says = f"{trigger.metric} {values} {until}, {side} {trigger.below:g} in {sum(worse)} of {len(worse)} windows"
    return Reading(name, False, says, document=document)
