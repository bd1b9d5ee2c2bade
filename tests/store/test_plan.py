"""What a plan says before anything happens: versions, who is touched, and what a backfill will cost."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.registry.diff import Change
from featurestore.store import FeatureStore
from tests.store.projects import DAY, PURCHASES, day, define, make_project, purchases
from tests.store.test_versions import TENFOLD
from tests.store.test_windows import CHAIN


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def planned(store: FeatureStore, definitions: str) -> Change:
    define(store.root, definitions)
    [change] = [change for change in store.plan().changes if change.kind == "view"]
    return change


def test_a_plan_names_versions_services_and_models_and_counts_what_must_be_read(store: FeatureStore) -> None:
    store.record_model("churn", service="buyer")
    change = planned(store, TENFOLD)
    assert (change.from_version, change.version, change.details) == (1, 2, ("~items",))
    assert (change.services, change.models, change.backfill) == (("buyer",), ("churn@1",), True)
    assert change.cost is not None
    assert (change.cost.rows, change.cost.basis) == (3, "500,000 rows/s, the default")


def test_what_needs_no_backfill_costs_nothing(store: FeatureStore) -> None:
    assert planned(store, PURCHASES.replace("days=10", "days=11")).cost is None
    late = planned(store, PURCHASES.replace("ttl=timedelta(days=10)", "delay=timedelta(days=1)"))
    assert (late.republish, late.cost) == (True, None)


def test_rows_that_the_table_holds_already_are_not_counted_again(store: FeatureStore) -> None:
    define(store.root, TENFOLD)
    store.apply()
    change = planned(store, PURCHASES)  # its table reaches to January 12
    assert change.cost is not None
    assert change.cost.rows == 0


def test_the_rate_of_earlier_commits_tells_how_long_a_backfill_takes(tmp_path: Path) -> None:
    count = 40_000
    many = pl.DataFrame(
        {"customer": ["a"] * count, "at": [day(2)] * count, "amount": [1.0] * count, "items": range(count)},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    store = make_project(tmp_path, PURCHASES, purchases=many)
    store.apply()
    store.materialize(end=day(12), step=365 * DAY)
    cost = planned(store, TENFOLD).cost
    assert cost is not None
    assert cost.rows == count
    assert cost.basis.endswith("rows/s, from 1 earlier commit of this view")
    rate = float(cost.basis.split(" ")[0].replace(",", ""))
    assert cost.seconds == round(count / rate + 0.1, 1)


def test_a_source_in_nanoseconds_as_pandas_writes_it_is_counted_and_taken_in(tmp_path: Path) -> None:
    rows = purchases().with_columns(pl.col("at").dt.cast_time_unit("ns"))
    store = make_project(tmp_path, PURCHASES, purchases=rows)
    [change] = [change for change in store.plan().changes if change.kind == "view"]
    assert change.cost is not None
    assert change.cost.rows == rows.height
    store.apply()
    [view] = store.materialize(end=day(12)).views
    assert view.rows == rows.height


def test_a_view_over_a_view_counts_the_rows_that_its_source_is_made_of(tmp_path: Path) -> None:
    visits = pl.DataFrame(
        {"store": [1, 1, 2], "region": ["n"] * 3, "at": [day(1, 5), day(3, 7), day(4)]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    store = make_project(tmp_path, CHAIN, visits=visits)
    costs = {change.name: change.cost for change in store.plan().changes if change.kind == "view"}
    assert {name: cost.rows for name, cost in costs.items() if cost is not None} == {"daily": 3, "monthly": 3}
