"""Pins fix what an answer rests on, whatever is committed or applied later."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import MaterializationError
from featurestore.pinning import Pins
from tests.store.projects import PURCHASES, day, define, make_project, purchases

SPINE = pl.DataFrame({"customer": ["a", "b", "a"], "event_timestamp": [day(11), day(6), day(3)], "price": [1.0] * 3})
WINDOWS = """
totals = FeatureView(
    "totals", entities=[Entity("customer", join_keys={"customer": String})], every=timedelta(days=1),
    source=ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at"),
    features=[Aggregation("items", "sum", window=timedelta(days=30), name="bought")],
)
"""


def test_pinned_features_answer_as_before_more_was_committed(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(6))
    pins = store.pins("buyer")
    assert (pins.views["last"].table_version, pins.views["last"].version) == (0, 1)
    before = store.retrieve(SPINE, pins).to_polars()
    store.materialize(end=day(12))
    assert store.get_historical_features(SPINE, "buyer").to_polars()["items"].to_list() == [2, 3, 1]
    assert before["items"].to_list() == [1, 3, 1]
    assert store.retrieve(SPINE, pins).to_polars().equals(before)


def test_pins_of_an_earlier_table_version_bring_its_watermark(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=purchases())
    store.apply()
    store.materialize(end=day(6))
    store.materialize(end=day(12))
    now = store.pins(["totals:bought"])
    table = now.views["totals"].table
    earlier = Pins.of(now.selection, now.catalog, now.revision, lambda view: store.tables.snapshot(table, 0))
    assert store.retrieve(SPINE, now).to_polars()["bought"].to_list() == [3, 3, 1]
    assert store.retrieve(SPINE, earlier).to_polars()["bought"].to_list() == [1, 3, 1]


def test_pins_hold_the_records_that_were_applied_then(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    pins = store.pins(["last:items"])
    define(tmp_path, PURCHASES.replace("days=10", "hours=1"))
    store.apply()
    assert store.retrieve(SPINE, pins).to_polars()["items"].to_list() == [2, 3, 1]
    assert store.get_historical_features(SPINE, ["last:items"]).to_polars()["items"].to_list() == [None] * 3


def test_a_view_that_was_never_materialized_cannot_answer_from_its_table(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    pins = store.pins("buyer")
    with pytest.raises(MaterializationError, match="'last' was never materialized"):
        store.retrieve(SPINE, pins)
    assert store.retrieve(SPINE, pins, from_source=True).to_polars()["items"].to_list() == [2, 3, 1]
