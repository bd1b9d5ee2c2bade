"""Pushed events of windowed views: counted once the watermark passes, and once however often they are sent."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore import Status
from featurestore.errors import InputError, MaterializationError, NotPublishedError
from featurestore.store import FeatureStore
from tests.store.projects import day, make_project

WINDOWS = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at", event_id="id")
sums = FeatureView(
    "sums",
    entities=[customer],
    source=purchases,
    every=timedelta(days=1),
    features=[Aggregation("items", "sum", timedelta(days=n)) for n in (1, 7)],
)
"""
Event = tuple[str, str, datetime, int]


def events(*rows: Event) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows),
        orient="row",
        schema={"id": pl.String, "customer": pl.String, "at": pl.Datetime("us", "UTC"), "items": pl.Int64},
    )


BOUGHT = events(("1", "a", day(2, 12), 1), ("2", "a", day(10, 12), 2), ("3", "b", day(5, 12), 3))


def sums(store: FeatureStore, at: datetime, *customers: str) -> list[tuple[object, ...]]:
    """The sums over one and seven days, the same offline and online, and their status."""
    names = ["sums:items_sum_1d", "sums:items_sum_7d"]
    spine = pl.DataFrame({"customer": customers, "event_timestamp": [at] * len(customers)})
    training = store.get_historical_features(spine, names, statuses=True).to_polars()
    answer = store.get_online_features(names, [{"customer": customer} for customer in customers], at=at)
    found = training.select("items_sum_1d", "items_sum_7d", "items_sum_7d__status").rows()
    values = answer.to_dict()
    statuses = [Status(status).name for status in answer.statuses["items_sum_7d"]]
    assert list(zip(values["items_sum_1d"], values["items_sum_7d"], statuses, strict=True)) == found
    return found


def test_windows_count_pushed_events_once_the_watermark_passes(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=BOUGHT)
    store.apply()
    store.materialize(end=day(12))
    assert sums(store, day(12), "a", "b", "c") == [
        (None, 2, "PRESENT"), (None, 3, "PRESENT"), (None, None, "NOT_FOUND"),
    ]  # fmt: skip
    pushed = events(("4", "b", day(11, 12), 40), ("5", "c", day(11, 12), 50), ("6", "a", day(12), 60))
    assert store.push("sums", pushed).rows == 3
    expected = [(None, 2, "PRESENT"), (40, 43, "PRESENT"), (50, 50, "PRESENT")]
    assert sums(store, day(12), "a", "b", "c") == expected
    assert sums(store, day(15), "a", "b", "c") == expected
    store.materialize(end=day(13))
    assert sums(store, day(13), "a", "b", "c") == [(60, 62, "PRESENT"), (None, 40, "PRESENT"), (None, 50, "PRESENT")]


def test_an_event_pushed_again_counts_once_and_may_change_its_key(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=BOUGHT)
    store.apply()
    store.materialize(end=day(12))
    store.push("sums", BOUGHT)
    assert sums(store, day(12), "a", "b") == [(None, 2, "PRESENT"), (None, 3, "PRESENT")]
    store.push("sums", events(("3", "c", day(11, 12), 30)))  # b's only event was c's
    assert sums(store, day(12), "a", "b", "c") == [(None, 2, "PRESENT"), (None, None, "NOT_FOUND"), (30, 30, "PRESENT")]
    assert store.status()[0].keys == 2


def test_windows_have_no_step_before_something_is_materialized(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=BOUGHT)
    store.apply()
    assert store.push("sums", events(("4", "b", day(11, 12), 40))).views[0].published == 0
    spine = pl.DataFrame({"customer": ["b"], "event_timestamp": [day(12)]})
    with pytest.raises(MaterializationError, match="never materialized"):
        store.get_historical_features(spine, ["sums:items_sum_7d"])
    with pytest.raises(NotPublishedError):
        store.get_online_features(["sums:items_sum_7d"], [{"customer": "b"}])
    store.materialize(end=day(12))
    assert sums(store, day(12), "b") == [(40, 43, "PRESENT")]


def test_events_without_an_id_cannot_be_pushed(tmp_path: Path) -> None:
    store = make_project(tmp_path / "no", WINDOWS.replace(', event_id="id"', ""), purchases=BOUGHT)
    store.apply()
    with pytest.raises(InputError, match="source 'purchases' names no event_id"):
        store.push("sums", BOUGHT)
    store = make_project(tmp_path / "some", WINDOWS, purchases=BOUGHT)
    store.apply()
    with pytest.raises(InputError, match="2 of the pushed rows have no id"):
        store.push("sums", BOUGHT.with_columns(id=pl.when(pl.col("customer") == "b").then("id")))
    assert store.status()[0].rows is None
