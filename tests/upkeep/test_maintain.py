"""What nothing needs goes; what a dataset, a log, a rollback or the last days need stays; every answer is the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from featurestore.cli.app import app
from featurestore.errors import VersionGoneError
from featurestore.store import FeatureStore
from featurestore.upkeep.sweeping import Finding, MaintenanceReport
from tests.store.projects import PURCHASES, Clock, day, define, make_clocked

WINDOWS = """
totals = FeatureView(
    "totals", entities=[customer], every=timedelta(days=1), source=purchases,
    features=[Aggregation("items", "sum", window=timedelta(days=30), name="bought")],
)
both = FeatureService("both", features=[last, totals])
"""
DAILY = pl.DataFrame(
    {
        "customer": ["a", "b"] * 20,
        "at": [day(1 + i // 2, 3) for i in range(40)],
        "amount": [float(i) for i in range(40)],
        "items": list(range(40)),
    },
    schema_overrides={"at": pl.Datetime("us", "UTC")},
)
SPINE = pl.DataFrame({"customer": ["a", "b"] * 6, "event_timestamp": [day(2 + i) for i in range(12)]})
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nineteen commits of two views, one each day from January 2 to 20; on the 21st a week of them is made anew."""
    store, clock = make_clocked(tmp_path_factory.mktemp("filled"), PURCHASES + WINDOWS, purchases=DAILY)
    for number in range(2, 21):
        clock.at = day(number, 1)
        store.materialize(end=day(number), start=day(1) if number == 2 else None)
    clock.at = day(21)
    store.materialize(start=day(1), end=day(8))
    store.close()
    return store.root


@pytest.fixture
def filled(project: Path, tmp_path: Path) -> Iterator[tuple[FeatureStore, Clock]]:
    """A copy of the project, opened on January 21."""
    clock = Clock(day(21))
    with FeatureStore(shutil.copytree(project, tmp_path / "shop"), now_us=clock) as store:
        yield store, clock


def answers(store: FeatureStore) -> tuple[object, ...]:
    history = store.get_historical_features(SPINE, "both", statuses=True).to_polars().rows()
    online = store.get_online_features("both", [{"customer": key} for key in "abc"], at=day(28))
    steps = [(s.view, s.watermark_us, s.rows, s.keys, s.in_step) for s in store.status()]
    return history, online.to_dict(), online.event_timestamps, steps


def found(report: MaintenanceReport, kind: str, *, kept: bool = False) -> list[Finding]:
    return [finding for finding in (report.kept if kept else report.swept) if finding.kind == kind]


def table_of(store: FeatureStore, view: str) -> str:
    return store.pins(f"{view}:*").views[view].table


def versions(store: FeatureStore, table: str) -> list[int]:
    """The versions that can still be read."""
    newest = store.tables.snapshot(table)
    assert newest is not None
    readable = []
    for version in range(newest.version + 1):
        try:
            store.tables.kept(table, version)
        except VersionGoneError:
            continue
        readable.append(version)
    return readable


def test_joining_and_sweeping_change_no_bit_of_any_answer(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    before, table = answers(store), table_of(store, "last")
    clock.at = day(31)
    report = store.maintain(WEEK)
    assert {f.where for f in found(report, "offline table")} == {table, table_of(store, "totals")}
    assert answers(store) == before
    assert versions(store, table) == [19, 20]  # what stood a week ago, and the joined one
    snapshot = store.tables.snapshot(table)
    assert snapshot is not None
    assert len(snapshot.files) == 1
    assert store.maintain(WEEK, dry_run=True).swept[:-1] == ()
    store.materialize(end=day(25))
    assert answers(store)[0] == before[0]


def test_history_within_what_is_kept_can_still_be_asked(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    spine = SPINE[:2]
    clock.at = day(31)
    asked = [day(24), day(25), day(30)]
    before = [store.get_historical_features(spine, "both", as_of=at).to_polars().rows() for at in asked]
    store.maintain(WEEK)
    assert [store.get_historical_features(spine, "both", as_of=at).to_polars().rows() for at in asked] == before
    with pytest.raises(VersionGoneError, match="is gone"):
        store.get_historical_features(spine, "both", as_of=day(5)).to_polars()


def test_what_a_dataset_rests_on_stays_and_is_named(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    clock.at = day(21, 2)
    dataset = store.get_historical_features(SPINE, ["last:*"], as_of=day(4, 2)).save("early")
    clock.at = day(31)
    table = table_of(store, "last")
    report = store.maintain(WEEK)
    assert [(f.where, f.why) for f in found(report, "old versions", kept=True)] == [
        (f"{table} version 2", "dataset early@1")
    ]
    assert versions(store, table) == [0, 1, 2, 19, 20]  # the first two have no file that the third has not
    assert store.datasets.rebuild(dataset).identical


def test_what_the_audit_log_rests_on_stays_until_its_retention_ends(
    filled: tuple[FeatureStore, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = filled
    monkeypatch.setenv("FEATURESTORE_AUDIT__SAMPLE", "1")
    with FeatureStore(store.root, now_us=clock) as logging:
        logging.get_online_features("both", [{"customer": "a"}])
    for number in (22, 23):
        clock.at = day(number, 1)
        store.materialize(start=day(1), end=day(number))
    clock.at = day(31)
    store.maintain(timedelta(days=1))
    assert (store.audit("both").audited, store.audit("both").differences) == (1, 0)
    clock.at = day(31) + timedelta(days=25)
    report = store.maintain(timedelta(days=1))
    assert len(found(report, "audit log")) == 1
    assert store.audit("both").vectors == 0
    assert found(report, "old versions") != []


def test_tables_and_records_of_versions_that_nobody_uses_are_dropped(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    first = table_of(store, "last")
    for factor in (10, 100):
        changed = PURCHASES.replace('Feature("items", Int64)', f'Feature("items", Int64, expr="items * {factor}")')
        define(store.root, changed + WINDOWS)
        store.apply()
        store.materialize(end=day(20), start=day(1))
    tables = {table for table in (path.name for path in store.tables.directory.iterdir()) if "." not in table}
    assert len([table for table in tables if table.startswith("last-")]) == 3
    report = store.maintain(WEEK)
    assert [f.why for f in found(report, "offline table", kept=True)] == ["it was committed to lately"]
    clock.at = day(31)
    before, spaces = answers(store), store.online.namespaces()
    report = store.maintain(WEEK)
    dropped = [f.where for f in found(report, "offline table") if f.action == "drop"]
    assert dropped == [first]
    assert not (store.tables.directory / first).exists()
    assert len(spaces) - len(store.online.namespaces()) == 1
    assert answers(store) == before
    store.rollback("last", reason="the one before is kept")
    assert store.get_online_features(["last:items"], [{"customer": "b"}], at=day(28)).to_dict()["items"] == [370]


def test_files_that_nothing_names_go(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    dataset = store.get_historical_features(SPINE, ["last:*"]).save("kept")
    orphan = dataset.path.with_name("0123456789abcdef.parquet")
    orphan.write_bytes(dataset.path.read_bytes())
    fresh = dataset.path.with_name("fresh.parquet")
    fresh.write_bytes(b"")
    for path in (orphan, dataset.path):
        os.utime(path, (0, 0))
    clock.at = day(31)
    report = store.maintain(WEEK)
    assert [f.where for f in found(report, "file")] == [str(orphan.relative_to(store.root))]
    assert (orphan.exists(), fresh.exists(), dataset.path.exists()) == (False, True, True)


def test_a_dry_run_changes_nothing(filled: tuple[FeatureStore, Clock]) -> None:
    store, clock = filled
    clock.at = day(31)
    store.online.namespaces()
    data = {p: p.read_bytes() for p in (store.root / "data").rglob("*") if p.is_file() and p.name != "lock.mdb"}
    report = store.maintain(WEEK, dry_run=True)
    assert report.dry_run
    assert found(report, "offline table") != []
    after = {p: p.read_bytes() for p in (store.root / "data").rglob("*") if p.is_file() and p.name != "lock.mdb"}
    assert after == data


def test_the_command_shows_what_goes_and_what_is_kept_by_what(filled: tuple[FeatureStore, Clock]) -> None:
    root = filled[0].root
    result = CliRunner().invoke(app, ["--project", str(root), "maintain", "--dry-run"])
    assert result.exit_code == 0, result.exception
    assert "Would do" in result.stdout
    assert "small files" in result.stdout
    result = CliRunner().invoke(app, ["--project", str(root), "maintain", "--retain", "soon"])
    assert "'soon' is no duration" in str(result.exception)
