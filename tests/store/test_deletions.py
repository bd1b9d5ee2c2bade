"""Deletion markers by the public API: what was cancelled is gone from history, from source, online and from SQL."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.errors import DefinitionError, GateRefused
from featurestore.store import FeatureStore
from featurestore.timeline import Status
from tests.store.projects import day, define, make_project

SOURCE = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource(
    "purchases", path="data/purchases.parquet", event_timestamp="at", created_timestamp="made", deleted="gone"
)
"""
VIEW = """
last = FeatureView("last", entities=[customer], source=purchases, features=[Feature("amount", Float64)])
"""
PLAIN = SOURCE + VIEW
AS_KNOWN = PLAIN.replace('deleted="gone"', 'deleted="gone", visibility="created"')
DAILY = (
    SOURCE.replace('deleted="gone"', 'deleted="gone", event_id="id"')
    + """
sums = FeatureView(
    "sums", entities=[customer], source=purchases, every=timedelta(days=1),
    features=[
        Aggregation("amount", "sum", timedelta(days=30), name="sum"),
        Aggregation("*", "count", timedelta(days=30), name="count"),
    ],
)
"""
)
CUSTOMERS = [{"customer": name} for name in "abc"]
SENT = [("a", 2, 2, 2.0, "w"), ("a", 6, 6, 6.0, "x"), ("b", 5, 5, 5.0, "y"), ("c", 4, 4, 4.0, "z")]


def purchases(*more: tuple[Any, ...]) -> pl.DataFrame:
    """What was bought, (customer, day, day on which it was known, amount, id), and markers, whose amount is null."""
    rows = [*SENT, *more]
    return pl.DataFrame(
        {
            "customer": [row[0] for row in rows],
            "at": [day(row[1]) for row in rows],
            "made": [day(row[2]) for row in rows],
            "amount": [row[3] for row in rows],
            "id": [row[4] for row in rows],
            "gone": [True if row[3] is None else None for row in rows],
        },
        schema_overrides={name: pl.Datetime("us", "UTC") for name in ("at", "made")},
    )


CANCELLED = purchases(("a", 6, 11, None, "x"), ("b", 5, 12, None, "y"))


def online(store: FeatureStore, feature: str, at: datetime) -> list[object]:
    found = store.get_online_features([feature], CUSTOMERS, at=at)
    return list(found.to_dict()[feature.partition(":")[2]])


def history(store: FeatureStore, feature: str, at: datetime, *, from_source: bool = False) -> list[object]:
    spine = pl.DataFrame({"customer": list("abc"), "event_timestamp": [at] * 3})
    found = store.get_historical_features(spine, [feature], from_source=from_source).to_polars()
    return found[feature.partition(":")[2]].to_list()


def test_a_marker_that_arrives_uncovers_the_row_before_and_takes_the_last_one_from_a_key(tmp_path: Path) -> None:
    with make_project(tmp_path, PLAIN, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        assert online(store, "last:amount", day(15)) == [6.0, 5.0, 4.0]
        CANCELLED.write_parquet(tmp_path / "data" / "purchases.parquet")
        store.materialize(start=day(5), end=day(10))
        for answers in (online(store, "last:amount", day(15)), history(store, "last:amount", day(15))):
            assert answers == [2.0, None, 4.0]
        assert store.get_online_features(["last:amount"], CUSTOMERS, at=day(15)).statuses["amount"] == [
            Status.PRESENT,
            Status.NOT_FOUND,
            Status.PRESENT,
        ]
        assert history(store, "last:amount", day(9), from_source=True) == [2.0, None, 4.0]
        assert store.sql('SELECT customer, amount FROM "last" ORDER BY ALL').rows() == [("a", 2.0), ("c", 4.0)]


def test_a_run_that_goes_on_publishes_what_its_markers_uncover(tmp_path: Path) -> None:
    """A purchase and its marker lie in the second interval; the first one's is published, and answers again."""
    rows = purchases(("a", 12, 12, 9.0, "v"), ("a", 12, 13, None, "v"), ("d", 12, 12, None, "u"))
    with make_project(tmp_path, PLAIN, purchases=rows) as store:
        store.apply()
        store.materialize(end=day(10))
        store.materialize(end=day(20))
        assert online(store, "last:amount", day(20)) == history(store, "last:amount", day(20)) == [6.0, 5.0, 4.0]


@pytest.mark.parametrize("start", [None, 8])
def test_a_run_that_goes_on_takes_in_markers_that_came_late(tmp_path: Path, start: int | None) -> None:
    """Also of rows before the committed start, which then is what the markers uncover."""
    with make_project(tmp_path, PLAIN, purchases=purchases()) as store:
        store.apply()
        store.materialize(start=None if start is None else day(start), end=day(10))
        assert online(store, "last:amount", day(10)) == [6.0, 5.0, 4.0]
        CANCELLED.write_parquet(tmp_path / "data" / "purchases.parquet")
        [view] = store.materialize(end=day(20)).views
        assert view.error is None
        expected = [2.0, None, 4.0]
        assert online(store, "last:amount", day(20)) == history(store, "last:amount", day(19)) == expected
        assert history(store, "last:amount", day(19), from_source=True) == expected


def test_a_run_that_goes_on_takes_in_markers_of_events_that_came_late(tmp_path: Path) -> None:
    with make_project(tmp_path, DAILY, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        CANCELLED.write_parquet(tmp_path / "data" / "purchases.parquet")
        store.materialize(end=day(20))
        for feature, expected in {"sum": [2.0, None, 4.0], "count": [1, None, 1]}.items():
            for answers in (online(store, f"sums:{feature}", day(20)), history(store, f"sums:{feature}", day(19))):
                assert answers == expected
            assert history(store, f"sums:{feature}", day(19), from_source=True) == expected


def test_with_visibility_created_a_lookup_follows_markers_that_come_after_the_publish(tmp_path: Path) -> None:
    with make_project(tmp_path, AS_KNOWN, purchases=CANCELLED) as store:
        store.apply()
        store.materialize(end=day(10))
        known = {10: [6.0, 5.0, 4.0], 11: [2.0, 5.0, 4.0], 12: [2.0, None, 4.0]}
        for number, expected in known.items():
            assert online(store, "last:amount", day(number)) == expected
            assert history(store, "last:amount", day(number)) == expected


def test_a_row_sent_again_comes_back(tmp_path: Path) -> None:
    rows = purchases(("a", 6, 11, None, "x"), ("a", 6, 13, 7.0, "x"))
    with make_project(tmp_path, AS_KNOWN, purchases=rows) as store:
        store.apply()
        store.materialize(end=day(10))
        assert [online(store, "last:amount", day(at))[0] for at in (10, 11, 12, 13)] == [6.0, 2.0, 2.0, 7.0]
        shown = store.sql("SELECT amount FROM \"last\" WHERE customer = 'a' ORDER BY event_timestamp, amount")
        assert shown["amount"].to_list() == [2.0, 6.0, 7.0]  # 6.0 is what was corrected, as ever


def test_a_pushed_marker_cancels_a_row_of_the_source_at_once(tmp_path: Path) -> None:
    with make_project(tmp_path, PLAIN, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        store.push("last", CANCELLED.tail(2).drop("amount").with_columns(amount=pl.lit(None, pl.Float64)))
        expected = [2.0, None, 4.0]
        assert online(store, "last:amount", day(15)) == history(store, "last:amount", day(9)) == expected
        assert history(store, "last:amount", day(9), from_source=True) == expected
        assert store.sql('SELECT customer FROM "last" ORDER BY ALL')["customer"].to_list() == ["a", "c"]
        store.materialize(start=day(1), end=day(10))
        assert online(store, "last:amount", day(15)) == history(store, "last:amount", day(9)) == expected
        back = purchases(("b", 5, 13, 7.0, "y")).tail(1)
        store.push("last", back)
        assert online(store, "last:amount", day(15)) == history(store, "last:amount", day(9)) == [2.0, 7.0, 4.0]


def test_a_pushed_marker_of_the_row_in_force_at_the_start_leaves_nothing_before_it(tmp_path: Path) -> None:
    with make_project(tmp_path, PLAIN, purchases=purchases()) as store:
        store.apply()
        store.materialize(start=day(8), end=day(10))
        assert history(store, "last:amount", day(9)) == [6.0, 5.0, 4.0]
        store.push("last", CANCELLED.tail(2))
        expected = [None, None, 4.0]  # what lies before the row in force at the start was never committed
        assert online(store, "last:amount", day(15)) == history(store, "last:amount", day(9)) == expected
        assert history(store, "last:amount", day(9), from_source=True) == expected


def test_a_pushed_marker_that_will_be_known_later_cancels_from_then_on(tmp_path: Path) -> None:
    with make_project(tmp_path, AS_KNOWN, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        store.push("last", CANCELLED.tail(2))
        for number, expected in {10: [6.0, 5.0, 4.0], 11: [2.0, 5.0, 4.0], 12: [2.0, None, 4.0]}.items():
            assert online(store, "last:amount", day(number)) == expected
            assert history(store, "last:amount", day(number)) == expected


def test_a_pushed_marker_cancels_an_event_in_windows(tmp_path: Path) -> None:
    with make_project(tmp_path, DAILY, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        store.push("sums", CANCELLED.tail(2))
        expected = [2.0, None, 4.0]
        assert online(store, "sums:sum", day(15)) == history(store, "sums:sum", day(9)) == expected
        assert history(store, "sums:sum", day(9), from_source=True) == expected


def test_cancelled_events_leave_windows_sql_and_views_on_them(tmp_path: Path) -> None:
    total = DAILY + (
        'busy = FeatureView("busy", entities=[customer], source=sums, features=[Feature("n", Int64, column="count")])\n'
    )
    with make_project(tmp_path, total, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(10))
        assert online(store, "sums:sum", day(15)) == [8.0, 5.0, 4.0]
        CANCELLED.write_parquet(tmp_path / "data" / "purchases.parquet")
        store.materialize(start=day(3), end=day(10))
        for feature, expected in {"sum": [2.0, None, 4.0], "count": [1, None, 1]}.items():
            for answers in (online(store, f"sums:{feature}", day(15)), history(store, f"sums:{feature}", day(9))):
                assert answers == expected
            assert history(store, f"sums:{feature}", day(9), from_source=True) == expected
        assert online(store, "busy:n", day(15)) == history(store, "busy:n", day(9)) == [1, None, 1]
        assert store.sql("SELECT customer FROM sums ORDER BY ALL")["customer"].to_list() == ["a", "c"]


def test_a_first_run_with_a_start_takes_what_markers_uncovered_before_it(tmp_path: Path) -> None:
    with make_project(tmp_path, PLAIN, purchases=CANCELLED) as store:
        store.apply()
        store.materialize(start=day(8), end=day(10))
        expected = [2.0, None, 4.0]
        assert online(store, "last:amount", day(15)) == history(store, "last:amount", day(9)) == expected
        assert history(store, "last:amount", day(9), from_source=True) == expected


def test_a_contract_judges_no_marker_by_its_values(tmp_path: Path) -> None:
    contract = "class Amounts(pa.DataFrameModel):\n    amount: float = pa.Field(gt=0)\n"
    checked = PLAIN.replace("features=", "contract=Amounts, features=")
    with make_project(tmp_path, contract + checked, purchases=CANCELLED) as store:
        store.apply()
        store.materialize(end=day(10))
        assert history(store, "last:amount", day(9)) == [2.0, None, 4.0]
        assert history(store, "last:amount", day(9), from_source=True) == [2.0, None, 4.0]
        nameless = CANCELLED.with_columns(customer=pl.when(pl.col("gone").is_null()).then("customer"))
        nameless.write_parquet(tmp_path / "data" / "purchases.parquet")
        with pytest.raises(GateRefused, match="customer: not_nullable"):
            store.materialize(start=day(1), end=day(10))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (pl.lit("no"), "deleted 'gone' of source 'purchases' holds VARCHAR, and must hold true and false"),
        (pl.lit(0), "deleted 'gone' of source 'purchases' holds INTEGER, and must hold true and false"),
        (None, "deleted 'gone' is no column of source 'purchases'"),
    ],
)
def test_a_column_that_cannot_mark_rows_is_found_when_planning(
    tmp_path: Path, gone: pl.Expr | None, message: str
) -> None:
    rows = purchases().drop("gone") if gone is None else purchases().with_columns(gone=gone)
    with make_project(tmp_path, PLAIN, purchases=rows) as store:
        with pytest.raises(DefinitionError, match=message) as caught:
            store.plan()
        assert caught.value.faults[0].line is not None


def test_marks_of_csv_may_all_be_empty(tmp_path: Path) -> None:
    csv = PLAIN.replace("ParquetSource", "CsvSource").replace("purchases.parquet", "purchases.csv")
    with make_project(tmp_path, csv) as store:
        for rows, expected in ((purchases(), [6.0, 5.0, 4.0]), (CANCELLED, [2.0, None, 4.0])):
            rows.write_csv(tmp_path / "data" / "purchases.csv", datetime_format="%+")
            store.apply()
            store.materialize(start=day(1), end=day(10))
            assert history(store, "last:amount", day(9)) == expected


def test_a_marker_in_one_of_several_sources_cancels_a_row_of_another(tmp_path: Path) -> None:
    recalls = SOURCE.replace("purchases", "recalls").replace("customer = ", "person = ")
    both = SOURCE + recalls + VIEW.replace("source=purchases", "source=[purchases, recalls]")
    with make_project(tmp_path, both, purchases=purchases(), recalls=CANCELLED.tail(2)) as store:
        store.apply()
        store.materialize(end=day(10))
        assert online(store, "last:amount", day(15)) == [2.0, None, 4.0]


def test_a_query_may_compute_which_rows_are_markers(tmp_path: Path) -> None:
    query = """
checked = SqlSource(
    "checked", inputs=[purchases], sql="SELECT * EXCLUDE (gone), amount IS NULL AS void FROM purchases",
    event_timestamp="at", created_timestamp="made", deleted="void",
)
"""
    with make_project(tmp_path, SOURCE + query + VIEW.replace("=purchases", "=checked"), purchases=CANCELLED) as store:
        store.apply()
        store.materialize(end=day(10))
        assert history(store, "last:amount", day(9)) == [2.0, None, 4.0]


def test_declaring_markers_is_a_change_of_what_is_kept(tmp_path: Path) -> None:
    with make_project(tmp_path, PLAIN.replace(', deleted="gone"', ""), purchases=CANCELLED) as store:
        store.apply()
        store.materialize(end=day(10))
        assert history(store, "last:amount", day(9)) == [None, None, 4.0]  # a marker was a row like any
        define(tmp_path, PLAIN)
        plan = store.apply()
        assert ("view", "last") in {(change.kind, change.name) for change in plan.changes}
        store.materialize(end=day(10))
        assert history(store, "last:amount", day(9)) == [2.0, None, 4.0]
