"""History without a spine, through the public API."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.errors import InputError, MaterializationError, UnknownNameError
from tests.store.projects import DAY, PURCHASES, day, define, make_project, purchases

WINDOWS = """
totals = FeatureView(
    "totals", entities=[customer], source=purchases, every=timedelta(days=1), ttl=timedelta(days=8),
    features=[
        Aggregation("items", "sum", window=timedelta(days=3), name="bought"),
        Aggregation("*", "count", window=None, name="ever"),
    ],
)
shops = FeatureView(
    "shops", entities=[Entity("shop", join_keys={"shop": Int64})],
    source=ParquetSource("shops", path="data/shops.parquet", timeless=True), features=[Feature("town", String)],
)
"""
SHOPS = pl.DataFrame({"shop": [2, 1], "town": ["Ulm", "Bonn"]})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES + WINDOWS, purchases=purchases(), shops=SHOPS)
    store.apply()
    store.materialize(end=day(12))
    return store


def _rows(
    store: FeatureStore, view: str, start: datetime, end: datetime, entities: object = None
) -> list[tuple[object, ...]]:
    return store.get_features_in_range(view, start, end, entities).to_polars().rows()


def test_the_steps_of_a_plain_view_end_with_the_next_one_or_with_their_time_to_live(store: FeatureStore) -> None:
    moment = timedelta(microseconds=1)
    assert _rows(store, "last", day(1), day(31)) == [
        ("a", day(2), 2.0, 1, day(2), day(10)),
        ("a", day(10), None, 2, day(10), day(20) + moment),
        ("b", day(5), 5.0, 3, day(5), day(15) + moment),
    ]
    assert _rows(store, "last", day(6), day(10), [{"customer": "a"}]) == [("a", day(2), 2.0, 1, day(6), None)]


def test_the_steps_of_a_windowed_view_hold_while_their_values_do(store: FeatureStore) -> None:
    assert _rows(store, "totals", day(1), day(31), pl.DataFrame({"customer": ["b", "nobody"]})) == [
        ("b", day(6), 3, 1, day(6), day(9)),  # bought on January 5, in the windows of three days up to January 8
        ("b", day(9), None, 1, day(9), day(20) + timedelta(microseconds=1)),  # the last step of all is of January 12
    ]


def test_timeless_rows_hold_throughout(store: FeatureStore) -> None:
    assert _rows(store, "shops", day(1), day(2)) == [
        (1, None, "Bonn", day(1), None),
        (2, None, "Ulm", day(1), None),
    ]


@pytest.mark.parametrize("view", ["last", "totals"])
def test_at_every_instant_the_step_is_what_history_answers(store: FeatureStore, view: str) -> None:
    steps = store.get_features_in_range(view, day(1), day(25)).to_polars()
    at = [day(1) + timedelta(hours=hours) for hours in range(24 * 24)]
    spine = pl.DataFrame({"customer": ["a", "b"]}).join(pl.DataFrame({"event_timestamp": at}), how="cross")
    names = steps.columns[2:-2]
    history = store.get_historical_features(spine, [f"{view}:{name}" for name in names], statuses=True).to_polars()
    for row in history.iter_rows(named=True):
        t = row["event_timestamp"]
        found = steps.filter(
            (pl.col("customer") == row["customer"])
            & (pl.col("valid_from") <= t)
            & (pl.col("valid_to") > t).fill_null(True)
        ).select(names)
        present = row[f"{names[0]}__status"] in ("PRESENT", "NULL_VALUE")
        assert found.rows() == ([tuple(row[name] for name in names)] if present else []), row


def test_adjoining_ranges_make_one(store: FeatureStore) -> None:
    whole = _rows(store, "last", day(1), day(31), [{"customer": "a"}])
    first, second = (
        _rows(store, "last", *ends, [{"customer": "a"}]) for ends in ((day(1), day(10)), (day(10), day(31)))
    )
    assert [(*first[0][:-1], day(10)), *second] == whole


def test_earlier_commits_and_versions_answer_too(store: FeatureStore, tmp_path: Path) -> None:
    define(tmp_path, (PURCHASES + WINDOWS).replace("days=10", "days=1"))
    store.apply()
    ends = [row[-1] for row in _rows(store, "last@1", day(1), day(31))]
    assert ends == [day(10), day(20) + timedelta(microseconds=1), day(15) + timedelta(microseconds=1)]
    assert _rows(store, "last", day(4), day(5)) == []


def test_wrong_questions_get_one_sentence(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The range is empty: its start 2024-01-05T00:00:00Z is not before"):
        store.get_features_in_range("last", day(5), day(5))
    with pytest.raises(InputError, match="'last:items' names a feature; give its view, 'last'"):
        store.get_features_in_range("last:items", day(1), day(5))
    with pytest.raises(UnknownNameError, match=r"no view 'lost'"):
        store.get_features_in_range("lost", day(1), day(5))
    with pytest.raises(InputError, match="'ratio' is computed at request time, so it has no steps"):
        store.get_features_in_range("ratio", day(1), day(5))
    with pytest.raises(
        InputError, match=r"The entities lack 'customer', a join key of view 'last'. Their columns: who"
    ):
        store.get_features_in_range("last", day(1), day(5), [{"who": "a"}])
    with pytest.raises(InputError, match="has no time zone"):
        store.get_features_in_range("last", datetime(2024, 1, 1), day(5))  # noqa: DTZ001
    assert _rows(store, "last", day(1), day(31), []) == []
    fresh = make_project(tmp_path / "fresh", PURCHASES, purchases=purchases())
    fresh.apply()
    with pytest.raises(MaterializationError, match="'last' was never materialized"):
        fresh.get_features_in_range("last", day(1), day(1) + DAY)
