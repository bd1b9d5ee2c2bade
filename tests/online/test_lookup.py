"""Lookups: which step answers, what is said of an absence, what a wrong request is told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.arrow import polars_type
from featurestore.dtypes import Date, Decimal, DType, Float64, Int64, List, String, Timestamp, Vector, Wire
from featurestore.errors import ConfigurationError, InputError, NotPublishedError, OnlineStoreError
from featurestore.online.keys import key_encoder
from featurestore.online.lookup import Lookup
from featurestore.online.memory import MemoryOnlineStore
from featurestore.online.values import Publication, pack_record
from featurestore.plan.lookup import LookupColumn, LookupPlan, ViewLookup
from featurestore.plan.on_demand import Expressions, OnDemandStep
from featurestore.timeline import Status, Visibility

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = Status
STATS = ViewLookup("user_stats", "p/user_stats", (("user", Int64),), (LookupColumn(0, "spend", Float64),))
NOW_US = 1_000

Steps = Sequence[tuple[int | None, int | None, Wire]]


def plan_of(*views: ViewLookup, outputs: Sequence[str] = ()) -> LookupPlan:
    columns = {column.name: column.dtype for view in views for column in view.columns}
    return LookupPlan("svc", views, (), (), tuple((name, columns[name]) for name in outputs or columns))


def published(view: ViewLookup, records: dict[Any, Steps], since_us: int = 0) -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    publish(store, view, records, since_us)
    return store


def publish(store: MemoryOnlineStore, view: ViewLookup, records: dict[Any, Steps], since_us: int = 0) -> None:
    encode = key_encoder(view.keys)
    items = [
        (encode(key if isinstance(key, tuple) else (key,)) or b"", pack_record([list(step) for step in steps]))
        for key, steps in records.items()
    ]
    store.replace(view.namespace, items, meta=Publication(published_us=since_us, version=1).pack())


def asked(view: ViewLookup, steps: Steps, at_us: int) -> tuple[Any, Status, datetime | None]:
    """The value, status and event time of user 1 with these steps."""
    answer = Lookup(plan_of(view), published(view, {1: steps})).answer([{"user": 1}], at_us=at_us)
    return answer.to_dict()["spend"][0], answer.statuses["spend"][0], answer.event_timestamps["spend"][0]


def at(micros: int) -> datetime:
    return datetime(1970, 1, 1, 0, 0, 0, micros, UTC)


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
        steps: Steps = sorted(
            data.draw(st.lists(st.tuples(instants, maybe, st.none() | st.floats(0, 9)), min_size=1, max_size=5)),
            key=lambda step: (step[0], -1 if step[1] is None else step[1]),
        )
        view = replace(
            STATS,
            delay_us=data.draw(st.integers(0, 4)),
            ttl_us=data.draw(st.none() | st.integers(0, 6)),
            visibility=data.draw(st.sampled_from(("event", "created"))),
        )
        at_us = data.draw(st.integers(0, 16))
        assert asked(view, steps, at_us) == _by_the_rule(view, steps, at_us)


def _by_the_rule(view: ViewLookup, steps: Steps, at_us: int) -> tuple[Any, Status, datetime | None]:
    """Nested loops: the greatest (event time, created time with null lowest, position) of the visible rows."""
    best = None
    for position, (event, created, value) in enumerate(steps):
        assert event is not None
        visible = event + view.delay_us <= at_us
        if view.visibility == "created" and created is not None and created > at_us:
            visible = False
        rank = (event, -1 if created is None else created, position)
        if visible and (best is None or rank > best[0]):
            best = (rank, event, value)
    if best is None:
        return None, NOT_FOUND, None
    _, event, value = best
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


class TestAnswers:
    ITEMS = ViewLookup(
        "item_stats",
        "p/item_stats",
        (("shop", String), ("item", String)),
        (LookupColumn(2, "price", Int64), LookupColumn(0, "name", String)),
    )

    @pytest.fixture
    def store(self) -> MemoryOnlineStore:
        store = published(STATS, {1: [(10, None, 1.5)], 2: [(20, None, None)]})
        encode = key_encoder(self.ITEMS.keys)
        items = [
            (encode(("1", "23")) or b"", pack_record([[10, None, "left", True, 5]])),
            (encode(("12", "3")) or b"", pack_record([[30, None, "right", True, 2**62]])),
        ]
        store.replace(self.ITEMS.namespace, items, meta=Publication(0, 1).pack())
        return store

    ROWS = (
        {"user": 1, "shop": "1", "item": "23"},
        {"user": 2, "shop": "12", "item": "3"},
        {"user": 3, "shop": "123", "item": ""},
        {"user": None, "shop": "1", "item": None},
        {"user": 1, "shop": "1", "item": "23"},
    )

    def test_one_row_per_entity_row_in_order_with_keys_first(self, store: MemoryOnlineStore) -> None:
        answer = Lookup(plan_of(STATS, self.ITEMS), store).answer(self.ROWS, at_us=NOW_US)
        assert answer.to_dict() == {
            "user": [1, 2, 3, None, 1],
            "shop": ["1", "12", "123", "1", "1"],
            "item": ["23", "3", "", None, "23"],
            "spend": [1.5, None, None, None, 1.5],
            "price": [5, 2**62, None, None, 5],
            "name": ["left", "right", None, None, "left"],
        }
        assert list(answer.to_dict()) == ["user", "shop", "item", "spend", "price", "name"]
        assert len(answer) == 5

    def test_each_feature_has_its_statuses_and_event_times(self, store: MemoryOnlineStore) -> None:
        answer = Lookup(plan_of(STATS, self.ITEMS), store).answer(self.ROWS, at_us=NOW_US)
        found = [PRESENT, PRESENT, NOT_FOUND, NOT_FOUND, PRESENT]
        assert answer.statuses == {
            "spend": [PRESENT, NULL_VALUE, NOT_FOUND, NOT_FOUND, PRESENT], "price": found, "name": found
        }  # fmt: skip
        times = [at(10), at(30), None, None, at(10)]
        assert answer.event_timestamps == {
            "spend": [at(10), at(20), None, None, at(10)], "price": times, "name": times
        }  # fmt: skip

    def test_outputs_come_in_the_order_of_the_plan(self, store: MemoryOnlineStore) -> None:
        plan = plan_of(STATS, self.ITEMS, outputs=("name", "spend"))
        answer = Lookup(plan, store).answer(self.ROWS[:2], at_us=NOW_US)
        assert list(answer.to_dict()) == ["user", "shop", "item", "name", "spend"]
        assert answer.to_dict()["name"] == ["left", "right"]
        assert answer.statuses == {"name": [PRESENT, PRESENT], "spend": [PRESENT, NULL_VALUE]}
        assert answer.event_timestamps["name"] == [at(10), at(30)]

    def test_frames_have_the_logical_types(self, store: MemoryOnlineStore) -> None:
        answer = Lookup(plan_of(STATS, self.ITEMS), store).answer(self.ROWS, at_us=NOW_US)
        frame = answer.to_polars()
        assert frame.schema == {
            "user": pl.Int64, "shop": pl.String, "item": pl.String,
            "spend": pl.Float64, "price": pl.Int64, "name": pl.String,
        }  # fmt: skip
        assert frame.to_dict(as_series=False) == answer.to_dict()
        table = answer.to_arrow()
        assert table.to_pydict() == answer.to_dict()
        assert table.schema.field("price").type == pa.int64()

    def test_no_rows_answer_nothing(self, store: MemoryOnlineStore) -> None:
        answer = Lookup(plan_of(STATS, self.ITEMS), store).answer([])
        assert answer.to_dict() == {name: [] for name in ("user", "shop", "item", "spend", "price", "name")}
        assert answer.statuses["spend"] == []
        assert answer.to_polars().height == 0

    def test_one_key_column_may_serve_two_views(self, store: MemoryOnlineStore) -> None:
        again = replace(STATS, label="again", columns=(LookupColumn(0, "spend_again", Float64),))
        answer = Lookup(plan_of(STATS, again), store).answer([{"user": 1}], at_us=NOW_US)
        assert answer.to_dict() == {"user": [1], "spend": [1.5], "spend_again": [1.5]}

    def test_a_global_view_needs_no_key(self) -> None:
        world = ViewLookup("world", "p/world", (), (LookupColumn(0, "rate", Float64),))
        store = published(world, {(): [(10, None, 0.5)]})
        assert Lookup(plan_of(world), store).answer([{}, {}], at_us=NOW_US).to_dict() == {"rate": [0.5, 0.5]}

    def test_values_are_python_values_of_their_type(self) -> None:
        types: dict[str, tuple[DType, Wire, object]] = {
            "day": (Date, -1, date(1969, 12, 31)),
            "instant": (Timestamp, 7, at(7)),
            "money": (Decimal(6, 2), "1.50", PyDecimal("1.50")),
            "instants": (List(Timestamp), [7, None], [at(7), None]),
            "vector": (Vector(Float64, 2), [1.0, 2.0], [1.0, 2.0]),
        }
        columns = tuple(LookupColumn(i, name, dtype) for i, (name, (dtype, _, _)) in enumerate(types.items()))
        view = replace(STATS, columns=columns)
        store = MemoryOnlineStore()
        record = pack_record([[10, None, *(wire for _, wire, _ in types.values())]])
        store.replace(view.namespace, [(key_encoder(view.keys)([1]) or b"", record)], meta=Publication(0, 1).pack())
        answer = Lookup(plan_of(view), store).answer([{"user": 1}, {"user": 2}], at_us=NOW_US)
        expected = {name: [value, None] for name, (_, _, value) in types.items()}
        assert answer.to_dict() == {"user": [1, 2], **expected}
        assert answer.to_polars().drop("user").to_dict(as_series=False) == expected
        assert answer.to_polars().schema["money"] == polars_type(Decimal(6, 2))
        assert answer.to_arrow().drop("user").to_pydict() == expected


class TestPublication:
    def test_a_view_that_was_never_published_is_named_with_the_remedy(self) -> None:
        with pytest.raises(NotPublishedError, match=r"'user_stats' was never published.*featurestore materialize"):
            Lookup(plan_of(STATS), MemoryOnlineStore()).answer([{"user": 1}])

    def test_an_instant_before_the_publish_is_refused(self) -> None:
        items = replace(STATS, label="items", namespace="p/items", columns=(LookupColumn(0, "price", Float64),))
        store = published(STATS, {1: [(10, None, 1.0)]}, since_us=20)
        publish(store, items, {}, since_us=50)
        lookup = Lookup(plan_of(STATS, items), store)
        with pytest.raises(NotPublishedError) as refused:
            lookup.answer([{"user": 1}], at_us=49)
        assert str(refused.value) == (
            "View 'items' holds online what is in force since 1970-01-01T00:00:00.000050Z, so it cannot answer at "
            "1970-01-01T00:00:00.000049Z; ask for a later instant, or ask the history with get_historical_features."
        )
        assert lookup.answer([{"user": 1}], at_us=50).to_dict()["spend"] == [1.0]

    def test_now_is_the_default_and_never_before_the_publish(self) -> None:
        future_us = 2**61  # a publisher whose clock runs ahead
        view = replace(STATS, ttl_us=5)
        lookup = Lookup(plan_of(view), published(view, {1: [(future_us - 5, None, 1.0)]}, since_us=future_us))
        assert lookup.answer([{"user": 1}]).statuses == {"spend": [PRESENT]}
        old = Lookup(plan_of(view), published(view, {1: [(0, None, 1.0)]}))
        assert old.answer([{"user": 1}]).statuses == {"spend": [OUTSIDE_MAX_AGE]}

    def test_a_new_publish_is_seen_by_the_same_lookup(self) -> None:
        store = published(STATS, {1: [(10, None, 1.0)]}, since_us=20)
        lookup = Lookup(plan_of(STATS), store)
        assert lookup.answer([{"user": 1}], at_us=30).to_dict()["spend"] == [1.0]
        publish(store, STATS, {1: [(35, None, 2.0)]}, since_us=40)
        assert lookup.answer([{"user": 1}], at_us=40).to_dict()["spend"] == [2.0]
        with pytest.raises(NotPublishedError):
            lookup.answer([{"user": 1}], at_us=30)
        store.drop(STATS.namespace)
        with pytest.raises(NotPublishedError, match="never published"):
            lookup.answer([{"user": 1}], at_us=40)

    def test_a_timeless_view_answers_before_it_was_published(self) -> None:
        view = replace(STATS, timeless=True)
        store = published(view, {1: [(None, None, 1.0)]}, since_us=-(2**63))
        assert Lookup(plan_of(view), store).answer([{"user": 1}], at_us=-5).to_dict()["spend"] == [1.0]

    def test_threads_share_a_lookup_while_views_are_published(self) -> None:
        store = published(STATS, {1: [(0, None, 0.0)]})
        lookup = Lookup(plan_of(STATS), store)
        wrong: list[object] = []

        def ask() -> None:
            for _ in range(300):
                answer = lookup.answer([{"user": 1}])
                if answer.event_timestamps["spend"][0] != at(int(answer.to_dict()["spend"][0])):  # type: ignore[arg-type]  # a float
                    wrong.append(answer)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        for version in range(200):
            publish(store, STATS, {1: [(version, None, float(version))]}, since_us=version)
        for asker in askers:
            asker.join()
        assert wrong == []


class TestWrongRequests:
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (
                [{"user": 1}, {"usr": 1, "x": 2}],
                "'svc' needs the join keys user (Int64); row 1 lacks user and has usr, x.",
            ),
            ([{}], "'svc' needs the join keys user (Int64); row 0 lacks user and has nothing."),
            ([{"user": 1}, 7], "'svc' needs the join keys user (Int64); row 1 is a int, not a mapping."),
            ({"user": [1]}, "'svc' needs the join keys user (Int64); row 0 is a str, not a mapping."),
            ([{"user": "1"}], "Join key 'user' wants Int64, found str '1'. Give an int."),
        ],
    )
    def test_rows_that_are_wrong_are_told_what_is_needed(self, rows: Any, message: str) -> None:
        with pytest.raises(InputError) as refused:
            Lookup(plan_of(STATS), published(STATS, {})).answer(rows)
        assert str(refused.value) == message

    @pytest.mark.parametrize("broken", [b"\xc1", b"\x90", pack_record([[10, None]])[16:]])
    def test_a_record_that_cannot_be_read_is_an_error_of_the_store(self, broken: bytes) -> None:
        store = published(STATS, {})
        store.write(STATS.namespace, [(key_encoder(STATS.keys)([1]) or b"", bytes(16) + broken)])
        two = replace(STATS, columns=(*STATS.columns, LookupColumn(3, "other", Float64)))
        with pytest.raises(OnlineStoreError, match=r"A record of 'svc' cannot be read .*; publish its views again"):
            Lookup(plan_of(two), store).answer([{"user": 1}])


class TestRequestTime:
    """Request-time features, with an evaluator that stands in for `on_demand`."""

    STEP = OnDemandStep(
        "trip",
        inputs=(("hour", "hour", Int64), ("spend", "spend", Float64)),
        outputs=(("late", "late", Float64),),
        computation=Expressions(()),
    )
    PLAN = LookupPlan(
        "svc", (STATS,), (STEP,), (("hour", Int64),), (("late", Float64), ("spend", Float64))
    )  # fmt: skip

    @staticmethod
    def evaluate(steps: Sequence[OnDemandStep], frame: pl.DataFrame) -> pl.DataFrame:
        assert frame.schema == {"user": pl.Int64, "spend": pl.Float64, "hour": pl.Int64}
        return frame.with_columns(late=pl.col("hour") * pl.col("spend"))

    @pytest.fixture
    def lookup(self) -> Lookup:
        store = published(STATS, {1: [(10, None, 1.5)], 2: [(10, None, 2.0)]})
        return Lookup(self.PLAN, store, self.evaluate)

    def test_they_see_stored_features_and_the_request(self, lookup: Lookup) -> None:
        rows = [{"user": 1}, {"user": 2}, {"user": 3}]
        answer = lookup.answer(rows, [{"hour": 2}, {"hour": None, "extra": 1}, {"hour": 4}], at_us=NOW_US)
        assert answer.to_dict() == {"user": [1, 2, 3], "late": [3.0, None, None], "spend": [1.5, 2.0, None]}
        assert answer.statuses == {
            "late": [PRESENT, NULL_VALUE, NULL_VALUE],
            "spend": [PRESENT, PRESENT, NOT_FOUND],
        }
        assert answer.event_timestamps == {"late": [None] * 3, "spend": [at(10), at(10), None]}

    @pytest.mark.parametrize("request_rows", [None, [], [{"hour": 1}, {"hour": 2}]])
    def test_the_request_has_a_row_for_each_entity_row(self, lookup: Lookup, request_rows: Any) -> None:
        found = len(request_rows or ())
        with pytest.raises(InputError, match=rf"reads hour \(Int64\) from the request: .* found {found} for 1"):
            lookup.answer([{"user": 1}], request_rows)

    @pytest.mark.parametrize(
        ("dtype", "value", "message"),
        [
            (Int64, "7", "The request's column 'hour' must be Int64"),
            (Int64, 7.5, "The request's column 'hour' must be Int64"),
            (Int64, True, "must be Int64, found bool True"),
            (Int64, 2**63, "The request's column 'hour' must be Int64"),
            (String, 7, "The request's column 'hour' must be String"),
            (Date, datetime(2024, 1, 1, tzinfo=UTC), "must be Date, found datetime"),
            (Timestamp, date(2024, 1, 1), "must be Timestamp, found date"),
            (Timestamp, datetime(2024, 1, 1), "The request's column 'hour': 2024-01-01T00:00:00 has no time zone"),  # noqa: DTZ001
            (Vector(Float64, 2), [1.0], "The request's column 'hour' must be Vector(Float64, 2)"),
        ],
    )
    def test_a_request_value_of_another_type_is_refused(self, dtype: DType, value: object, message: str) -> None:
        plan = replace(self.PLAN, request=(("hour", dtype),))
        with pytest.raises(InputError) as refused:
            Lookup(plan, published(STATS, {}), self.evaluate).answer([{"user": 1}], [{"hour": value}])
        assert message in str(refused.value)

    def test_a_missing_request_column_is_named(self, lookup: Lookup) -> None:
        with pytest.raises(
            InputError, match=r"The request lacks column 'hour' \(Int64\); where it is unknown, give None"
        ):
            lookup.answer([{"user": 1}], [{"our": 1}])

    def test_without_join_keys_the_request_says_how_many_rows(self) -> None:
        plan = replace(self.PLAN, views=(), outputs=(("late", Float64),))
        lookup = Lookup(plan, MemoryOnlineStore(), lambda steps, frame: frame.with_columns(late=pl.col("hour") * 1.0))
        assert lookup.answer([], [{"hour": 1}, {"hour": 2}]).to_dict() == {"late": [1.0, 2.0]}

    def test_a_plan_with_request_time_features_needs_an_evaluator(self) -> None:
        with pytest.raises(ConfigurationError, match="'svc' has request-time features"):
            Lookup(self.PLAN, MemoryOnlineStore())
