"""A process that is killed between two steps leaves a run that the next one goes on with."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pipelines.ledger.records import RunState
from tests.pipelines.projects import Shop
from tests.repository.tree import ROOT

KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.ledger.records import StepState
from pipelines.running import run_pipeline
from tests.pipelines.projects import opened, day

def progress(step, state):
    if (step, state) == (sys.argv[2], StepState.DONE):
        os.kill(os.getpid(), signal.SIGKILL)

store, clock = opened(Path(sys.argv[1]), day(22, 12))
run_pipeline(store, "returned", progress=progress)
"""


def test_a_killed_process_leaves_a_run_that_goes_on(shop: Shop) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(shop.root), "train"], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    report = shop.run()
    assert report.run.state is RunState.SUCCEEDED
    assert [step.name for step in report.steps].count("train") == 1
    attempts = shop.rooms.ledger.attempts(report.run.number)
    assert [attempt.error for attempt in attempts] == ["another attempt went on with the run", None]
    assert [step.attempt for step in report.steps] == [attempts[0].number] * 4 + [attempts[1].number] * 5
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}


@pytest.mark.parametrize(
    "step", ["extract", "validate", "split", "evaluate", "compare", "register", "verify", "promote"]
)
def test_a_process_that_is_killed_after_any_step_loses_nothing(shop: Shop, step: str) -> None:
    command = [sys.executable, "-c", KILLED, str(shop.root), step]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    report = shop.run()
    assert report.run.state is RunState.SUCCEEDED
    assert [done.name for done in report.steps].count(step) == 1
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}
