"""Killed at any point of a switch, run again: as if never killed. A reader beside it never sees an error or a half."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, define, make_project, open_project, purchases
from tests.store.test_versions import TENFOLD, TWO, TWO_NEW, redefine

B = [{"customer": "b"}]
OLD, NEW = [3, 5.0], [30, 500.0]

KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from tests.store.projects import day, open_project

root, module_name, name, nth, verb = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
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
match verb:
    case "apply":
        store.apply()
    case "materialize":
        store.materialize(end=day(12))
    case "rollback":
        store.rollback("last", reason="wrong")
"""

# where a process is killed: the n-th call of a function of a module, in a verb; and what answers then
POINTS = {
    "before the new version is published": ("featurestore.materialization.publishing", "Publisher._current", 1, OLD),
    "between publish and count": ("featurestore.materialization.switching", "Switcher._count", 1, OLD),
    "between count and switch": ("featurestore.registry.sql", "SqlRegistry.switch", 1, OLD),
    "in the transaction of the switch": ("featurestore.registry.moves", "_log_entry", 2, OLD),
    "after the switch": ("featurestore.materialization.rounds", "_superseded", 1, NEW),
}


def answer(store: FeatureStore) -> list[object]:
    found = store.get_online_features("both", B, at=day(12)).to_dict()
    return [found["items"][0], found["total"][0]]


def killed(root: Path, module: str, name: str, nth: int, verb: str) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(root), module, name, str(nth), verb], check=False)
    assert child.returncode == -signal.SIGKILL


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Two views that one service reads; their second versions are applied and not built."""
    store = make_project(tmp_path, PURCHASES + TWO, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    redefine(store, TENFOLD + TWO_NEW)
    return store


@pytest.mark.parametrize("point", POINTS)
def test_a_switch_that_was_killed_is_healed_by_the_next_run(store: FeatureStore, point: str) -> None:
    module, name, nth, meanwhile = POINTS[point]
    killed(store.root, module, name, nth, "materialize")
    assert answer(open_project(store.root)) == meanwhile
    report = open_project(store.root).materialize(end=day(12))
    assert (answer(store), store.waiting()) == (NEW, ())
    moved = {move.name for move in report.moves if move.kind == "view"}
    assert moved == (set() if meanwhile is NEW else {"last", "totals"})


@pytest.mark.parametrize(
    ("module", "name", "nth"),
    [
        ("featurestore.registry.sql", "SqlRegistry.apply", 1),  # published anew, not applied
        ("featurestore.registry.sql", "_write_objects", 1),  # in the transaction
    ],
)
def test_an_apply_that_was_killed_left_nothing_behind(store: FeatureStore, module: str, name: str, nth: int) -> None:
    store.materialize(end=day(12))
    define(store.root, TENFOLD.replace("ttl=timedelta(days=10)", "delay=timedelta(days=1)") + TWO_NEW)
    killed(store.root, module, name, nth, "apply")
    again = open_project(store.root)
    assert (answer(again), again.serving().versions) == (NEW, {"last": 2, "totals": 2})
    again.apply()
    assert (answer(again), again.serving().versions) == (NEW, {"last": 3, "totals": 2})


def test_a_rollback_that_was_killed_left_nothing_behind(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    killed(store.root, "featurestore.registry.moves", "_log_entry", 1, "rollback")
    assert (answer(open_project(store.root)), store.registry.state().held) == (NEW, frozenset())


READER = """
import json, sys
from pathlib import Path
import polars as pl
from tests.store.projects import day, open_project

store, stop = open_project(Path(sys.argv[1])), Path(sys.argv[1]) / "stop"
spine = pl.DataFrame({"customer": ["b"], "event_timestamp": [day(6)]})
seen, history, lookups, ended = None, [], 0, False
while not ended:
    ended = stop.exists()  # once more after the end
    found = store.get_online_features("both", [{"customer": "b"}], at=day(13)).to_dict()
    row = [found["items"][0], found["total"][0]]
    if row != seen:
        print(json.dumps(row), flush=True)
        seen = row
    if lookups % 200 == 0 or ended:
        found = store.get_historical_features(spine, "both").to_polars().to_dict(as_series=False)
        row = [found["items"][0], found["total"][0]]
        if history[-1:] != [row]:
            history.append(row)
    lookups += 1
print(json.dumps({"history": history, "lookups": lookups}))
"""


def test_a_reader_in_another_process_sees_one_step_and_never_an_error_or_a_half(store: FeatureStore) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(store.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    seen = [reader.stdout.readline()]
    try:
        store.materialize(end=day(12))
        seen.append(reader.stdout.readline())
        third = TENFOLD.replace("items * 10", "items * 7") + TWO_NEW.replace("amount * 100", "amount * 7")
        redefine(store, third)
        store.materialize(end=day(13))
        seen.append(reader.stdout.readline())
        store.rollback("last", reason="one alone, because somebody asked for it")
        seen.append(reader.stdout.readline())
        (store.root / "stop").touch()
        said, errors = reader.communicate(timeout=60)
    finally:
        reader.kill()
    assert errors == ""
    steps = [OLD, NEW, [21, 35.0], [30, 35.0]]
    assert [json.loads(line) for line in seen] == steps
    told = json.loads(said)
    assert told["history"] == [step for step in steps if step in told["history"]]
    assert told["lookups"] > 10
