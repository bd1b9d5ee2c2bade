"""Whether what a view has committed is as new as its declaration asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from featurestore.plan.catalog import ViewRecord
from featurestore.timeline import floor_to_grid


class Freshness(StrEnum):
    """How what is committed compares with what a view declares.

    FRESH: nothing is due. DUE: the newest step is. LATE: more than one step is. EXPIRED: every value is older than the
    TTL. NEVER: nothing is committed. TIMELESS: what holds at all times is never old. UNSCHEDULED: neither a step nor a
    TTL says when it is old.
    """

    FRESH = "fresh"
    DUE = "due"
    LATE = "late"
    EXPIRED = "expired"
    NEVER = "never"
    TIMELESS = "timeless"
    UNSCHEDULED = "unscheduled"


@dataclass(frozen=True, slots=True)
class Age:
    """How old a view is: `lag_us` from its watermark to now (None: it has none, or is timeless).

    `steps_behind` counts the steps of `every` that could be committed by now and are not (None: it has no steps).
    """

    freshness: Freshness
    lag_us: int | None = None
    steps_behind: int | None = None


def age_of(view: ViewRecord, watermark_us: int | None, last_event_us: int | None, now_us: int) -> Age:
    """The age of a view at `now_us`, committed up to a watermark, with its greatest event time.

    The newest value of a plain view stands at its last event, that of a windowed view at its last step.
    """
    if watermark_us is None:
        return Age(Freshness.NEVER)
    if view.source.timeless:
        return Age(Freshness.TIMELESS)
    lag = now_us - watermark_us
    behind, newest = None, last_event_us
    if view.aggregations:
        newest = watermark_us if view.every_us is None else floor_to_grid(watermark_us, view.every_us)
    if view.aggregations and view.every_us is not None and newest is not None:
        behind = max(0, (floor_to_grid(now_us - view.delay_us, view.every_us) - newest) // view.every_us)
    if view.ttl_us is not None and newest is not None and now_us - newest > view.ttl_us:
        return Age(Freshness.EXPIRED, lag, behind)
    if behind is None:
        return Age(Freshness.UNSCHEDULED if view.ttl_us is None else Freshness.FRESH, lag)
    return Age((Freshness.FRESH, Freshness.DUE, Freshness.LATE)[min(behind, 2)], lag, behind)
