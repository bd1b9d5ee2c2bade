"""What was pushed is an input of every version: of those made later, and of those that stood still meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import GateRefused, SourceError, UnknownNameError
from featurestore.materialization.pushing import Pusher
from featurestore.materialization.targets import Target
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, define, make_project, open_project, purchases
from tests.store.pushes import frame, online, stored

TENFOLD = PURCHASES.replace('Feature("items", Int64)', 'Feature("items", Int64, expr="items * 10")')
FIRST = """
first = FeatureView("first", entities=[customer], source=purchases, features=[Feature("items", Int64)])
"""


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Customer a bought on January 2 and 10, b on January 5; materialized up to January 12."""
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def redefine(store: FeatureStore, definitions: str) -> None:
    define(store.root, definitions)
    store.apply()


def pushes(store: FeatureStore) -> list[Path]:
    return sorted((store.root / "data" / "offline" / "pushed").rglob("*.parquet"))


def test_a_new_version_takes_all_earlier_pushes_in_their_order_and_each_row_once(store: FeatureStore) -> None:
    first, second = ("a", day(11), 1.0, 1), ("a", day(11), 1.0, 2)
    store.push("last", frame(first))
    store.push("purchases", frame(second, ("c", day(4), 1.0, 3)))
    store.push("last", frame(first, first, ("b", day(11), 1.0, 4)))  # one of them is new, and comes last
    asked = [("a", day(11)), ("a", day(10)), ("b", day(11)), ("c", day(5))]
    assert stored(store, *asked) == [1, 2, 4, 3]
    redefine(store, TENFOLD)
    [_, new] = store.materialize(end=day(12)).views
    assert (new.pushed, store.serving().versions, store.waiting()) == (5, {"last": 2}, ())
    assert stored(store, *asked) == stored(store, *asked, from_source=True) == [10, 20, 40, 30]
    assert online(store, day(12), "a", "b", "c") == [10, 40, 30]
    [status] = store.status()
    assert (status.rows, status.in_step) == (8, True)
    assert [view.pushed for view in store.materialize(end=day(13)).views] == [0]


def test_the_next_push_takes_earlier_ones_too(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)))
    redefine(store, TENFOLD)
    report = store.push("last", frame(("d", day(11), 1.0, 4)))
    assert sorted((view.version, view.rows) for view in report.views) == [(1, 1), (2, 1)]
    asked = ["last@2:items"]
    found = store.get_online_features(asked, [{"customer": "c"}, {"customer": "d"}], at=day(12)).to_dict()
    assert found["items"] == [30, 40]


def test_what_is_pushed_again_is_no_push_and_what_a_gate_refuses_neither(store: FeatureStore) -> None:
    rows = frame(("c", day(11), 1.0, 3))
    store.push("last", rows)
    assert len(pushes(store)) == 1
    store.push("last", rows)
    with pytest.raises(GateRefused):
        store.push("last", rows.with_columns(customer=pl.lit(None, pl.String)))
    assert len(pushes(store)) == 1


@pytest.mark.parametrize("end", [12, 13])
def test_a_version_that_stood_still_takes_what_was_pushed_meanwhile(store: FeatureStore, end: int) -> None:
    redefine(store, TENFOLD)
    store.materialize(end=day(12))
    store.push("last", frame(("c", day(11), 1.0, 3)))
    store.rollback("last", reason="for the test")
    assert online(store, day(12), "c") == [None]
    store.materialize(end=day(end))
    assert (online(store, day(13), "c"), stored(store, ("c", day(12)))) == ([3], [3])
    assert store.switch("last", reason="back")
    assert online(store, day(13), "c") == [30]


def test_a_push_reaches_the_version_that_began_to_serve_while_it_waited(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = store._pusher._filling

    def overtaken(pusher: Pusher, target: Target, leases: ExitStack) -> object:
        monkeypatch.undo()
        with open_project(store.root) as other:
            redefine(other, TENFOLD)
            other.materialize(end=day(12))
        return waiting(target, leases)

    monkeypatch.setattr(Pusher, "_filling", overtaken)
    store.push("last", frame(("c", day(11), 1.0, 3)))
    assert (store.serving().versions, online(store, day(12), "c")) == ({"last": 2}, [30])


def test_a_new_view_takes_what_was_pushed_to_its_source_and_not_what_was_pushed_to_another_view(
    store: FeatureStore,
) -> None:
    store.push("purchases", frame(("c", day(11), 1.0, 3)))
    store.push("last", frame(("d", day(11), 1.0, 4)))
    redefine(store, PURCHASES + FIRST)
    store.materialize(end=day(12))
    found = store.get_online_features(["first:items"], [{"customer": "c"}, {"customer": "d"}], at=day(12))
    assert found.to_dict()["items"] == [3, None]


def test_what_was_pushed_to_a_source_stays_when_the_view_reads_another(store: FeatureStore) -> None:
    store.push("purchases", frame(("c", day(11), 1.0, 3)))
    define(store.root, TENFOLD.replace('"purchases", path', '"bought", path'))
    store.apply()
    with pytest.raises(UnknownNameError):
        store.push("no source", frame())
    store.materialize(end=day(12))
    assert (store.serving().versions, online(store, day(12), "c")) == ({"last": 2}, [30])


def test_a_push_to_one_version_is_for_that_alone(store: FeatureStore) -> None:
    store.push("last@1", frame(("c", day(11), 1.0, 3)))
    assert online(store, day(12), "c") == [3]
    redefine(store, TENFOLD)
    store.materialize(end=day(12))
    assert (store.serving().versions, online(store, day(12), "c")) == ({"last": 2}, [None])


COLOURED = PURCHASES.replace(
    'Feature("items", Int64)', 'Feature("items", Int64), Feature("shade", String, expr="upper(colour)")'
)


def test_a_column_that_the_source_has_got_since_is_null_in_earlier_pushes(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)))
    purchases().with_columns(colour=pl.lit("red")).write_parquet(store.root / "data" / "purchases.parquet")
    redefine(store, COLOURED)
    store.materialize(end=day(12))
    found = store.get_online_features(["last:shade", "last:items"], [{"customer": "a"}, {"customer": "c"}], at=day(12))
    assert (found.to_dict()["shade"], found.to_dict()["items"]) == (["RED", None], [2, 3])


def test_columns_that_no_view_read_then_are_there_for_a_later_version(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)).with_columns(colour=pl.lit("blue")))
    purchases().with_columns(colour=pl.lit("red")).write_parquet(store.root / "data" / "purchases.parquet")
    redefine(store, COLOURED)
    store.materialize(end=day(12))
    found = store.get_online_features(["last:shade"], [{"customer": "c"}], at=day(12)).to_dict()
    assert found["shade"] == ["BLUE"]


STRICT = """
class Bought(pa.DataFrameModel):
    amount: float = pa.Field(ge=0, nullable=True)
""" + PURCHASES.replace("ttl=", "contract=Bought, ttl=")


def test_a_stricter_contract_stops_the_new_version_and_no_push_until_the_rows_are_released(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)))
    store.push("last", frame(("c", day(11), -1.0, 4), ("d", day(11), 1.0, 5)))
    redefine(store, STRICT)
    with pytest.raises(GateRefused, match="1 of them failing: amount"):
        store.materialize(end=day(12))
    [status, waiting] = store.status()
    assert (status.rows, waiting.rows) == (6, 1)  # what came before it is committed
    report = store.push("last", frame(("e", day(11), 1.0, 6)))
    assert [(view.version, view.rows) for view in report.views] == [(1, 1)]
    [(view, reason)] = report.skipped
    assert (view, reason.startswith("it lacks earlier pushes, and takes this one with them: View 'last'")) == (
        "last@2", True,
    )  # fmt: skip
    assert online(store, day(12), "c", "d", "e") == [4, 5, 6]
    [entry] = store.quarantine.list()
    store.quarantine.release(entry.id, "me", "a refund", 0)
    store.materialize(end=day(12))
    assert (store.serving().versions, online(store, day(12), "c", "d", "e")) == ({"last": 2}, [4, 5, 6])
    assert store.status()[0].rows == 7


def test_a_push_that_fits_no_more_is_named_with_its_file_and_without_it_the_run_goes_on(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)))
    purchases().with_columns(items=pl.lit("one")).write_parquet(store.root / "data" / "purchases.parquet")
    redefine(store, PURCHASES.replace('Feature("items", Int64)', 'Feature("items", String)'))
    with pytest.raises(SourceError, match=r"view 'last' with number 1 does not fit .* declared String, found Int64"):
        store.materialize(end=day(12), views=["last@2"])
    pushes(store)[0].unlink()
    store.materialize(end=day(12), views=["last@2"])
    assert store.get_historical_features(
        pl.DataFrame({"customer": ["a"], "event_timestamp": [day(12)]}), ["last@2:items"]
    ).to_polars()["items"].to_list() == ["one"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_pushed_files_are_kept_as_the_views_read_them(tmp_path: Path, ending: str) -> None:
    coded = PURCHASES.replace('Feature("items", Int64)', 'Feature("items", Int64), Feature("code", String)')
    store = make_project(tmp_path, coded, purchases=purchases().with_columns(code=pl.lit("000")))
    store.apply()
    rows = frame(("007", day(11), None, 3), ("008", day(11), 1.5, 4)).with_columns(code=pl.lit("007"))
    path = tmp_path / f"rows.{ending}"
    match ending:
        case "parquet":
            rows.write_parquet(path)
        case "csv":
            rows.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        case _:
            rows.with_columns(at=pl.lit("2024-01-11T00:00:00Z")).write_ndjson(path)
    store.push("last", path)
    path.unlink()
    define(tmp_path, coded.replace('Feature("items", Int64)', 'Feature("items", Int64, expr="items * 10")'))
    store.apply()
    store.materialize(end=day(12))
    found = store.get_online_features(["last:*"], [{"customer": "007"}, {"customer": "008"}], at=day(12)).to_dict()
    assert (found["amount"], found["items"], found["code"]) == ([None, 1.5], [30, 40], ["007", "007"])


COUNTED = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at", event_id="id")
bought = FeatureView(
    "bought", entities=[customer], source=purchases, every=timedelta(days=1),
    features=[Aggregation("items", "sum", timedelta(days=30), name="total")],
)
"""


def test_windows_of_a_new_version_count_earlier_pushes_once(tmp_path: Path) -> None:
    store = make_project(tmp_path, COUNTED, purchases=purchases().with_columns(id=pl.col("items").cast(pl.String)))
    store.apply()
    store.materialize(end=day(12))
    rows = frame(("a", day(10), 5.0, 40), ("c", day(10), 5.0, 50)).with_columns(id=pl.Series(["x", "y"]))
    store.push("bought", rows)
    store.push("bought", rows.with_columns(note=pl.lit("again")).head(1))
    define(tmp_path, COUNTED.replace('"items", "sum"', '"amount", "sum"'))
    store.apply()
    store.materialize(end=day(12))
    assert store.serving().versions == {"bought": 2}
    found = store.get_online_features(["bought:total"], [{"customer": "a"}, {"customer": "c"}], at=day(12))
    assert found.to_dict()["total"] == [7.0, 5.0]  # 2 + null + 5


def test_a_version_that_takes_no_pushes_does_not_hide_those_of_the_old_one(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 3)))
    redefine(store, COUNTED.replace(', event_id="id"', "").replace("bought", "last"))
    store.materialize(end=day(12))
    assert store.waiting()[0].reason == "it takes no pushed rows, and v1 has some; `featurestore switch` it"
