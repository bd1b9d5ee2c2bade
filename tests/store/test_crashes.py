"""Killed at any point, run again: as if it had never been killed. Disks that refuse: one sentence, nothing lost."""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, make_project, open_project, purchases

# where a process is killed: the n-th call of a function of a module
Point = tuple[str, str, int]
POINTS: dict[str, Point] = {
    "before the first commit": ("featurestore.offline.tables", "OfflineTables.commit", 1),
    "while rows are written": ("featurestore.materialization.writing", "stored_reader", 2),
    "between two commits": ("featurestore.offline.tables", "OfflineTables.commit", 2),
    "after the last commit": ("featurestore.materialization.publishing", "Publisher.publish", 1),
    "while records are packed": ("featurestore.online.values", "_stamps", 1),
    "before online is replaced": ("featurestore.online.lmdb", "LmdbOnlineStore.replace", 1),
}

PUSH_POINTS: dict[str, Point] = {
    "before the log": ("featurestore.offline.pushed", "PushLog.append", 1),
    "while the log is written": ("featurestore.files", "sync", 1),
    "before the commit": ("featurestore.offline.tables", "OfflineTables.commit", 1),
    "while rows are written": ("featurestore.materialization.writing", "stored_reader", 1),
    "after the commit": ("featurestore.materialization.publishing", "Publisher.publish", 1),
    "while records are packed": ("featurestore.online.values", "_stamps", 1),
    "before records are written": ("featurestore.online.lmdb", "LmdbOnlineStore.write", 1),
    "while records are written": ("featurestore.online.lmdb", "_write", 1),
}

LATE_POINTS: dict[str, Point] = {
    "before the lookback is committed": ("featurestore.offline.tables", "OfflineTables.commit", 1),
    "while the lookback is written": ("featurestore.materialization.writing", "stored_reader", 1),
    "before late rows are committed": ("featurestore.offline.tables", "OfflineTables.commit", 2),
    "while late rows are written": ("featurestore.materialization.writing", "stored_reader", 2),
    "after late rows are committed": ("featurestore.offline.tables", "OfflineTables.commit", 3),
    "after the last commit": ("featurestore.materialization.publishing", "Publisher.publish", 1),
    "while records are packed": ("featurestore.online.values", "_stamps", 1),
    "before records are written": ("featurestore.online.lmdb", "LmdbOnlineStore.write", 1),
}

KILLED = """
import importlib, os, signal, sys
from datetime import timedelta
from pathlib import Path
from tests.store.projects import day, open_project
from tests.store.test_crashes import PUSHED

root, module_name, name, nth = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
owner = importlib.import_module(module_name)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
original, calls = getattr(owner, last), 0

def killing(*arguments, **named):
    global calls
    calls += 1
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)

setattr(owner, last, killing)
store = open_project(Path(root))
{action}
"""
MATERIALIZE = "store.materialize(end=day(12), start=day(1), step=timedelta(days=5))"
PUSH = "store.push('last', PUSHED)"
PUSHED = pl.DataFrame(
    {"customer": ["a", "b", "c"], "at": [day(4), day(11), day(13)], "amount": [1.0, 2.0, 3.0], "items": [7, 8, 9]},
    schema_overrides={"at": pl.Datetime("us", "UTC")},
)

SPINE = pl.DataFrame({"customer": ["a", "b"] * 11, "event_timestamp": [day(1 + i) for i in range(22)]})
ENTITIES = [{"customer": "a"}, {"customer": "b"}, {"customer": "c"}]


def kill(root: Path, point: Point, action: str) -> None:
    """Let another process act on the project, and kill it at the point."""
    module, name, nth = point
    command = [sys.executable, "-c", KILLED.replace("{action}", action), str(root), module, name, str(nth)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


AFTERWARDS = day(13)


def answers(store: FeatureStore, at: datetime = AFTERWARDS) -> tuple[object, ...]:
    history = store.get_historical_features(SPINE, ["last:*"], statuses=True).to_polars().rows()
    online = store.get_online_features(["last:*"], ENTITIES, at=at)
    [status] = store.status()
    return history, online.to_dict(), online.event_timestamps, status.watermark_us, status.rows, status.keys


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    store = make_project(tmp_path_factory.mktemp("whole"), PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return answers(store)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_materialization_run_again_equals_one_that_was_not(
    tmp_path: Path, expected: tuple[object, ...], point: str
) -> None:
    make_project(tmp_path, PURCHASES, purchases=purchases()).apply()
    kill(tmp_path, POINTS[point], MATERIALIZE)
    store = open_project(tmp_path)
    store.materialize(end=day(12))
    assert answers(store) == expected


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    store = make_project(tmp_path_factory.mktemp("pushed"), PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    store.push("last", PUSHED)
    return answers(store)


@pytest.mark.parametrize("point", PUSH_POINTS)
def test_a_killed_push_made_again_equals_one_that_was_not(
    tmp_path: Path, expected: tuple[object, ...], pushed: tuple[object, ...], point: str
) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(12))
    kill(tmp_path, PUSH_POINTS[point], PUSH)
    store = open_project(tmp_path)
    (history, *online), before, after = answers(store)[:3], expected[:3], pushed[:3]
    assert history in (before[0], after[0])  # no reader sees a half
    assert tuple(online) in (before[1:], after[1:])
    store.push("last", PUSHED)
    assert answers(store) == pushed


@pytest.mark.parametrize("point", ["before the commit", "after the commit"])
def test_a_killed_push_is_made_up_for_by_the_next_materialization(
    tmp_path: Path, expected: tuple[object, ...], pushed: tuple[object, ...], point: str
) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(12))
    kill(tmp_path, PUSH_POINTS[point], PUSH)
    store = open_project(tmp_path)
    assert answers(store)[1:] != pushed[1:]
    store.materialize(end=day(12))
    assert answers(store) == pushed


LATE = PURCHASES.replace(
    'event_timestamp="at"', 'event_timestamp="at", created_timestamp="made", lookback=timedelta(days=3)'
)
FIRST = purchases().with_columns(made="at")
LATER = FIRST.filter(pl.col("at") != day(10)).vstack(
    PUSHED.with_columns(made=pl.lit(day(14)).cast(FIRST.schema["at"])).select(FIRST.columns)
)  # the row of the 10th, within the lookback, is gone; those of the 4th and the 11th are late


def late_project(root: Path) -> FeatureStore:
    """A project that was materialized up to January 12, whose source has changed since."""
    store = make_project(root, LATE, purchases=FIRST)
    store.apply()
    store.materialize(end=day(12))
    LATER.write_parquet(root / "data" / "purchases.parquet")
    return store


@pytest.fixture(scope="module")
def on_time(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    with late_project(tmp_path_factory.mktemp("late")) as store:
        report = store.materialize(end=day(15))
        assert report.views[0].late is not None
        assert (report.views[0].late.rows, report.views[0].late.removed) == (2, 1)
        return answers(store, day(15))


@pytest.mark.parametrize("point", LATE_POINTS)
def test_a_killed_run_with_late_rows_run_again_equals_one_that_was_not(
    tmp_path: Path, on_time: tuple[object, ...], point: str
) -> None:
    late_project(tmp_path).close()
    kill(tmp_path, LATE_POINTS[point], "store.materialize(end=day(15))")
    store = open_project(tmp_path)
    store.materialize(end=day(15))
    assert answers(store, day(15)) == on_time


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_killed_at_any_instant_and_run_again_equals_one_that_was_not(
    tmp_path: Path, pushed: tuple[object, ...], seed: int
) -> None:
    make_project(tmp_path, PURCHASES, purchases=purchases()).apply()
    action = f"{MATERIALIZE}; {PUSH}"
    command = [sys.executable, "-c", KILLED.replace("{action}", action), str(tmp_path), "os", "kill", "0"]
    chance = random.Random(seed)
    for _ in range(4):
        child = subprocess.Popen(command)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(chance.uniform(0.3, 3.0))
        child.kill()
        child.wait()
    store = open_project(tmp_path)
    store.materialize(end=day(12))
    store.push("last", PUSHED)
    assert answers(store) == pushed


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["featurestore", *sys.argv[2:]]
from featurestore.cli import main
main()
"""


@pytest.mark.parametrize("limit", [100, 2_000, 40_000])
def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path: Path, limit: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(6))
    before = store.get_historical_features(SPINE, ["last:*"]).to_polars().rows()
    many = pl.concat([purchases().with_columns(customer=pl.col("customer") + str(i)) for i in range(5_000)])
    pl.concat([purchases(), many]).write_parquet(tmp_path / "data" / "purchases.parquet")
    command = ["materialize", "--start", "2024-01-01", "--end", "2024-01-12", "--step", "365d"]
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert child.returncode == 2, child.stderr
    assert "Traceback" not in child.stderr
    assert "cannot be" in child.stderr
    again = open_project(tmp_path)
    if limit < 40_000:
        assert again.get_historical_features(SPINE, ["last:*"]).to_polars().rows() == before
    again.materialize(start=day(1), end=day(12))
    assert again.get_online_features(["last:items"], [{"customer": "a4999"}], at=day(12)).to_dict()["items"] == [2]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    (tmp_path / "data" / "offline" / "views").write_text("in the way")
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(10**9), "materialize", "--end", "2024-01-12"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 2
    assert "Traceback" not in child.stderr


@pytest.fixture(scope="module")
def logged_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The size of the push log's file; the table's files are larger."""
    with make_project(tmp_path_factory.mktemp("sizes"), PURCHASES, purchases=purchases()) as store:
        store.apply()
        store.push("last", PUSHED)
        [log] = (store.root / "data" / "offline" / "pushed").rglob("*.parquet")
        [part] = (store.root / "data" / "offline" / "views").rglob("*.parquet")
        assert log.stat().st_size < part.stat().st_size
        return log.stat().st_size


@pytest.mark.parametrize("full_at", ["the log", "the table", "the online store"])
def test_a_disk_that_is_full_during_a_push_is_one_sentence_and_a_rerun_heals(
    tmp_path: Path, expected: tuple[object, ...], pushed: tuple[object, ...], logged_bytes: int, full_at: str
) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(12))
    PUSHED.write_parquet(tmp_path / "pushed.parquet")
    limit = {"the log": logged_bytes - 1, "the table": logged_bytes, "the online store": 6_000}[full_at]
    told = limited(tmp_path, limit, "push", "last", "pushed.parquet")
    assert ("nothing was taken in" in told) == (full_at == "the log")
    assert ("The pushed rows are in the push log" in told) == (full_at == "the table")
    again = open_project(tmp_path)
    history, *online = answers(again)[:3]
    assert history == (pushed if full_at == "the online store" else expected)[0]
    assert tuple(online) == expected[1:3]
    again.materialize(end=day(12))
    assert answers(again) == (expected if full_at == "the log" else pushed)
    again.push("last", PUSHED)
    assert answers(again) == pushed


@pytest.mark.parametrize("limit", [1_000, 6_000])
def test_a_disk_that_is_full_while_late_rows_are_taken_is_one_sentence_and_a_rerun_heals(
    tmp_path: Path, on_time: tuple[object, ...], limit: int
) -> None:
    with late_project(tmp_path) as store:
        before = answers(store)
    limited(tmp_path, limit, "materialize", "--end", "2024-01-15")
    again = open_project(tmp_path)
    history, *online = answers(again)[:3]
    assert (history == before[0], tuple(online)) == (limit == 1_000, before[1:3])
    again.materialize(end=day(15))
    assert answers(again, day(15)) == on_time


def limited(root: Path, limit: int, *command: str) -> str:
    """What a failing command says last, in a process that can write no file of more bytes than the limit."""
    arguments = [sys.executable, "-c", LIMITED, str(limit), *command]
    child = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    assert (child.returncode, "Traceback" in child.stderr, "cannot be written" in child.stderr) == (2, False, True)
    return child.stderr.splitlines()[-1]  # before it a library may say what befell its thread
