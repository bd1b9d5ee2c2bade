"""Lookups: one row per entity row, of what is published, and what a wrong request is told."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal as PyDecimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from featurestore.arrow import polars_type
from featurestore.dtypes import Date, Decimal, DType, Float64, Int64, List, String, Timestamp, Vector, Wire
from featurestore.errors import InputError, NotPublishedError, OnlineStoreError
from featurestore.online.keys import key_encoder
from featurestore.online.lookup import Lookup
from featurestore.online.memory import MemoryOnlineStore
from featurestore.online.values import Publication, pack_record
from featurestore.plan.lookup import LookupColumn, ViewLookup
from tests.online.lookups import (
    NOT_FOUND,
    NOW_US,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    STATS,
    at,
    plan_of,
    publish,
    published,
)


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
            ({"user": [1]}, "'svc' needs the join keys user (Int64) in a list of dicts, found a dict."),
            (
                pl.DataFrame({"user": [1]}),
                "'svc' needs the join keys user (Int64) in a list of dicts, found a DataFrame.",
            ),
            (None, "'svc' needs the join keys user (Int64) in a list of dicts, found a NoneType."),
            ([{"user": "1"}], "Join key 'user' wants Int64, found str '1'. Give an int."),
        ],
    )
    def test_rows_that_are_wrong_are_told_what_is_needed(self, rows: Any, message: str) -> None:
        with pytest.raises(InputError) as refused:
            Lookup(plan_of(STATS), published(STATS, {})).answer(rows)
        assert str(refused.value) == message

    @pytest.mark.parametrize("broken", [b"\xc1", b"\x90", b"\x01", pack_record([[10, None, 1.0]])[16:]])
    def test_a_record_that_cannot_be_read_is_an_error_of_the_store(self, broken: bytes) -> None:
        store = published(STATS, {})
        store.write(STATS.namespace, [(key_encoder(STATS.keys)([1]) or b"", bytes(16) + broken)])
        two = replace(STATS, columns=(*STATS.columns, LookupColumn(3, "other", Float64)))
        with pytest.raises(OnlineStoreError, match=r"A record of 'svc' cannot be read .*; publish its views again"):
            Lookup(plan_of(two), store).answer([{"user": 1}])
