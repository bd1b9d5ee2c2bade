"""One command brings an earlier version of a view back, and holds it until somebody says otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from featurestore.errors import InputError, MaterializationError, NotPublishedError, UnknownNameError
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, define, make_project, open_project, purchases
from tests.store.test_versions import NEW_FEATURE, TENFOLD, A, items, redefine, serves


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Version 2 of `last` serves, materialized up to January 12 as version 1 was before."""
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    redefine(store, TENFOLD)
    store.materialize(end=day(12))
    assert items(store) == [20, 20]
    return store


def test_a_rollback_is_one_call_and_lasts_through_runs_and_other_applies(store: FeatureStore) -> None:
    [move] = store.rollback("last", reason="items are ten times too many")
    assert (move.name, move.from_version, move.to_version) == ("last", 2, 1)
    assert move.reason == "items are ten times too many"
    assert items(store) == [2, 2]
    [waiting] = store.waiting()
    assert waiting.reason == "it was rolled back; `featurestore switch last` ends that"
    store.materialize(end=day(13))
    define(store.root, TENFOLD.replace('FeatureService("buyer"', 'FeatureService("buyer", owner="shop"'))
    store.apply()
    assert (serves(store), store.plan().changes) == ({"last": 1}, ())
    assert {status.version: status.watermark_us for status in store.status()}.keys() == {1, 2}


def test_another_process_sees_a_rollback_at_once(store: FeatureStore) -> None:
    other = open_project(store.root)
    assert items(other) == [20, 20]
    store.rollback("last", reason="wrong")
    assert items(other) == [2, 2]
    store.switch("last", reason="right after all")
    assert items(other) == [20, 20]


def test_a_switch_ends_a_rollback_and_both_are_logged_with_actor_and_reason(store: FeatureStore) -> None:
    store.rollback("last", reason="wrong")
    store.switch("last", reason="right after all")
    log = store.registry.moves("last")
    assert [(m.from_version, m.to_version, m.reason) for m in log] == [
        (1, 2, "right after all"),
        (2, 1, "wrong"),
        (1, 2, "its new version is built"),
        (None, 1, "revision 1 was applied"),
    ]
    assert {move.actor for move in log} == {store.actor}
    assert store.materialize(end=day(13)).moves == ()


def test_a_rollback_goes_one_version_further_each_time_and_to_any_that_is_named(store: FeatureStore) -> None:
    redefine(store, TENFOLD.replace("items * 10", "items * 100"))
    store.materialize(end=day(12))
    for expected in (20, 2):
        store.rollback("last", reason="further")
        assert items(store) == [expected] * 2
    with pytest.raises(InputError, match="No version of view 'last' before v1 ever served"):
        store.rollback("last", reason="further")
    store.switch("last", reason="enough")
    store.rollback("last", to=1, reason="all the way")
    assert items(store) == [2, 2]


def test_a_new_apply_of_the_view_ends_a_rollback(store: FeatureStore) -> None:
    store.rollback("last", reason="wrong")
    redefine(store, TENFOLD.replace("items * 10", "items * 3"))
    assert items(store) == [2, 2]
    store.materialize(end=day(12))
    assert items(store) == [6, 6]


def test_a_version_that_was_never_built_is_no_version_to_go_back_to(store: FeatureStore) -> None:
    redefine(store, TENFOLD.replace("items * 10", "items * 3"))
    redefine(store, TENFOLD.replace("items * 10", "items * 4"))
    store.materialize(end=day(12))
    assert serves(store) == {"last": 4}
    store.rollback("last", reason="wrong")
    assert serves(store) == {"last": 2}


def test_services_go_back_to_the_form_that_the_earlier_version_can_answer(store: FeatureStore) -> None:
    redefine(store, NEW_FEATURE)
    store.materialize(end=day(12))
    assert "value" in store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12)).to_dict()
    moves = store.rollback("last", reason="wrong")
    assert {(move.kind, move.name) for move in moves} == {("view", "last"), ("service", "buyer")}
    assert "value" not in store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12)).to_dict()
    store.switch("last", reason="right")
    assert "value" in store.get_online_features("buyer", A, [{"price": 1.0}], at=day(12)).to_dict()


def test_a_service_that_cannot_go_back_refuses_the_rollback_unless_it_pins_what_it_reads(store: FeatureStore) -> None:
    worth = '\nworth = FeatureService("worth", features=[last[["value"]]])\n'
    redefine(store, NEW_FEATURE + worth)
    store.materialize(end=day(12))
    with pytest.raises(InputError, match="'last' v2 cannot answer worth, which never did without what came later"):
        store.rollback("last", reason="wrong")
    assert serves(store) == {"last": 3}
    redefine(store, NEW_FEATURE + worth.replace("last[", "last.version(3)["))
    store.rollback("last", reason="wrong")
    assert (serves(store), items(store)) == ({"last": 2}, [20, 20])
    assert store.get_online_features("worth", [{"customer": "b"}], at=day(12)).to_dict()["value"] == [15.0]


def test_what_is_gone_cannot_be_gone_back_to(store: FeatureStore) -> None:
    [first] = [used for used in store.versions() if used.version.version == 1]
    assert first.reasons == ("rollback target",)
    store.online.drop(first.namespace)
    with pytest.raises(NotPublishedError, match="'last@1' cannot serve: its online records are gone"):
        store.rollback("last", reason="wrong")
    store.materialize(end=day(12), views=["last@1"])
    shutil.move(store.tables.directory / first.table, store.root / "elsewhere")
    with pytest.raises(MaterializationError, match=r"'last@1' cannot serve: its table last-\w+ is gone"):
        store.rollback("last", reason="wrong")
    assert items(store) == [20, 20]


def test_wrong_rollbacks_are_refused_in_a_sentence(store: FeatureStore) -> None:
    with pytest.raises(UnknownNameError, match="There is no view 'lost'"):
        store.rollback("lost", reason="x")
    with pytest.raises(InputError, match="View 'last' serves v2, so v2 is no way back"):
        store.rollback("last", to=2, reason="x")
    with pytest.raises(InputError, match="The reason is empty"):
        store.rollback("last", reason=" ")
    with pytest.raises(UnknownNameError, match="There is no view 'lost'"):
        store.switch("lost", reason="x")


def test_a_switch_by_hand_never_takes_a_feature_from_a_service_that_still_reads_it(store: FeatureStore) -> None:
    other = (
        'other = FeatureView("other", entities=[customer], source=purchases, features=[Feature("amount", Float64)])\n'
    )
    reader = 'reader = FeatureService("reader", features=[last[["items"]], other.projection().with_prefix("o")])\n'
    redefine(store, TENFOLD + other + reader)
    store.materialize(end=day(12))
    without = TENFOLD.replace(', Feature("items", Int64, expr="items * 10")', "")
    redefine(
        store, without + other.replace("Float64)]", 'Float64, expr="amount * 2")]') + reader.replace("items", "amount")
    )
    store.materialize(end=day(12), views=["last"])
    assert serves(store) == {"last": 2, "other": 1}
    with pytest.raises(InputError, match="'last' v3 cannot serve without others that are not built"):
        store.switch("last", reason="now")
    store.materialize(end=day(12))
    assert serves(store) == {"last": 3, "other": 2}
