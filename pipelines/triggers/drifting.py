"""How far the features of a pipeline moved from what its champion learned from, by the statistics of their views.

Both sides are counted when they are committed, in the same bins, so nothing is read but counts. What the champion
learned from are the intervals before the watermark that it began with; the other side are those of the last window
before the present watermark. An interval is on a side when it overlaps it and has ended by the present watermark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from featurestore.statistics.reading import IntervalCounts, ViewCounts
from featurestore.statistics.views import view_counts
from featurestore.timeline import duration_us
from pipelines.definition.triggers import DataDrift
from pipelines.gates.distances import DISTANCE, noise, shares_of
from pipelines.ledger.triggers import RunBase, TableState
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import Moved

if TYPE_CHECKING:
    from featurestore.store import FeatureStore

History = Callable[[str], ViewCounts]  # the counts of a view, interval by interval


def history_of(store: FeatureStore) -> History:
    """The counts of the views of a store as they serve; none of a timeless view, which holds at all times."""
    catalog = store.serving()

    def history(view: str) -> ViewCounts:
        record = catalog.views[view]
        return ViewCounts() if record.source.timeless else view_counts(record, store.tables)

    return history


def measured_drift(
    history: History, plan: TriggerPlan, trigger: DataDrift, base: RunBase, views: Mapping[str, TableState]
) -> tuple[Moved, ...]:
    """Each feature that the pipeline learns from, by each distance that has a threshold; ks is for numbers alone."""
    thresholds = plan.drift or {"psi": trigger.psi}
    found: list[Moved] = []
    for view, state in views.items():
        then_us = base.views[view].watermark_us if view in base.views else None
        if then_us is None or state.watermark_us is None:
            continue
        counts = history(view)
        ended = [one for one in counts.intervals if one.end_us is not None and one.end_us <= state.watermark_us]
        first_us = None if plan.window_us is None else then_us - plan.window_us
        then = _counts(ended, first_us, then_us)
        now = _counts(ended, state.watermark_us - duration_us(trigger.window), state.watermark_us)
        names = [name for of, name in plan.features if of == view] or list(now)
        for name in names:
            if name in then and name in now:
                ordered = {
                    what: limit for what, limit in thresholds.items() if what != "ks" or name not in counts.texts
                }
                found += _moved((view, name), (then[name], now[name]), ordered, trigger.min_rows)
    return tuple(found)


def _moved(
    what: tuple[str, str], sides: tuple[Sequence[int], Sequence[int]], thresholds: Mapping[str, float], min_rows: int
) -> Iterator[Moved]:
    then, now = sides
    enough = min(sum(then), sum(now)) >= min_rows
    chance = noise(then, now) if enough else {}
    for distance, threshold in thresholds.items():
        value = DISTANCE[distance](shares_of(then), shares_of(now)) if enough else None
        yield Moved(*what, distance, value, threshold, sum(then), sum(now), chance.get(distance, 0.0))


def _counts(intervals: Sequence[IntervalCounts], start_us: int | None, end_us: int) -> dict[str, list[int]]:
    """The counts of all intervals that overlap [start_us, end_us), by feature."""
    inside = [
        one
        for one in intervals
        if (one.start_us is None or one.start_us < end_us)
        and (start_us is None or one.end_us is None or one.end_us > start_us)
    ]
    names = dict.fromkeys(name for one in inside for name in one.counts)
    return {name: [sum(bin_) for bin_ in zip(*_of(name, inside), strict=True)] for name in names}


def _of(name: str, intervals: Sequence[IntervalCounts]) -> Sequence[tuple[int, ...]]:
    return [one.counts[name] for one in intervals if name in one.counts]
