"""When a view is fresh, due, late, expired: hours after midnight by hand."""

from __future__ import annotations

import pytest

from featurestore.plan.catalog import AggregationRecord, FramePlace, SourceRecord, ViewRecord
from featurestore.plan.freshness import Age, Freshness, age_of

HOUR = 3_600_000_000
SOURCE = SourceRecord(name="s", place=FramePlace(data=b""), event_timestamp="at")


def view(*, every: int | None = None, ttl: int | None = None, delay: int = 0, windowed: bool = False) -> ViewRecord:
    windows = (AggregationRecord(name="n", column="*", function="count", window_us=HOUR),) if windowed else ()
    return ViewRecord(
        name="v",
        entities=(),
        keys=(),
        source=SOURCE,
        aggregations=windows,
        every_us=None if every is None else every * HOUR,
        ttl_us=None if ttl is None else ttl * HOUR,
        delay_us=delay * HOUR,
    )


@pytest.mark.parametrize(
    ("delay", "watermark", "now", "freshness", "behind"),
    [
        (0, 12, 12.9, "fresh", 0),
        (0, 12, 13, "due", 1),
        (0, 12.5, 13.9, "due", 1),  # committed in between: the step of 13 is not there yet
        (0, 12, 14, "late", 2),
        (0, 12, 36, "late", 24),
        (1, 12, 13.9, "fresh", 0),  # the step of 13 is seen at 14
        (1, 12, 14, "due", 1),
        (0, 12, 11, "fresh", 0),
    ],
)
def test_steps_that_could_be_committed_by_now_are_counted(
    delay: int, watermark: float, now: float, freshness: str, behind: int
) -> None:
    age = age_of(view(every=1, delay=delay, windowed=True), int(watermark * HOUR), None, int(now * HOUR))
    assert age == Age(Freshness(freshness), int((now - watermark) * HOUR), behind)


def test_a_plain_view_expires_when_its_last_event_is_older_than_the_ttl() -> None:
    assert age_of(view(ttl=3), 12 * HOUR, 10 * HOUR, 13 * HOUR).freshness is Freshness.FRESH
    assert age_of(view(ttl=3), 12 * HOUR, 10 * HOUR, 13 * HOUR + 1).freshness is Freshness.EXPIRED
    assert age_of(view(ttl=3), 12 * HOUR, None, 99 * HOUR).freshness is Freshness.FRESH


def test_a_windowed_view_expires_when_its_last_step_is_older_than_the_ttl() -> None:
    steps = view(every=2, ttl=3, windowed=True)
    assert age_of(steps, 13 * HOUR, 1, 15 * HOUR) == Age(Freshness.DUE, 2 * HOUR, 1)
    assert age_of(steps, 13 * HOUR, 1, 15 * HOUR + 1) == Age(Freshness.EXPIRED, 2 * HOUR + 1, 1)
    assert age_of(view(ttl=3, windowed=True), 13 * HOUR, 1, 16 * HOUR).freshness is Freshness.FRESH
    assert age_of(view(ttl=3, windowed=True), 13 * HOUR, 1, 16 * HOUR + 1).freshness is Freshness.EXPIRED


def test_without_step_or_ttl_nothing_says_when_a_view_is_old() -> None:
    assert age_of(view(), 12 * HOUR, HOUR, 99 * HOUR) == Age(Freshness.UNSCHEDULED, 87 * HOUR)
    assert age_of(view(), None, None, 99 * HOUR) == Age(Freshness.NEVER)


def test_what_holds_at_all_times_is_never_old() -> None:
    timeless = ViewRecord(
        name="v", entities=(), keys=(), source=SourceRecord(name="s", place=FramePlace(data=b""), timeless=True)
    )
    assert age_of(timeless, 12 * HOUR, None, 99 * HOUR) == Age(Freshness.TIMELESS)
