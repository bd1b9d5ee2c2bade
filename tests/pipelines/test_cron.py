"""When a cron expression is due, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.cron import Cron, cron_faults
from featurestore.timeline import format_instant, instant_us

DAY_US = 86_400_000_000
NEW_YORK = "America/New_York"  # clocks went forward on 2013-03-10 at 07:00 UTC, and back on 2013-11-03 at 06:00 UTC


def us(text: str) -> int:
    return instant_us(datetime.fromisoformat(text), "at")


def due(cron: Cron, since: str, until: str) -> list[str]:
    return [format_instant(at)[5:16] for at in takewhile(lambda at: at <= us(until), cron.after_us(us(since)))]


@pytest.mark.parametrize(
    ("expression", "zone", "since", "until", "times"),
    [
        ("0 3 * * *", "UTC", "2013-01-01T03:00Z", "2013-01-03T03:00Z", ["01-02T03:00", "01-03T03:00"]),
        ("0 3 * * *", NEW_YORK, "2013-03-09T00:00Z", "2013-03-10T12:00Z", ["03-09T08:00", "03-10T07:00"]),
        ("30 2 * * *", NEW_YORK, "2013-03-10T00:00Z", "2013-03-11T12:00Z", ["03-10T07:00", "03-11T06:30"]),
        ("30 1 * * *", NEW_YORK, "2013-11-03T00:00Z", "2013-11-04T12:00Z", ["11-03T05:30", "11-04T06:30"]),
        ("0 * * * *", NEW_YORK, "2013-11-03T05:00Z", "2013-11-03T07:00Z", ["11-03T06:00", "11-03T07:00"]),
    ],
    ids=["half open", "by the clocks of the zone", "skipped: at the change", "repeated: once", "hourly"],
)  # fmt: skip
def test_times_are_due(expression: str, zone: str, since: str, until: str, times: list[str]) -> None:
    assert due(Cron(expression, zone), since, until) == times
    assert format_instant(Cron(expression, zone).last_us(us(until)))[5:16] == times[-1]
    assert Cron(expression, zone).count(us(since), us(until), 99) == len(times)


def test_an_instant_with_microseconds_is_behind_its_second() -> None:
    assert Cron("0 3 * * *").last_us(us("2013-01-02T03:00Z") + 1) == us("2013-01-02T03:00Z")
    assert Cron("0 3 * * *").last_us(us("2013-01-02T03:00Z") - 1) == us("2013-01-01T03:00Z")


def test_a_count_ends_where_it_is_told() -> None:
    assert Cron("* * * * *").count(0, DAY_US, 10) == 10


@given(
    st.sampled_from(["30 2 * * *", "15 1-3 * * *", "0 * * * *", "*/20 * * * *", "0 0 * * MON", "5 */2 1 * *"]),
    st.sampled_from([NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.integers(us("2013-01-01T00:00Z"), us("2014-01-01T00:00Z")),
)
def test_the_last_time_is_the_one_that_nothing_follows(expression: str, zone: str, until_us: int) -> None:
    cron = Cron(expression, zone)
    last = cron.last_us(until_us)
    assert last <= until_us
    before = list(takewhile(lambda at: at <= until_us, cron.after_us(last - 45 * DAY_US)))
    assert before[-1] == last
    assert before == sorted(set(before))


@pytest.mark.parametrize("expression", ["0 3 * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *"])
def test_five_fields_are_an_expression(expression: str) -> None:
    assert list(cron_faults(expression, "Europe/Berlin")) == []


@pytest.mark.parametrize("expression", ["0 3 * *", "0 0 3 * * *", "0 25 * * *", "0 0 x 2 *", "nightly", "", None, 3])
def test_what_is_none_is_told(expression: object) -> None:
    (fault,) = cron_faults(expression, "UTC")
    assert fault == f"{expression!r} is no cron expression of five fields, such as '0 3 * * *' for 3 every night."


@pytest.mark.parametrize(("expression", "day"), [("0 0 30 2 *", "30"), ("0 3 32 * *", "32")])
def test_a_day_that_never_comes_is_told(expression: str, day: str) -> None:
    (fault,) = cron_faults(expression, "UTC")
    assert fault == f"{expression!r} never comes: no such month has a day {day}; correct the day or the month."


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", None, 3, "../etc"])
def test_a_zone_that_does_not_exist_is_told(zone: object) -> None:
    (fault,) = cron_faults("0 3 * * *", zone)
    assert fault == f"there is no time zone {zone!r}; write one such as 'America/New_York' or 'UTC'."


def test_a_schedule_goes_on_for_a_long_time() -> None:
    started = datetime(2013, 1, 1, tzinfo=UTC)
    assert len(due(Cron("0 3 * * *"), "2013-01-01T00:00Z", "2013-12-31T23:00Z")) == 365
    assert Cron("0 0 29 2 *").last_us(instant_us(started, "at")) == us("2012-02-29T00:00Z")
    assert instant_us(started + timedelta(days=1), "at") - instant_us(started, "at") == DAY_US
