"""What tells two datasets apart, by hand on small ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.datasets import ColumnDifference, DatasetDiff
from tests.store.projects import PURCHASES, day, define, make_project, purchases

SPINE = pl.DataFrame(
    {
        "customer": ["a", "a", None, "b", "a"],
        "event_timestamp": [day(3), day(3), day(3), day(6), day(11)],
        "label": [1, 2, 3, 4, 5],
    },
    schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def _column(found: DatasetDiff, name: str) -> ColumnDifference:
    return next(column for column in found.columns if column.name == name)


def test_a_dataset_does_not_differ_from_itself(store: FeatureStore) -> None:
    store.get_historical_features(SPINE, ["last:*"]).save("train")
    found = store.datasets.diff("train", "train@1")
    assert (found.same_bytes, found.same_spine, found.unmatched) == (True, True, None)
    assert (found.common, found.removed, found.added) == (5, 0, 0)
    assert [column.differ for column in found.columns] == [0, 0, 0]
    assert all(view.same for view in found.views)


def test_rows_are_matched_by_key_instant_and_occurrence(store: FeatureStore) -> None:
    store.get_historical_features(SPINE, ["last:items"]).save("one")
    later = pl.concat(
        [SPINE.reverse()[:4], SPINE[:1].with_columns(event_timestamp=pl.lit(day(4)).dt.cast_time_unit("us"))]
    )
    store.get_historical_features(later, ["last:items"]).save("other")
    found = store.datasets.diff("one", "other")
    assert (found.same_spine, found.rows, found.common, found.removed, found.added) == (False, (5, 5), 4, 1, 1)
    assert _column(found, "items").differ == 0
    assert _column(found, "label").differ == 1  # of the two equal rows the first is now the second


def test_changed_values_are_counted_with_nulls_and_means(store: FeatureStore, tmp_path: Path) -> None:
    store.get_historical_features(SPINE, ["last:amount", "last:items"]).save("train")
    changed = purchases().with_columns(amount=pl.Series([-0.0, 3.0, None], dtype=pl.Float64))
    changed.write_parquet(tmp_path / "data" / "purchases.parquet")
    store.materialize(start=day(1), end=day(12))
    store.get_historical_features(SPINE, ["last:items", "last:amount"]).save("train")
    found = store.datasets.diff("train@1", "train@2")
    assert found.same_spine
    [view] = found.views
    assert view.one is not None and view.other is not None  # noqa: PT018
    assert (view.one.table_version, view.other.table_version, view.same) == (0, 1, False)
    amount = _column(found, "amount")
    assert (amount.differ, amount.nulls) == (4, (2, 2))  # 2.0, 2.0, null, 5.0, null became -0.0, -0.0, null, null, 3.0
    assert amount.means == (3.0, 1.0)
    assert _column(found, "items").differ == 0


def test_features_and_versions_that_only_one_has_are_named(store: FeatureStore, tmp_path: Path) -> None:
    store.get_historical_features(SPINE, ["last:amount"], statuses=True).save("train")
    define(tmp_path, PURCHASES.replace("days=10", "days=1"))
    store.apply()
    store.get_historical_features(SPINE, ["last:items"]).save("train")
    found = store.datasets.diff("train@1", "train@2")
    assert (found.only_one, found.only_other) == (("amount", "amount__status"), ("items",))
    [view] = found.views
    assert view.one is not None and view.other is not None  # noqa: PT018
    assert (view.one.version, view.other.version) == (1, 2)
    assert view.one.meaning != view.other.meaning


def test_rows_told_apart_by_other_columns_are_not_matched(store: FeatureStore) -> None:
    store.get_historical_features(SPINE, ["last:items"]).save("one")
    renamed = SPINE.rename({"event_timestamp": "at"})
    store.get_historical_features(renamed, ["last:items"], timestamp="at").save("other")
    found = store.datasets.diff("one", "other")
    assert found.unmatched == ("rows are told apart by customer, event_timestamp in one, by customer, at in the other")
    assert (found.common, _column(found, "items").differ, _column(found, "items").nulls) == (None, None, (1, 1))


def test_another_type_is_told_instead_of_a_count(store: FeatureStore) -> None:
    store.get_historical_features(SPINE, ["last:items"]).save("one")
    store.get_historical_features(SPINE.with_columns(pl.col("label").cast(pl.Int32)), ["last:items"]).save("other")
    label = _column(store.datasets.diff("one", "other"), "label")
    assert (label.types, label.differ) == (("Int64", "Int32"), None)
