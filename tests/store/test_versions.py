"""A new version of a view is built while the old one serves, and takes its place in one step."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import (
    DefinitionError,
    InputError,
    MaterializationError,
    NotServingError,
    UnknownNameError,
)
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, define, make_project, purchases

ITEMS = 'Feature("items", Int64)'
TENFOLD = PURCHASES.replace(ITEMS, 'Feature("items", Int64, expr="items * 10")')
A = [{"customer": "a"}]
SPINE = pl.DataFrame({"customer": ["a", "b"], "event_timestamp": [day(11), day(6)], "price": [1.0, 1.0]})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Version 1 of `last`, materialized up to January 12."""
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def items(store: FeatureStore, features: str | list[str] = "last:items") -> list[object]:
    """Of customer a: the items looked up, and those of history."""
    online = store.get_online_features(features, A, at=day(12)).to_dict()["items"]
    history = store.get_historical_features(SPINE.head(1), features).to_polars()["items"].to_list()
    return [*online, *history]


def redefine(store: FeatureStore, definitions: str) -> None:
    define(store.root, definitions)
    store.apply()


def serves(store: FeatureStore) -> dict[str, int]:
    return store.serving().versions


def test_the_old_version_answers_until_the_new_one_is_built_then_the_new_one_does(store: FeatureStore) -> None:
    redefine(store, TENFOLD)
    assert (items(store), serves(store), store.catalog().versions) == ([2, 2], {"last": 1}, {"last": 2})
    vector = store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12))
    assert vector.to_dict()["items"] == [2]
    report = store.materialize(end=day(12))
    assert [(view.view, view.rows) for view in report.views] == [("last@1", 0), ("last@2", 3)]
    [move] = [move for move in report.moves if move.kind == "view"]
    assert (move.name, move.from_version, move.to_version) == ("last", 1, 2)
    assert (items(store), serves(store), store.waiting()) == ([20, 20], {"last": 2}, ())


def test_a_version_that_stands_further_back_does_not_serve_and_both_are_kept_fresh(store: FeatureStore) -> None:
    redefine(store, TENFOLD)
    store.materialize(end=day(6), views=["last@2"])
    [waiting] = store.waiting()
    assert waiting.reason == (
        "it stands at 2024-01-06T00:00:00Z, and v1 at 2024-01-12T00:00:00Z; run `featurestore materialize`"
    )
    assert items(store) == [2, 2]
    statuses = {status.version: (status.watermark_us, status.uses) for status in store.status()}
    assert [uses for _, uses in statuses.values()] == [("serves",), ("applied",)]
    store.materialize(end=day(13))
    assert [(status.version, status.uses) for status in store.status()] == [(2, ("serves", "applied"))]
    # version 1 was brought to January 13 as well, before version 2 took its place
    online = store.get_online_features(["last@1:items"], A, at=day(13))
    assert (online.to_dict()["items"], online.event_timestamps["items"]) == ([2], [day(10)])


def test_a_history_that_begins_later_does_not_serve_unless_it_is_switched_by_hand(store: FeatureStore) -> None:
    redefine(store, TENFOLD)
    store.materialize(start=day(8), end=day(12))
    [waiting] = store.waiting()
    assert "its history begins at 2024-01-08T00:00:00Z, and that of v1 at the beginning" in waiting.reason
    assert items(store) == [2, 2]
    moves = store.switch("last", reason="a week is enough")
    assert [(move.name, move.to_version, move.reason) for move in moves] == [("last", 2, "a week is enough")]
    assert items(store) == [20, 20]


def test_a_version_without_rows_does_not_take_the_place_of_one_that_has_some(store: FeatureStore) -> None:
    pl.concat([purchases().with_columns(at=pl.lit(day(20)).dt.cast_time_unit("us"))]).write_parquet(
        store.root / "data" / "other.parquet"
    )
    redefine(store, PURCHASES.replace("data/purchases", "data/other"))
    store.materialize(end=day(12))
    assert "it has no rows, and v1 has 3" in store.waiting()[0].reason
    assert items(store) == [2, 2]


def test_what_the_contract_refuses_leaves_the_old_version_serving(store: FeatureStore) -> None:
    contract = "class Few(pa.DataFrameModel):\n    items: int = pa.Field(lt=15)\n"
    redefine(store, contract + TENFOLD.replace("ttl=", "contract=Few, ttl="))
    report = store.materialize(end=day(12), check=False)
    assert report.error is not None
    assert report.error.exit_code == 1
    assert (items(store), serves(store)) == ([2, 2], {"last": 1})


def test_an_old_version_that_can_no_longer_be_read_is_no_failure_once_the_new_one_serves(store: FeatureStore) -> None:
    (store.root / "data" / "purchases.parquet").rename(store.root / "data" / "moved.parquet")
    redefine(store, PURCHASES.replace("data/purchases", "data/moved"))
    report = store.materialize(end=day(13))
    assert report.error is None
    assert "v1 was not kept fresh, and v2 serves in its place" in report.views[0].remarks[0]
    assert serves(store) == {"last": 2}


NEW_FEATURE = PURCHASES.replace(ITEMS, f'{ITEMS}, Feature("value", Float64, expr="amount * items")')


def test_a_service_that_needs_the_new_version_waits_with_it_and_both_switch_in_one_step(store: FeatureStore) -> None:
    fresh = '\nworth = FeatureService("worth", features=[last[["value"]]])\n'
    redefine(store, NEW_FEATURE + fresh)
    waiting = {(one.kind, one.name) for one in store.waiting()}
    assert waiting == {("view", "last"), ("service", "buyer"), ("service", "worth")}
    with pytest.raises(
        NotServingError, match=r"'worth' is applied and does not serve yet .*service worth: it waits for view last"
    ):
        store.get_online_features("worth", A)
    with pytest.raises(NotServingError, match="'last:value' is applied"):
        store.get_historical_features(SPINE, ["last:value"])
    assert "value" not in store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12)).to_dict()
    tried = store.get_historical_features(SPINE.head(1), ["last@2:value"], from_source=True)
    assert tried.to_polars()["value"].to_list() == [None]
    report = store.materialize(end=day(12))
    assert {(move.kind, move.name) for move in report.moves} == {
        ("view", "last"), ("service", "buyer"), ("service", "worth")
    }  # fmt: skip
    vector = store.get_online_features("buyer", [{"customer": "b"}], [{"price": 1.0}], at=day(12))
    assert vector.to_dict()["value"] == [15.0]
    assert store.get_historical_features(SPINE, "worth").to_polars()["value"].to_list() == [None, 15.0]


TWO = """
totals = FeatureView(
    "totals", entities=[customer], source=purchases, features=[Feature("total", Float64, expr="amount * 1")]
)
both = FeatureService("both", features=[last, totals])
"""
TWO_NEW = TWO.replace("amount * 1", "amount * 100")


def test_views_that_one_service_reads_and_one_apply_changed_switch_together(store: FeatureStore) -> None:
    redefine(store, PURCHASES + TWO)
    store.materialize(end=day(12))
    redefine(store, TENFOLD + TWO_NEW)
    store.materialize(end=day(12), views=["last"])
    reasons = {one.name: one.reason for one in store.waiting()}
    assert reasons["last"] == "it is built, and goes together with view totals"
    assert "nothing of it is materialized" in reasons["totals"]

    def answer() -> list[object]:
        found = store.get_online_features("both", [{"customer": "b"}], at=day(12)).to_dict()
        return [found["items"][0], found["total"][0]]

    assert answer() == [3, 5.0]
    moves = store.materialize(end=day(12)).moves
    assert {(move.name, move.to_version) for move in moves if move.kind == "view"} == {("last", 2), ("totals", 2)}
    assert answer() == [30, 500.0]


def test_a_view_of_such_a_group_goes_alone_when_it_is_switched_by_hand(store: FeatureStore) -> None:
    redefine(store, PURCHASES + TWO)
    store.materialize(end=day(12))
    redefine(store, TENFOLD + TWO_NEW)
    with pytest.raises(MaterializationError, match="'totals' v2 cannot serve yet: nothing of it is materialized"):
        store.switch("totals", reason="now")
    store.materialize(end=day(12), views=["last"])
    store.switch("last", reason="totals can wait")
    assert serves(store) == {"last": 2, "totals": 1}


def test_a_feature_that_is_gone_is_served_until_the_service_does_without_it(store: FeatureStore) -> None:
    without = PURCHASES.replace(f", {ITEMS}", "")
    redefine(store, without)
    assert {one.name for one in store.waiting()} == {"last", "buyer"}
    assert items(store) == [2, 2]
    store.materialize(end=day(12))
    assert list(store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12)).to_dict()) == [
        "customer", "amount", "relative"
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="no feature 'items'"):
        store.get_online_features(["last:items"], A)


def test_a_version_that_was_never_built_protects_nothing(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    redefine(store, TENFOLD)
    assert (serves(store), store.waiting()) == ({"last": 2}, ())
    with pytest.raises(InputError, match="'last' v2 serves already"):
        store.switch("last", reason="now")


def test_a_meaning_that_comes_back_is_served_from_what_was_built_for_it(store: FeatureStore) -> None:
    redefine(store, TENFOLD)
    redefine(store, PURCHASES)
    assert (items(store), serves(store), store.waiting()) == ([2, 2], {"last": 3}, ())


PINNED = '\nfixed = FeatureService("fixed", features=[last.version(1)])\n'


def test_a_service_that_pins_a_version_keeps_it_alive_and_fresh(store: FeatureStore) -> None:
    redefine(store, TENFOLD + PINNED)
    assert {one.name for one in store.waiting()} == {"last"}
    store.materialize(end=day(12))
    newer = purchases().with_columns(at=pl.lit(day(13)).dt.cast_time_unit("us"), items=pl.lit(7, pl.Int64))
    pl.concat([purchases(), newer.head(1)]).write_parquet(store.root / "data" / "purchases.parquet")
    report = store.materialize(end=day(14))
    assert [(view.view, view.rows) for view in report.views] == [("last@2", 1), ("last@1", 1)]
    found = {name: store.get_online_features(name, A, [{"price": 1.0}], at=day(14)) for name in ("fixed", "buyer")}
    assert {name: answer.to_dict()["items"] for name, answer in found.items()} == {"fixed": [7], "buyer": [70]}
    history = store.get_historical_features(SPINE, "fixed").to_polars()
    assert history["items"].to_list() == [2, 3]
    assert {used.version.version: used.reasons for used in store.versions()} == {
        2: ("serves", "applied"), 1: ("rollback target", "pinned by service fixed")
    }  # fmt: skip


def test_one_question_may_ask_for_two_versions(store: FeatureStore) -> None:
    redefine(store, TENFOLD + '\nold = FeatureService("old", features=[last.version(1).with_prefix("old"), last])\n')
    store.materialize(end=day(12))
    found = store.get_online_features("old", A, at=day(12)).to_dict()
    assert (found["old__items"], found["items"]) == ([2], [20])
    history = store.get_historical_features(SPINE, "old").to_polars()
    assert (history["old__items"].to_list(), history["items"].to_list()) == ([2, 3], [20, 30])


def test_an_on_demand_view_may_pin_its_inputs(store: FeatureStore) -> None:
    pinned = TENFOLD.replace('inputs=[request, last[["amount"]]]', 'inputs=[request, last.version(1)[["items"]]]')
    redefine(store, pinned.replace('pl.col("amount")}', 'pl.col("items")}'))
    store.materialize(end=day(12))
    found = store.get_online_features("buyer", A, [{"price": 4.0}], at=day(12)).to_dict()
    assert (found["items"], found["relative"]) == ([20], [2.0])


@pytest.mark.parametrize(
    ("pin", "message"),
    [
        ("last.version(7)", "There is no version of view 'last@7'. Available: last@2, last@1"),
        ('last.version(1)[["value"]]', "There is no feature 'value' in view 'last@1'. Available: amount, items"),
        ("last.version(0)", "a version is a number from 1 on, found 0"),
        ("last.version(1), last", "two features are named 'amount'"),
    ],
)
def test_a_pin_that_cannot_be_is_refused_when_planned(store: FeatureStore, pin: str, message: str) -> None:
    define(store.root, TENFOLD + f'\nfixed = FeatureService("fixed", features=[{pin}])\n')
    with pytest.raises(DefinitionError, match=message):
        store.plan()


def test_a_version_that_never_was_cannot_be_asked_for(store: FeatureStore) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no version of view 'last@2'. Available: last@1"):
        store.get_online_features(["last@2:items"], A)
    with pytest.raises(UnknownNameError, match=r"There is no version of view 'last@2'. Available: last@1"):
        store.materialize(end=day(12), views=["last@2"])


def test_what_was_pushed_to_the_old_version_alone_is_not_lost_by_a_switch(store: FeatureStore) -> None:
    pushed = [{"customer": "b", "at": day(11), "amount": 7.0, "items": 7}]
    store.push("last", pushed)
    redefine(store, TENFOLD)
    [old, new] = store.materialize(end=day(12)).views
    assert (old.pushed, new.pushed, new.remarks) == (0, 1, ("1 rows that were pushed before were taken in",))
    assert serves(store) == {"last": 2}
    online = store.get_online_features(["last:items"], [{"customer": "b"}], at=day(12))
    assert online.to_dict()["items"] == [70]


def test_pushed_rows_that_came_to_the_source_meanwhile_are_taken_beside_it(store: FeatureStore) -> None:
    pushed = purchases().tail(1).with_columns(at=pl.lit(day(11)).dt.cast_time_unit("us"))
    store.push("last", pushed)
    pl.concat([purchases(), pushed]).write_parquet(store.root / "data" / "purchases.parquet")
    redefine(store, TENFOLD)
    store.materialize(end=day(12))
    assert serves(store) == {"last": 2}


def test_a_push_while_a_version_is_built_reaches_both(store: FeatureStore) -> None:
    redefine(store, TENFOLD)
    store.push("last", [{"customer": "b", "at": day(11), "amount": 7.0, "items": 7}])
    ask = (["last:items"], [{"customer": "b"}])
    assert store.get_online_features(*ask, at=day(12)).to_dict()["items"] == [7]
    store.materialize(end=day(12))
    assert serves(store) == {"last": 2}
    assert store.get_online_features(*ask, at=day(12)).to_dict()["items"] == [70]


def test_a_dataset_and_a_model_of_pinned_versions_are_recorded_with_them(store: FeatureStore) -> None:
    redefine(store, TENFOLD + '\nold = FeatureService("old", features=[last.version(1).with_prefix("old"), last])\n')
    store.materialize(end=day(12))
    dataset = store.get_historical_features(SPINE, "old").save("train")
    assert {name: view.version for name, view in dataset.manifest.views.items()} == {"last@1": 1, "last": 2}
    assert store.record_model("churn", dataset="train").views == {"last@1": 1, "last": 2}
    redefine(store, PURCHASES)
    store.materialize(end=day(13))
    assert store.datasets.rebuild("train").identical
