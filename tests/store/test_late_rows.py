"""Rows that arrive late: taken in by the next run, offline and online, and nothing else is rewritten."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import DefinitionError, GateRefused
from featurestore.materialization.report import LateReport, ViewReport
from featurestore.plan.views import table_name
from featurestore.store import FeatureStore
from featurestore.timeline import duration_us
from tests.cli.test_commands import answer
from tests.cli.test_commands import run as command
from tests.store.projects import DAY, PURCHASES, day, define, make_project, open_project

INSTANT = pl.Datetime("us", "UTC")
Row = tuple[str, datetime, datetime | None, int | None]

CREATED = PURCHASES.replace('event_timestamp="at"', 'event_timestamp="at", created_timestamp="made"').replace(
    "ttl=timedelta(days=10),", ""
)
LOOKBACK = PURCHASES.replace('event_timestamp="at"', 'event_timestamp="at", lookback=timedelta(days=5)').replace(
    "ttl=timedelta(days=10),", ""
)


def rows(*given: Row) -> pl.DataFrame:
    """Purchases: customer, instant, when it became known, items."""
    frame = pl.DataFrame(
        list(given),
        orient="row",
        schema={"customer": pl.String, "at": INSTANT, "made": INSTANT, "items": pl.Int64},
    )
    return frame.with_columns(amount=pl.col("items").cast(pl.Float64))


EARLY = rows(("a", day(2), day(2), 1), ("a", day(10), day(10), 2), ("b", day(5), day(5), 3))


def write(store: FeatureStore, *frames: pl.DataFrame) -> None:
    """Write the source anew."""
    pl.concat(frames).write_parquet(store.root / "data" / "purchases.parquet")


def run(store: FeatureStore, end: datetime, start: datetime | None = None) -> ViewReport:
    [view] = store.materialize(end=end, start=start).views
    return view


def history(store: FeatureStore, *asked: tuple[str, datetime]) -> list[int | None]:
    """Items from the store, which must be the same from source."""
    spine = pl.DataFrame(asked, orient="row", schema={"customer": pl.String, "event_timestamp": INSTANT})
    found, again = (
        store.get_historical_features(spine, ["last:items"], from_source=source).to_polars()["items"].to_list()
        for source in (False, True)
    )
    assert found == again
    return found


def online(store: FeatureStore, at: datetime, *customers: str) -> list[object]:
    found = store.get_online_features(["last:items"], [{"customer": customer} for customer in customers], at=at)
    return list(found.to_dict()["items"])


def made(root: Path, definitions: str = CREATED, **given: pl.DataFrame) -> FeatureStore:
    store = make_project(root, definitions, purchases=given.get("purchases", EARLY))
    store.apply()
    return store


def versions(store: FeatureStore) -> int:
    found = store.status()[0].table_version
    assert found is not None
    return found


def test_a_run_takes_in_what_came_late_and_says_how_late_it_was(tmp_path: Path) -> None:
    store = made(tmp_path)
    assert run(store, day(12)).late is None
    late = rows(("b", day(11), day(13), 30), ("c", day(4), day(13), 40), ("a", day(8), day(13), 50))
    write(store, EARLY, late)
    report = run(store, day(14))
    assert report.late == LateReport(3, 0, 0, duration_us(DAY), duration_us(4 * DAY), duration_us(8 * DAY))
    assert report.remarks == ("3 rows were late, 24h to 8d before the watermark (median 4d)",)
    assert (report.rows, report.published) == (3, 3)
    asked = [("a", day(7)), ("a", day(9)), ("a", day(13)), ("b", day(10)), ("b", day(11)), ("c", day(3)), ("c", day(4))]
    assert history(store, *asked) == [1, 50, 2, 3, 30, None, 40]
    assert online(store, day(14), "a", "b", "c") == [2, 30, 40]


def test_what_was_taken_in_is_not_taken_twice(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(13), 30)))
    for end in (14, 15, 16):
        run(store, day(end))
    assert store.sql("SELECT count(*) FROM last").item() == 4


def test_nothing_else_is_rewritten(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    table = store.tables.directory / table_name(store.catalog().views["last"])
    before = {file: file.stat().st_mtime_ns for file in table.glob("*.parquet")}
    write(store, EARLY, rows(("b", day(4), day(13), 30)))
    run(store, day(14))
    files = store.tables.snapshot(table.name)
    assert files is not None
    assert set(map(str, before)) <= set(files.files)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_row_sent_again_later_replaces_the_old_one(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    write(store, EARLY, rows(("a", day(10), day(13), 20), ("b", day(5), day(4), 33)))
    run(store, day(14))  # b's was made before the newest that was there: it is a row of the past, and no late one
    assert history(store, ("a", day(11))) == [20]
    assert online(store, day(14), "a", "b") == [20, 3]


def test_a_marker_that_comes_late_uncovers_the_row_before(tmp_path: Path) -> None:
    definitions = CREATED.replace('created_timestamp="made"', 'created_timestamp="made", deleted="gone"')
    before = EARLY.with_columns(gone=pl.lit(None, pl.Boolean))
    store = made(tmp_path, definitions, purchases=before)
    run(store, day(12))
    markers = rows(("a", day(10), day(13), None), ("b", day(5), day(13), None)).with_columns(gone=pl.lit(value=True))
    write(store, before, markers)
    assert run(store, day(14)).late == LateReport(
        2, 0, 0, duration_us(2 * DAY), duration_us(2 * DAY), duration_us(7 * DAY)
    )
    assert history(store, ("a", day(11)), ("b", day(11))) == [1, None]
    assert online(store, day(14), "a", "b") == [1, None]
    assert store.status()[0].keys == 1


def test_an_end_at_or_before_the_watermark_takes_nothing(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(13), 30)))
    before = store.status()
    assert run(store, day(12)).chunks == ()
    assert store.status() == before
    assert run(store, day(12, 1)).late is not None


def test_a_backfill_takes_its_interval_and_leaves_the_rest_to_the_next_run(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    write(store, EARLY, rows(("b", day(4), day(13), 30), ("b", day(9), day(13), 31)))
    assert run(store, day(12), day(8)).late is None
    assert online(store, day(12), "b") == [31]
    spine = pl.DataFrame({"customer": ["b"], "event_timestamp": [day(4)]})
    assert store.get_historical_features(spine, ["last:items"]).to_polars()["items"].to_list() == [None]
    report = run(store, day(14))
    assert report.late is not None
    assert report.late.rows == 1
    assert history(store, ("b", day(4)), ("b", day(9))) == [30, 31]


def test_equal_rows_that_come_late_are_counted_each(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    one = rows(("b", day(11), day(13), 30))
    write(store, EARLY, one)
    run(store, day(12, 1))
    write(store, EARLY, one, one, rows(("c", day(11), day(14), 40)))
    assert run(store, day(14)).rows == 1  # created no later than the newest that was there
    write(
        store,
        EARLY,
        one,
        one,
        rows(("c", day(11), day(14), 40), ("c", day(11), day(15), 41), ("c", day(11), day(15), 41)),
    )
    assert run(store, day(16)).rows == 2


def test_a_source_that_lost_its_newest_rows_is_compared_whole(tmp_path: Path) -> None:
    store = made(tmp_path, purchases=pl.concat([EARLY, rows(("z", day(6), day(28), 9))]))
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(13), 30)))  # the row from the future is gone
    report = run(store, day(14))
    assert report.late is not None
    assert report.late.rows == 1
    assert online(store, day(14), "b", "z") == [30, 9]


def test_what_the_contract_refuses_of_late_rows_stops_the_run(tmp_path: Path) -> None:
    contract = "class Bought(pa.DataFrameModel):\n    items: int = pa.Field(ge=0)\n"
    store = made(tmp_path, contract + CREATED.replace("source=purchases,", "source=purchases, contract=Bought,"))
    run(store, day(12))
    before = store.status()
    write(store, EARLY, rows(("b", day(11), day(13), -1), ("c", day(13), day(13), 5)))
    with pytest.raises(GateRefused, match="1 of them failing: items"):
        run(store, day(14))
    assert store.status() == before
    [entry] = store.quarantine.list()
    store.quarantine.release(entry.id, "me", "a refund", 0)
    run(store, day(14))
    assert online(store, day(14), "b", "c") == [-1, 5]


def test_late_rows_that_a_view_drops_are_counted_and_not_tried_again(tmp_path: Path) -> None:
    contract = "class Bought(pa.DataFrameModel):\n    items: int = pa.Field(ge=0)\n"
    view = 'source=purchases, contract=Bought, on_refusal="drop",'
    store = made(tmp_path, contract + CREATED.replace("source=purchases,", view))
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(13), -1)))
    assert run(store, day(14)).late == LateReport(0, 0, 1)
    assert run(store, day(15)).late is None


@pytest.mark.parametrize("delay", ["", "delay=timedelta(days=2), "])
def test_what_is_in_force_at_the_start_follows_late_rows(tmp_path: Path, delay: str) -> None:
    store = made(tmp_path, CREATED.replace("source=purchases,", f"source=purchases, {delay}"))
    run(store, day(12), day(8))  # a's row of January 2 and b's of January 5 are in force
    asked = [(customer, day(at)) for customer in "abcd" for at in (8, 9, 10, 11)]
    history(store, *asked)
    write(store, EARLY, rows(("a", day(7), day(13), 70), ("b", day(3), day(13), 30), ("c", day(6), day(13), 60)))
    report = run(store, day(14))
    assert report.late is not None
    assert report.late.rows == 2  # b's is further back than what is in force
    found = history(store, *asked)
    if not delay:
        assert found == [70, 70, 2, 2, 3, 3, 3, 3, 60, 60, 60, 60, None, None, None, None]
    assert online(store, day(14), "a", "b", "c") == [2, 3, 60]


def test_a_lookback_takes_what_the_source_has_now(tmp_path: Path) -> None:
    store = made(tmp_path, LOOKBACK)
    run(store, day(12))
    write(store, rows(("a", day(2), None, 1), ("b", day(9), None, 3), ("c", day(8), None, 8), ("c", day(6), None, 9)))
    report = run(store, day(14))  # from January 7 on: a's row of the 10th is gone, b's and c's came
    assert report.late == LateReport(2, 1, 0, duration_us(3 * DAY), duration_us(3 * DAY), duration_us(4 * DAY))
    assert "1 rows are gone from the source" in report.remarks[0]
    assert online(store, day(14), "a", "b", "c") == [1, 3, 8]
    spine = pl.DataFrame({"customer": ["c", "b"], "event_timestamp": [day(7), day(8)]})
    assert store.get_historical_features(spine, ["last:items"]).to_polars()["items"].to_list() == [None, 3]


def test_a_lookback_that_finds_nothing_commits_nothing(tmp_path: Path) -> None:
    store = made(tmp_path, LOOKBACK)
    run(store, day(12))
    before = versions(store)
    assert run(store, day(13)).late is None
    assert versions(store) == before + 1


def test_a_lookback_may_leave_nothing(tmp_path: Path) -> None:
    store = made(tmp_path, LOOKBACK, purchases=rows(("a", day(10), None, 2)))
    run(store, day(12))
    write(store, rows(("b", day(20), None, 3)))
    assert str(run(store, day(13)).late) == "1 rows are gone from the source"
    assert run(store, day(14)).late is None
    assert run(store, day(9), day(8)).rows == 0
    assert (online(store, day(14), "a", "b"), store.status()[0].rows) == ([None, None], 0)
    assert run(store, day(21)).rows == 1
    assert online(store, day(21), "a", "b") == [None, 3]


def test_a_lookback_takes_no_key_away_that_was_pushed(tmp_path: Path) -> None:
    store = made(tmp_path, LOOKBACK)
    run(store, day(12))
    store.push("last", EARLY.filter(pl.col("items") == 2))
    write(store, EARLY.filter(pl.col("items") != 2))
    assert str(run(store, day(14)).late) == "1 rows are gone from the source"
    assert online(store, day(14), "a") == [2]
    assert history(store, ("a", day(11))) == [2]


def test_lookback_and_created_time_work_together(tmp_path: Path) -> None:
    store = made(
        tmp_path, CREATED.replace('created_timestamp="made"', 'created_timestamp="made", lookback=timedelta(days=5)')
    )
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(1), 30), ("c", day(3), day(13), 40)))
    report = run(store, day(14))
    assert report.late is not None
    assert report.late.rows == 2
    assert online(store, day(14), "b", "c") == [30, 40]
    assert run(store, day(15)).late is None


def test_a_new_lookback_rebuilds_nothing(tmp_path: Path) -> None:
    store = made(tmp_path, LOOKBACK)
    run(store, day(12))
    define(tmp_path, LOOKBACK.replace("lookback=timedelta(days=5)", "lookback=timedelta(days=9)"))
    store = open_project(tmp_path)
    changes = {(change.kind, change.action): change.details for change in store.apply().changes}
    assert changes == {("source", "metadata"): ("lookback",), ("view", "metadata"): ("source",)}
    write(store, EARLY, rows(("c", day(4), None, 4)))
    assert run(store, day(13)).late is not None
    assert online(store, day(13), "c") == [4]


WINDOWS = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at", created_timestamp="made")
last = FeatureView(
    "last",
    entities=[customer],
    source=purchases,
    every=timedelta(days=1),
    features=[Aggregation("items", "sum", timedelta(days=7), name="items")],
)
"""


def test_late_events_change_the_windows_that_cover_them(tmp_path: Path) -> None:
    store = made(tmp_path, WINDOWS)
    run(store, day(12))
    assert online(store, day(12), "a", "b", "c") == [2, 3, None]
    write(store, EARLY, rows(("b", day(8), day(13), 30), ("c", day(1), day(13), 40), ("a", day(13), day(13), 5)))
    report = run(store, day(14))
    assert report.late is not None
    assert report.late.rows == 2
    asked = [("a", day(13, 23)), ("b", day(9)), ("b", day(12)), ("b", day(13)), ("c", day(2)), ("c", day(13))]
    assert history(store, *asked) == [2, 33, 33, 30, 40, None]
    assert online(store, day(14), "a", "b", "c") == [7, 30, None]
    found = store.get_online_features(["last:items"], [{"customer": "c"}], at=day(14))
    assert [status.name for status in found.statuses["items"]] == ["NULL_VALUE"]


def test_a_late_resend_takes_the_event_from_its_former_key(tmp_path: Path) -> None:
    definitions = WINDOWS.replace('created_timestamp="made"', 'created_timestamp="made", event_id="id"')
    before = EARLY.with_columns(id=pl.Series(["1", "2", "3"]))
    store = made(tmp_path, definitions, purchases=before)
    run(store, day(12))
    write(store, before, rows(("c", day(11), day(13), 30)).with_columns(id=pl.lit("3")))
    run(store, day(14))
    assert history(store, ("b", day(12)), ("c", day(12))) == [None, 30]
    assert online(store, day(14), "b", "c") == [None, 30]


def test_the_command_line_tells_what_was_late(tmp_path: Path) -> None:
    store = made(tmp_path)
    run(store, day(12))
    write(store, EARLY, rows(("b", day(11), day(13), 30)))
    [view] = answer(tmp_path, "materialize", "--end", "2024-01-14")["views"]
    behind = {"least": 86_400.0, "median": 86_400.0, "greatest": 86_400.0}
    assert view["late"] == {"rows": 1, "removed": 0, "dropped": 0, "seconds_before_watermark": behind}
    write(store, EARLY, rows(("b", day(11), day(13), 30), ("b", day(12), day(14), 31)))
    said = command(tmp_path, "materialize", "--end", "2024-01-15")
    assert "last: 1 rows were late, 2d to 2d before the watermark (median 2d)" in said


def test_a_lookback_must_be_positive(tmp_path: Path) -> None:
    wrong = PURCHASES.replace('event_timestamp="at"', 'event_timestamp="at", lookback=timedelta(0)')
    with pytest.raises(DefinitionError, match="lookback must be positive"):
        make_project(tmp_path, wrong, purchases=EARLY).plan()
    timeless = PURCHASES.replace('event_timestamp="at"', "timeless=True, lookback=timedelta(1)").replace(
        "ttl=timedelta(days=10),", ""
    )
    with pytest.raises(DefinitionError, match="a timeless source has no lookback"):
        make_project(tmp_path, timeless, purchases=EARLY).plan()
