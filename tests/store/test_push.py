"""Pushed rows: in history, online at once, beside what a materialization takes from the source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import (
    ConflictError,
    GateRefused,
    InputError,
    UnknownNameError,
)
from featurestore.plan.views import table_name
from featurestore.store import FeatureStore
from featurestore.timeline import instant_us
from tests.store.projects import PURCHASES, day, make_clocked, make_project, open_project, purchases
from tests.store.pushes import frame, online, stored


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Customer a bought on January 2 and 10, b on January 5; materialized up to January 12."""
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def test_a_pushed_row_is_answered_at_once_offline_and_online(store: FeatureStore) -> None:
    report = store.push("last", frame(("b", day(13), 1.0, 50), ("c", day(11), 1.0, 60)))
    [view] = report.views
    assert (view.view, view.rows, view.repeated, view.dropped, view.published, view.table_version) == (
        "last", 2, 0, 0, 2, 1,
    )  # fmt: skip
    assert stored(store, ("b", day(12, 23)), ("b", day(13)), ("c", day(13)), ("a", day(13))) == [3, 50, 60, 2]
    assert online(store, day(12, 23), "b") == [3]
    assert online(store, day(13), "a", "b", "c", "d") == [2, 50, 60, None]
    assert store.status()[0].in_step


def test_an_older_row_never_hides_a_newer_one_and_takes_its_place_in_history(store: FeatureStore) -> None:
    store.push("last", frame(("a", day(4), 1.0, 40)))
    assert online(store, day(12), "a") == [2]
    asked = [("a", day(3)), ("a", day(4)), ("a", day(9)), ("a", day(10))]
    assert stored(store, *asked) == [1, 40, 40, 2]
    assert stored(store, *asked, from_source=True) == [1, 40, 40, 2]


def test_of_equal_times_the_pushed_row_wins_over_the_sources_whichever_came_first(
    store: FeatureStore, tmp_path: Path
) -> None:
    store.push("last", frame(("a", day(10), 1.0, 70)))
    assert (stored(store, ("a", day(11))), online(store, day(12), "a")) == ([70], [70])
    store.materialize(start=day(1), end=day(12))
    assert (stored(store, ("a", day(11))), online(store, day(12), "a")) == ([70], [70])
    assert stored(store, ("a", day(11)), from_source=True) == [70]


def test_the_same_rows_again_change_nothing(store: FeatureStore) -> None:
    rows = frame(("a", day(13), 1.0, 1), ("b", day(13), None, 2))
    store.push("last", rows)
    before = store.status()
    [again] = store.push("last", pl.concat([rows, rows])).views
    assert (again.rows, again.repeated, again.published) == (2, 2, 2)
    assert store.push("last", rows).views[0].rows == 0
    assert stored(store, ("a", day(14)), ("b", day(14))) == [1, 2]
    assert before[0].table_version == 1


def test_a_row_pushed_again_does_not_come_back_over_its_correction(store: FeatureStore) -> None:
    first, second = frame(("a", day(13), 1.0, 1)), frame(("a", day(13), 1.0, 2))
    for rows in (first, second, first):
        store.push("last", rows)
    assert (stored(store, ("a", day(14))), online(store, day(14), "a")) == ([2], [2])


def test_materializing_replaces_the_sources_rows_only_and_a_push_moves_no_watermark(
    store: FeatureStore, tmp_path: Path
) -> None:
    store.push("last", frame(("a", day(11), 1.0, 11), ("a", day(14), 1.0, 14)))
    assert store.status()[0].watermark_us == instant_us(day(12), "W")
    purchases().with_columns(items=pl.col("items") * 10).write_parquet(tmp_path / "data" / "purchases.parquet")
    store.materialize(start=day(1), end=day(12))
    asked = [("a", day(3)), ("a", day(10)), ("a", day(11)), ("a", day(14)), ("b", day(14))]
    assert stored(store, *asked) == [10, 20, 11, 14, 30]
    store.materialize(end=day(20))
    assert stored(store, *asked) == [10, 20, 11, 14, 30]
    assert online(store, day(20), "a", "b") == [14, None]  # b's purchase is older than ten days
    assert stored(store, *asked, from_source=True) == [10, 20, 11, 14, 30]


def test_rows_may_be_pushed_before_anything_is_materialized(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.push("last", frame(("a", day(3), 1.0, 30), ("c", day(3), 1.0, 33)))
    assert stored(store, ("a", day(2)), ("a", day(4)), ("b", day(6))) == [None, 30, None]
    assert online(store, day(4), "a", "b", "c") == [30, None, 33]
    assert online(store, day(2), "a") == [None]
    [status] = store.status()
    assert (status.watermark_us, status.rows, status.keys, status.in_step) == (None, 2, 2, True)
    store.push("last", frame(("a", day(3, 1), 1.0, 31)))
    assert online(store, day(4), "a") == [31]
    store.materialize(end=day(12))
    assert stored(store, ("a", day(2)), ("a", day(4)), ("a", day(11)), ("b", day(6))) == [1, 31, 2, 3]
    assert online(store, day(12), "a", "b", "c") == [2, 3, 33]


def test_a_first_run_with_a_start_leaves_pushed_rows_before_it(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.push("last", frame(("a", day(7), 1.0, 70), ("b", day(3), 1.0, 30)))
    store.materialize(start=day(8), end=day(12))
    asked = [("a", day(8)), ("a", day(10)), ("b", day(8))]
    assert stored(store, *asked) == [70, 2, 3]
    assert stored(store, *asked, from_source=True) == [70, 2, 3]


@pytest.mark.parametrize(
    "rows",
    [
        frame(("c", day(11), 1.0, 5)).to_arrow(),
        frame(("c", day(11), 1.0, 5)).to_pandas(),
        frame(("c", day(11), 1.0, 5)).lazy(),
        [{"customer": "c", "at": day(11), "amount": 1.0, "items": 5}],
    ],
    ids=["arrow", "pandas", "lazy polars", "list of dicts"],
)
def test_rows_come_in_any_form(store: FeatureStore, rows: object) -> None:
    store.push("last", rows)
    assert online(store, day(12), "c") == [5]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_rows_come_in_files(store: FeatureStore, tmp_path: Path, ending: str) -> None:
    rows = frame(("c", day(11), 1.5, 5), ("d", day(11), None, 6))
    path = tmp_path / f"rows.{ending}"
    match ending:
        case "parquet":
            rows.write_parquet(path)
        case "csv":
            rows.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        case _:
            path.write_text(
                '{"customer": "c", "at": "2024-01-11T00:00:00Z", "amount": 1.5, "items": 5}\n\n'
                '{"customer": "d", "at": "2024-01-11T01:00:00+01:00", "items": 6}\n'
            )
    store.push("last", path)
    assert online(store, day(12), "c", "d") == [5, 6]
    assert store.push("last", rows).rows == 0


def test_columns_that_no_view_reads_are_let_be(store: FeatureStore) -> None:
    store.push("last", frame(("c", day(11), 1.0, 5)).with_columns(note=pl.lit("by hand")))
    assert online(store, day(12), "c") == [5]


CONTRACT = """
class Bought(pa.DataFrameModel):
    amount: float = pa.Field(ge=0, nullable=True)
    note: str = pa.Field(isin=["ok"])
"""
CHECKED = CONTRACT + PURCHASES.replace("ttl=", "contract=Bought, ttl=")
NOTED = purchases().with_columns(note=pl.lit("ok"))


def test_what_the_contract_refuses_is_not_written_and_lies_in_quarantine(tmp_path: Path) -> None:
    store = make_project(tmp_path, CHECKED, purchases=NOTED)
    store.apply()
    store.materialize(end=day(12))
    before = store.status()
    good, bad = ("c", day(11), 1.0, 5), ("d", day(11), -1.0, 6)
    rows = frame(good, bad).with_columns(note=pl.lit("ok"))
    with pytest.raises(GateRefused, match="1 of them failing: amount"):
        store.push("last", rows)
    assert store.status() == before
    [entry] = store.quarantine.list()
    assert (entry.view, entry.start_us, entry.end_us, entry.refused_rows) == ("last", None, None, 1)
    store.quarantine.release(entry.id, "me", "a refund", 0)
    assert store.push("last", rows).rows == 2
    with pytest.raises(GateRefused, match="note"):
        store.push("last", frame(("e", day(11), 1.0, 5)).with_columns(note=pl.lit("bad")))
    with pytest.raises(GateRefused, match=r"note: column_in_dataframe \(found no such column\)"):
        store.push("last", frame(("e", day(11), 1.0, 5)))


def test_a_view_that_drops_rows_drops_pushed_ones(tmp_path: Path) -> None:
    definitions = CHECKED.replace("contract=Bought", 'on_refusal="drop", contract=Bought')
    store = make_project(tmp_path, definitions, purchases=NOTED)
    store.apply()
    rows = frame(("c", day(11), 1.0, 5), ("d", day(11), -1.0, 6), ("e", day(11), 1.0, 7)).with_columns(
        pl.lit("ok").alias("note"), pl.when(pl.col("customer") != "e").then("at")
    )
    [view] = store.push("last", rows).views
    assert (view.rows, view.dropped, view.repeated) == (1, 2, 0)
    assert store.push("last", rows).views[0].rows == 0


def test_rows_that_do_not_fit_are_refused_in_one_sentence(store: FeatureStore, tmp_path: Path) -> None:
    rows = frame(("a", day(13), 1.0, 1))
    before = store.status()
    for wrong, message in (
        (rows.drop("items"), "there is no column 'items'"),
        (rows.with_columns(items=pl.lit("one")), "column 'items' is declared Int64, found String"),
        (rows.with_columns(pl.col("at").dt.replace_time_zone(None)), "without a time zone"),
        ("no-such-file.parquet", "There is no file"),
        (tmp_path / "featurestore.toml", "neither Parquet, CSV nor JSON lines"),
        (17, "is a int"),
    ):
        with pytest.raises(InputError, match=message):
            store.push("last", wrong)
    for wrong, message in (
        (rows.with_columns(at=pl.lit(None, rows.schema["at"])), "1 row of source 'purchases' without event time"),
        (rows.with_columns(customer=pl.lit(None, pl.String)), "customer"),
    ):
        with pytest.raises(GateRefused, match=message):
            store.push("last", wrong)
    with pytest.raises(UnknownNameError, match=r"There is no view or source 'lst'. Available: last"):
        store.push("lst", rows)
    assert store.status() == before


TWO = (
    PURCHASES
    + """
summed = SqlSource("summed", inputs=[purchases], event_timestamp="at", sql="SELECT * FROM purchases")
first = FeatureView("first", entities=[customer], source=purchases, features=[Feature("items", Int64)])
above = FeatureView("above", entities=[customer], source=summed, features=[Feature("items", Int64)])
"""
)


def test_a_push_to_a_source_reaches_every_view_that_reads_it_directly(tmp_path: Path) -> None:
    store = make_project(tmp_path, TWO, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    report = store.push("purchases", frame(("a", day(11), 1.0, 9)))
    assert [(view.view, view.rows) for view in report.views] == [("first", 1), ("last", 1)]
    assert report.skipped == (("above", "it reads 'summed', which is computed from 'purchases'"),)
    for view, items in (("first", 9), ("last", 9), ("above", 2)):
        found = store.get_online_features([f"{view}:items"], [{"customer": "a"}], at=day(12))
        assert found.to_dict()["items"] == [items]


def test_nothing_is_written_when_one_of_several_views_refuses(tmp_path: Path) -> None:
    definitions = CONTRACT.replace('    note: str = pa.Field(isin=["ok"])\n', "") + TWO.replace(
        'FeatureView("first", ', 'FeatureView("first", contract=Bought, '
    )
    store = make_project(tmp_path, definitions, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    before = store.status()
    with pytest.raises(GateRefused, match="View 'first'"):
        store.push("purchases", frame(("a", day(11), -1.0, 9)))
    assert store.status() == before


def test_a_source_that_no_view_reads_directly_is_refused(tmp_path: Path) -> None:
    only = PURCHASES[: PURCHASES.index("last = ")] + TWO[TWO.index("summed = ") : TWO.index("first = ")]
    store = make_project(tmp_path, only + TWO[TWO.index("above = ") :], purchases=purchases())
    store.apply()
    with pytest.raises(InputError, match="No view reads source 'purchases' directly"):
        store.push("purchases", frame(("a", day(11), 1.0, 9)))
    store.push("above", frame(("a", day(11), 1.0, 9)))


def test_a_timeless_view_takes_no_rows(tmp_path: Path) -> None:
    definitions = """
customer = Entity("customer", join_keys={"customer": String})
names = ParquetSource("names", path="data/names.parquet", timeless=True)
named = FeatureView("named", entities=[customer], source=names, features=[Feature("name", String)])
"""
    names = pl.DataFrame({"customer": ["a"], "name": ["Ann"]})
    store = make_project(tmp_path, definitions, names=names)
    store.apply()
    with pytest.raises(InputError, match="'named' is timeless"):
        store.push("named", names)


def test_an_answer_as_of_an_instant_has_what_was_pushed_by_then(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=purchases())
    clock.at = day(12)
    store.materialize(end=day(12))
    clock.at = day(14)
    store.push("last", frame(("a", day(11), 1.0, 11)))
    spine = pl.DataFrame({"customer": ["a"], "event_timestamp": [day(13)]})
    found = [
        store.get_historical_features(spine, ["last:items"], as_of=at).to_polars()["items"].to_list()
        for at in (day(13), day(14))
    ]
    assert found == [[2], [11]]


def test_a_push_waits_for_another_writer_but_not_for_ever(store: FeatureStore) -> None:
    pusher = store._pusher
    object.__setattr__(pusher, "lease_wait_s", 0.05)
    name = table_name(store.catalog().views["last"])
    with (
        store.tables.lease(name),
        pytest.raises(ConflictError, match=r"another materialization or push, and was not free within 0\.05 seconds"),
    ):
        store.push("last", frame(("a", day(13), 1.0, 1)))
    assert store.push("last", frame(("a", day(13), 1.0, 1))).rows == 1


def test_what_was_committed_and_not_published_is_published_by_the_same_push(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame(("a", day(11), 1.0, 11))
    with monkeypatch.context() as broken:
        broken.setattr(type(store._pusher.publisher), "publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.push("last", rows)
    assert online(store, day(12), "a") == [2]
    [view] = store.push("last", rows).views
    assert (view.rows, view.repeated, view.published) == (0, 1, 2)
    assert online(store, day(12), "a") == [11]


def test_a_second_version_of_a_view_takes_the_rows_as_well(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    (tmp_path / "feature_defs" / "shop.py").write_text(
        (tmp_path / "feature_defs" / "shop.py")
        .read_text()
        .replace('Feature("items", Int64)', 'Feature("items", Int64), Feature("double", Int64, expr="items * 2")')
    )
    store = open_project(tmp_path)
    store.apply()
    report = store.push("last", frame(("a", day(11), 1.0, 11)))
    assert sorted((view.version, view.rows) for view in report.views) == [(1, 1), (2, 1)]
    assert online(store, day(12), "a") == [11]
    store.materialize(end=day(12, 1))
    found = store.get_online_features(["last:double"], [{"customer": "a"}], at=day(12, 1)).to_dict()["double"]
    assert found == [22]


def test_a_push_to_a_large_table_is_quick(tmp_path: Path) -> None:
    many = pl.DataFrame({"number": range(100_000)}).select(
        customer=pl.format("c{}", pl.col("number") % 20_000),
        at=pl.lit(day(1)) + pl.duration(seconds=pl.col("number")),
        amount=pl.col("number").cast(pl.Float64),
        items="number",
    )
    store = make_project(tmp_path, PURCHASES.replace("ttl=timedelta(days=10),", ""), purchases=many)
    store.apply()
    store.materialize(end=day(10), step=timedelta(days=30))
    store.push("last", frame(("c17", day(11), 1.0, 5)))
    assert online(store, day(11), "c17", "c18") == [5, 80_018]
    assert store.status()[0].keys == 20_000
