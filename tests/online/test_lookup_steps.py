"""Which step of a record answers, and what is said of an absence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.keys import key_encoder
from featurestore.online.lookup import Lookup
from featurestore.online.memory import MemoryOnlineStore
from featurestore.online.values import Publication, pack_record
from featurestore.plan.lookup import ViewLookup
from featurestore.timeline import Status, Visibility
from tests.online.lookups import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    STATS,
    Steps,
    asked,
    at,
    plan_of,
)


class TestSteps:
    """The rule of PointInTimeJoin, on one record."""

    @pytest.mark.parametrize(
        ("delay_us", "at_us", "expected"),
        [
            (0, 9, (None, NOT_FOUND, None)),
            (0, 10, (1.0, PRESENT, at(10))),
            (0, 19, (1.0, PRESENT, at(10))),
            (0, 20, (2.0, PRESENT, at(20))),
            (5, 14, (None, NOT_FOUND, None)),
            (5, 15, (1.0, PRESENT, at(10))),
            (5, 24, (1.0, PRESENT, at(10))),
            (5, 25, (2.0, PRESENT, at(20))),
        ],
    )
    def test_the_last_step_visible_after_the_delay_answers(
        self, delay_us: int, at_us: int, expected: tuple[float | None, Status, datetime | None]
    ) -> None:
        steps = [(10, None, 1.0), (20, None, 2.0)]
        assert asked(replace(STATS, delay_us=delay_us), steps, at_us) == expected

    @pytest.mark.parametrize(
        ("at_us", "expected"),
        [
            (10, (1.0, PRESENT, at(10))),
            (14, (1.0, PRESENT, at(10))),  # age 4
            (15, (1.0, PRESENT, at(10))),  # age 5, the TTL: included
            (16, (None, OUTSIDE_MAX_AGE, at(10))),
        ],
    )
    def test_a_step_answers_up_to_its_ttl_with_the_end_included(
        self, at_us: int, expected: tuple[float | None, Status, datetime | None]
    ) -> None:
        assert asked(replace(STATS, ttl_us=5), [(10, None, 1.0)], at_us) == expected

    def test_the_age_counts_from_the_event_and_not_from_when_it_became_visible(self) -> None:
        late = replace(STATS, delay_us=10, ttl_us=5)
        assert asked(late, [(10, None, 1.0)], 20) == (None, OUTSIDE_MAX_AGE, at(10))

    @pytest.mark.parametrize(
        ("visibility", "at_us", "value"),
        [
            ("event", 25, 3.0),
            ("created", 25, 1.0),  # the correction of 20 is created at 40, that of 10 at 30
            ("created", 30, 2.0),
            ("created", 39, 2.0),
            ("created", 40, 3.0),
        ],
    )
    def test_with_visibility_created_a_step_waits_for_its_created_time(
        self, visibility: Visibility, at_us: int, value: float
    ) -> None:
        steps = [(10, None, 1.0), (10, 30, 2.0), (20, 40, 3.0)]
        assert asked(replace(STATS, visibility=visibility), steps, at_us)[0] == value

    @pytest.mark.parametrize(
        ("at_us", "expected"),
        [
            (29, (2.0, PRESENT, at(20))),
            (30, (1.0, PRESENT, at(10))),
            (39, (1.0, PRESENT, at(10))),
            (40, (3.0, PRESENT, at(20))),
            (49, (3.0, PRESENT, at(20))),
            (50, (1.0, PRESENT, at(10))),
            (60, (None, NOT_FOUND, None)),
        ],
    )
    def test_a_marker_cancels_what_stands_before_it_of_its_event_time_once_it_is_created(
        self, at_us: int, expected: tuple[float | None, Status, datetime | None]
    ) -> None:
        steps = [(10, 10, 1.0), (10, 60), (20, 20, 2.0), (20, 30), (20, 40, 3.0), (20, 50)]
        assert asked(replace(STATS, visibility="created"), steps, at_us) == expected

    def test_what_a_marker_uncovers_is_judged_by_its_own_age(self) -> None:
        steps = [(10, 10, 1.0), (20, 20, 2.0), (20, 30)]
        aged = replace(STATS, visibility="created", ttl_us=15)
        assert asked(aged, steps, 29) == (2.0, PRESENT, at(20))
        assert asked(aged, steps, 30) == (None, OUTSIDE_MAX_AGE, at(10))

    def test_a_step_whose_value_is_null_has_a_null_value(self) -> None:
        assert asked(STATS, [(10, None, 1.0), (20, None, None)], 20) == (None, NULL_VALUE, at(20))

    def test_a_timeless_view_answers_at_any_instant(self) -> None:
        timeless = replace(STATS, timeless=True)
        assert asked(timeless, [(None, None, 1.0)], 0) == (1.0, PRESENT, None)

    def test_nan_is_present(self) -> None:
        value, status, _ = asked(STATS, [(10, None, float("nan"))], 20)
        assert value != value  # only NaN does
        assert status is PRESENT

    @given(st.data())
    def test_any_record_answers_as_the_rule_says(self, data: st.DataObject) -> None:
        instants, maybe = st.integers(0, 12), st.none() | st.integers(0, 12)
        values = st.tuples(st.none() | st.floats(0, 9)) | st.just(())
        rows = data.draw(st.lists(st.tuples(instants, maybe, values), min_size=1, max_size=6))
        rows.sort(key=lambda row: (row[0], -1 if row[1] is None else row[1]))
        view = replace(
            STATS,
            delay_us=data.draw(st.integers(0, 4)),
            ttl_us=data.draw(st.none() | st.integers(0, 6)),
            visibility=data.draw(st.sampled_from(("event", "created"))),
        )
        if view.visibility == "event":  # then no record holds a marker
            rows = [(event, created, value or (None,)) for event, created, value in rows]
        steps: Steps = [(event, created, *value) for event, created, value in rows]
        at_us = data.draw(st.integers(0, 16))
        assert asked(view, steps, at_us) == _by_the_rule(view, steps, at_us)


def _by_the_rule(view: ViewLookup, steps: Steps, at_us: int) -> tuple[Any, Status, datetime | None]:
    """Nested loops: of each event time the visible row greatest by created time (null lowest), then position; of those
    that are no markers the greatest.
    """
    best: dict[Any, tuple[Any, ...]] = {}
    for position, (event, created, *value) in enumerate(steps):
        visible = event + view.delay_us <= at_us  # type: ignore[operator]  # it is an int
        if view.visibility == "created" and created is not None and created > at_us:  # type: ignore[operator]  # as above
            visible = False
        rank = (-1 if created is None else created, position)
        if visible and (event not in best or rank > best[event][0]):
            best[event] = (rank, *value)
    standing = {event: found for event, found in best.items() if len(found) == 2}
    if not standing:
        return None, NOT_FOUND, None
    event = max(standing)
    _, value = standing[event]
    if view.ttl_us is not None and at_us - event > view.ttl_us:
        return None, OUTSIDE_MAX_AGE, at(event)
    return value, NULL_VALUE if value is None else PRESENT, at(event)


class TestWindows:
    """A windowed view's record holds values at grid instants; the value at t stands at v."""

    HOURLY = replace(STATS, windowed=True, every_us=10)
    STEPS: Steps = ((10, None, 1.0), (30, None, 3.0))  # at 20 as at 10

    @pytest.mark.parametrize(
        ("every_us", "delay_us", "watermark_us", "at_us", "expected"),
        [
            (10, 0, 100, 9, (None, NOT_FOUND, None)),
            (10, 0, 100, 10, (1.0, PRESENT, at(10))),
            (10, 0, 100, 29, (1.0, PRESENT, at(20))),  # v is the event time, though the value has stood since 10
            (10, 0, 100, 30, (3.0, PRESENT, at(30))),
            (10, 3, 100, 32, (1.0, PRESENT, at(20))),
            (10, 3, 100, 33, (3.0, PRESENT, at(30))),
            (10, 0, 29, 99, (1.0, PRESENT, at(20))),  # never beyond the watermark
            (10, 0, 30, 99, (3.0, PRESENT, at(30))),
            (None, 0, 100, 29, (1.0, PRESENT, at(29))),  # continuous: v is t
            (None, 0, 35, 99, (3.0, PRESENT, at(35))),
            (10, 0, None, 99, (3.0, PRESENT, at(90))),
        ],
    )
    def test_the_last_step_at_or_before_v_answers(
        self,
        every_us: int | None,
        delay_us: int,
        watermark_us: int | None,
        at_us: int,
        expected: tuple[float | None, Status, datetime | None],
    ) -> None:
        view = replace(self.HOURLY, every_us=every_us, delay_us=delay_us)
        assert self.asked(view, at_us, watermark_us) == expected

    def test_the_ttl_counts_from_v(self) -> None:
        view = replace(self.HOURLY, ttl_us=9)
        assert self.asked(view, 29, watermark_us=100) == (1.0, PRESENT, at(20))
        assert self.asked(view, 39, watermark_us=30) == (3.0, PRESENT, at(30))
        assert self.asked(view, 40, watermark_us=30) == (None, OUTSIDE_MAX_AGE, at(30))

    def asked(self, view: ViewLookup, at_us: int, watermark_us: int | None) -> tuple[Any, Status, datetime | None]:
        store = MemoryOnlineStore()
        record = pack_record([list(step) for step in self.STEPS])
        meta = Publication(published_us=0, version=1, watermark_us=watermark_us).pack()
        store.replace(view.namespace, [(key_encoder(view.keys)([1]) or b"", record)], meta=meta)
        answer = Lookup(plan_of(view), store).answer([{"user": 1}], at_us=at_us)
        return answer.to_dict()["spend"][0], answer.statuses["spend"][0], answer.event_timestamps["spend"][0]
