"""Ticks in processes: killed at each transition, racing each other, told to stop."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from featurestore.timeline import to_datetime
from pipelines.ledger import open_ledger
from pipelines.ledger.records import Decision, RunState
from pipelines.triggers.features import FeaturesOnTime
from tests.pipelines.projects import day, write_definitions
from tests.pipelines.projects import opened as made
from tests.pipelines.ticks import opened, us
from tests.repository.tree import ROOT

NIGHTLY = '[Schedule("0 3 * * *"), NewData("spend", min_rows=1)]'
SCRIPT = '''\
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from pipelines.ledger import Ledger
from tests.pipelines.ticks import Shop, us

commits, fatal = 0, int(sys.argv[2])
writing = Ledger.writing

@contextmanager
def deadly(self):
    """Every commit of the ledger, of which one is the last thing that the process does."""
    global commits
    with writing(self) as connection:
        yield connection
    commits += 1
    if commits == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.writing = deadly
shop = Shop(Path(sys.argv[1]))
for at in sys.argv[3:]:
    shop.now_us = us(at)
    shop.ticker.tick()
    with (shop.root / "log").open("a") as log:
        for number, _ in shop.runs:
            log.write(f"{number}\\n")
    shop.runs.clear()
print(commits)
'''
RACE = """\
import sys
from pathlib import Path
from tests.pipelines.ticks import Shop, us

class Logged(Shop):
    def run(self, run):
        self.say(f"begin {run.number}")
        ended = super().run(run)
        self.say(f"end {run.number}")
        return ended

    def say(self, what):
        with (self.root / "log").open("a") as log:
            log.write(what + "\\n")

shop = Logged(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for hour in range(24):
    shop.now_us = us(f"03-02 {hour:02}:00")
    shop.ticker.tick()
"""


def process(script: str, root: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(root), *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with opened(tmp_path) as shop:
        shop.click("03-09 00:00")
        shop.declare(NIGHTLY, schedule="None")
        shop.now_us = us("03-01 00:30")
        shop.store.materialize(to_datetime(shop.now_us), views=["spend"])
        shop.endings = [RunState.SUCCEEDED]
        shop.tick("03-01 02:30")
        shop.runs.clear()
    return tmp_path


def killed_at(root: Path, commit: int, *times: str) -> bool:
    """Whether a process that ticks was killed at that commit; False when it made fewer."""
    run = process(SCRIPT, root, str(commit), *times)
    out, _ = run.communicate(timeout=60)
    assert run.returncode in (0, -signal.SIGKILL), out
    return run.returncode != 0


def test_a_tick_that_is_killed_at_any_commit_is_made_good_by_the_next(root: Path) -> None:
    """The run that was due is run to its end, under one number, and no time is answered twice."""
    with opened(root) as shop:
        before = len(shop.ledger.runs())
    commit = 1
    days = iter(range(2, 9))
    while killed_at(root, commit, f"03-0{(day := next(days))} 03:00"):
        with opened(root) as shop:
            shop.tick(f"03-0{day} 03:01")
            shop.tick(f"03-0{day} 03:02")
            runs = shop.ledger.runs()
            assert len(runs) == before + 1, commit
            assert runs[0].state is RunState.SUCCEEDED, commit
            due = [o.reason for o in shop.ledger.observations("risk", decision=Decision.ACCEPTED)]
            assert max(Counter(due).values()) == 1, commit
            before += 1
        commit += 1
    assert commit > 4


def test_a_materialization_that_is_killed_is_made_good_by_the_next(root: Path) -> None:
    with opened(root) as shop:
        shop.declare("[]")
    assert killed_at(root, 1, "03-02 03:20")
    with opened(root) as shop:
        shop.now_us = us("03-02 03:20")
        (seen,) = FeaturesOnTime(shop.store, shop.ledger, root / "leases").look(shop.store.catalog(), shop.now_us)
        assert seen.late == (
            "view 'spend' was due at 2013-03-02T03:00:00Z and failed: its process ended before it did; it is tried "
            "again at 2013-03-02T03:21:00Z"
        )
        (done,) = shop.tick("03-02 03:21").materialized
        assert (done.state.value, done.watermark_us) == ("DONE", us("03-02 03:00"))


def test_processes_that_tick_at_once_run_a_pipeline_once_at_a_time_and_each_run_once(root: Path) -> None:
    with opened(root) as shop:
        shop.declare('[Schedule("0 * * * *")]', schedule="None")
        shop.tick("03-02 00:00")
    racers = [process(RACE, root) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0]
    for racer in racers:
        racer.communicate()
    log = (root / "log").read_text(encoding="utf-8").split("\n")[:-1]
    begun, ended = log[::2], log[1::2]
    assert [line.replace("begin", "end") for line in begun] == ended
    assert len(set(begun)) == len(begun) >= 1
    with opened(root) as shop:
        accepted = shop.ledger.observations("risk", trigger="schedule 0 * * * * UTC", decision=Decision.ACCEPTED)
        assert len({o.reason.partition(",")[0] for o in accepted}) == len(accepted) == len(begun)


def watching(root: Path, every: str) -> list[subprocess.Popen[str]]:
    """Two processes that watch a project, as a person starts them."""
    program = str(Path(sys.executable).with_name("featurestore"))
    command = [program, "--project", str(root), "watch", "--every", every, "--json"]
    return [subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]


def test_watching_processes_materialize_a_view_once_and_end_when_told(tmp_path: Path) -> None:
    with opened(tmp_path) as shop:
        shop.click_until_new_year()
        shop.declare("[]", schedule='"0 0 1 1 *"')
    watchers = watching(tmp_path, "1h")
    for watcher in watchers:
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline()) == {"watching_every": "1h"}
        watcher.terminate()
    said = [watcher.communicate(timeout=60)[0] for watcher in watchers]
    assert [watcher.returncode for watcher in watchers] == [0, 0]
    done = [one for text in said for line in text.splitlines() for one in json.loads(line)["materialized"]]
    assert [(one["view"], one["state"]) for one in done] == [("spend", "DONE")]


def test_watching_processes_run_a_real_pipeline_once_for_each_cause(first_candidate: Path, tmp_path: Path) -> None:
    """The rows of a day are a cause each; each run learns from what is committed, and its model waits for a person."""
    root = shutil.copytree(first_candidate, tmp_path / "shop")
    trigger = '[AtLeast("roc_auc", 0.6)], triggers=[NewData("spend", min_rows=40)]'
    write_definitions(root, data_gate="[Volume(min_rows=200)]", model_gate=trigger)
    store, clock = made(root, day(20, 12))
    said: queue.Queue[str] = queue.Queue()
    with store:
        watchers = watching(root, "200ms")
        readers = [threading.Thread(target=_read_lines, args=(watcher, said)) for watcher in watchers]
        for reader in readers:
            reader.start()
        try:
            for number in (2, 3):
                clock.at = day(19 + number, 12)
                store.materialize(clock.at)
                _wait_for(said, f"0 of 40 rows since run {number} began")
        finally:
            for watcher in watchers:
                watcher.terminate()
            for reader in readers:
                reader.join(timeout=60)
        ledger = open_ledger(store.configuration.registry.url, root, store.now_us)
    assert [watcher.communicate(timeout=60)[1] for watcher in watchers] == ["", ""]
    assert [watcher.returncode for watcher in watchers] == [0, 0]
    runs = tuple(reversed(ledger.runs()))
    assert [(run.number, run.state.value, run.trigger) for run in runs[1:]] == [
        (2, "SUCCEEDED", "new data spend 40"), (3, "SUCCEEDED", "new data spend 40"),
    ]  # fmt: skip
    assert [len(ledger.attempts(run.number)) for run in runs] == [1, 1, 1]
    accepted = tuple(reversed(ledger.observations("returned", decision=Decision.ACCEPTED)))
    assert [(one.run, one.reason) for one in accepted] == [
        (2, "40 of 40 rows since run 1 began"), (3, "40 of 40 rows since run 2 began"),
    ]  # fmt: skip


def _read_lines(process: subprocess.Popen[str], said: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put(line)


def _wait_for(said: queue.Queue[str], words: str) -> None:
    """Take what was said until somebody says these words."""
    while words not in said.get(timeout=120):
        pass
