"""Statistics on the whole path: written with each commit, replaced with its interval, merged when they are asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import GateRefused, OfflineStoreError, UnknownNameError
from featurestore.statistics.records import FeatureStatistics, ViewStatistics
from featurestore.store import FeatureStore
from featurestore.timeline import to_datetime
from tests.store.projects import NOW, PURCHASES, day, make_project, purchases

WINDOWS = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at")
sums = FeatureView(
    "sums",
    entities=[customer],
    source=purchases,
    every=timedelta(days=1),
    features=[
        Aggregation("items", "sum", timedelta(days=7)),
        Aggregation("*", "count", timedelta(days=30), where="items > 1", name="many"),
    ],
)
"""
TIMELESS = """
customer = Entity("customer", join_keys={"customer": String})
names = ParquetSource("names", path="data/names.parquet", timeless=True)
facts = FeatureView("facts", entities=[customer], source=names, features=[Feature("name", String)])
"""


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    return store


def ends(found: ViewStatistics) -> list[datetime | None]:
    return [None if one.end_us is None else to_datetime(one.end_us) for one in found.intervals]


def counts(feature: FeatureStatistics) -> tuple[int, int, object, object]:
    return (feature.rows, feature.nulls, feature.min, feature.max)


def test_every_committed_interval_has_its_statistics(store: FeatureStore) -> None:
    store.materialize(day(11), step=timedelta(days=5))
    found = store.statistics("last")
    assert ends(found) == [day(3), day(8), day(11)]
    assert [counts(one.features[0]) for one in found.intervals] == [
        (1, 0, 2.0, 2.0),
        (1, 0, 5.0, 5.0),
        (1, 1, None, None),
    ]
    assert counts(found.feature("amount")) == (3, 1, 2.0, 5.0)
    assert counts(found.feature("items")) == (3, 0, 1, 3)
    assert (found.of, found.rows, found.uncounted) == ("rows", 3, 0)


def test_statistics_are_those_of_the_intervals_asked_for(store: FeatureStore) -> None:
    store.materialize(day(11), step=timedelta(days=5))
    assert counts(store.statistics("last", day(4), day(8)).feature("items")) == (1, 0, 3, 3)
    assert store.statistics("last", day(20)).rows == 0


def test_a_backfill_replaces_the_statistics_with_the_rows(store: FeatureStore) -> None:
    store.materialize(NOW, step=timedelta(days=5))
    frame = purchases().with_columns(items=pl.lit(100))
    frame.write_parquet(store.root / "data" / "purchases.parquet")
    store.materialize(day(6), day(3))
    found = store.statistics("last")
    assert counts(found.feature("items")) == (3, 0, 1, 100)
    assert found.uncounted == 0
    assert ends(found)[:4] == [day(3), day(6), day(8), day(13)]


def test_a_chunk_that_is_refused_leaves_the_statistics_as_they_were(tmp_path: Path) -> None:
    contract = "class Positive(pa.DataFrameModel):\n    amount: float = pa.Field(gt=3, nullable=True)\n\n"
    store = make_project(
        tmp_path, contract + PURCHASES.replace("ttl=", "contract=Positive, ttl="), purchases=purchases()
    )
    store.apply()
    with pytest.raises(GateRefused):
        store.materialize(NOW)
    assert store.statistics("last").intervals == ()


def test_a_disk_that_refuses_statistics_refuses_the_commit(store: FeatureStore) -> None:
    store.materialize(day(6))
    (folder,) = store.tables.directory.glob("*/_statistics")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(OfflineStoreError, match="what was committed before is unchanged"):
        store.materialize(NOW)
    assert store.status()[0].rows == 2


def test_a_renamed_feature_keeps_its_statistics(store: FeatureStore) -> None:
    store.materialize(NOW)
    definitions = store.root / "feature_defs" / "shop.py"
    definitions.write_text(
        definitions.read_text().replace('Feature("items", Int64)', 'Feature("pieces", Int64, was="items")')
    )
    store.apply()
    assert counts(store.statistics("last").feature("pieces")) == (3, 0, 1, 3)


def test_vacuum_leaves_statistics_alone(store: FeatureStore) -> None:
    from deltalake import DeltaTable

    store.materialize(NOW)
    store.materialize(day(11), day(1))
    (table,) = store.tables.directory.glob("last-*/")
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
    assert store.statistics("last").rows == 3


def test_values_of_windows_are_counted_as_runs_publish_them(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=purchases())
    store.apply()
    store.materialize(day(7))
    first = store.statistics("sums")
    assert (first.of, ends(first)) == ("values", [day(7)])
    # a bought 1 item on the 2nd, b 3 on the 5th; a's one falls out of 7 days at the 9th
    assert counts(first.feature("items_sum_7d")) == (2, 0, 1, 3)
    assert counts(first.feature("many")) == (2, 0, 0, 1)
    store.materialize(day(20))
    second = store.statistics("sums")
    assert ends(second) == [day(7), day(20)]
    assert to_datetime(second.intervals[1].start_us or 0) == day(7)
    assert counts(second.intervals[1].features[0]) == (2, 2, None, None)
    assert [one.rows for one in store.statistics("sums", start=day(8)).intervals] == [2]


def test_events_of_windows_are_counted_under_their_expressions(tmp_path: Path) -> None:
    store = make_project(tmp_path, WINDOWS, purchases=purchases())
    store.apply()
    store.materialize(NOW, step=timedelta(days=10))
    found = store.statistics("sums", events=True)
    assert (found.of, found.rows, [feature.name for feature in found.features]) == ("events", 3, ["items > 1", "items"])
    assert found.feature("items > 1").histogram.counts == (1, 2, 0)
    assert counts(found.feature("items")) == (3, 0, 1, 3)


def test_a_timeless_view_has_one_interval_which_each_run_replaces(tmp_path: Path) -> None:
    store = make_project(tmp_path, TIMELESS, names=pl.DataFrame({"customer": ["a", "b"], "name": ["x", "x"]}))
    store.apply()
    store.materialize(day(5))
    store.materialize(NOW)
    found = store.statistics("facts")
    assert ends(found) == [None]
    assert (found.feature("name").rows, found.feature("name").histogram.counts) == (2, (2, 0))


def test_deletion_markers_are_no_values(tmp_path: Path) -> None:
    rows = purchases().with_columns(gone=pl.Series([False, True, None]))
    definitions = PURCHASES.replace('event_timestamp="at"', 'event_timestamp="at", deleted="gone"')
    store = make_project(tmp_path, definitions, purchases=rows)
    store.apply()
    store.materialize(NOW)
    found = store.statistics("last")
    assert (found.rows, found.uncounted) == (3, 0)
    assert counts(found.feature("amount")) == (2, 0, 2.0, 5.0)
    store.materialize(day(5), day(3))  # cuts the interval in three
    assert [one.rows for one in store.statistics("last").intervals][:3] == [1, 0, 2]
    assert counts(store.statistics("last").feature("amount")) == (2, 0, 2.0, 5.0)


def test_status_knows_the_last_event_and_the_age(store: FeatureStore) -> None:
    assert (store.status()[0].last_event_us, store.status()[0].age.freshness) == (None, "never")
    store.materialize(day(20))
    [status] = store.status()
    assert to_datetime(status.last_event_us or 0) == day(10)
    assert status.age.freshness == "expired"  # 10 days of ttl, and it is March


def test_a_view_that_was_never_materialized_has_no_statistics(store: FeatureStore) -> None:
    found = store.statistics("last")
    assert (found.rows, found.intervals) == (0, ())
    with pytest.raises(UnknownNameError, match="There is no view 'lats'"):
        store.statistics("lats")
    with pytest.raises(UnknownNameError, match="There is no feature 'amout' in view 'last'"):
        found.feature("amout")
