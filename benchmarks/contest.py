"""Contestants that take turns, each round in a new process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

Sample = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command to measure; `what` says in a few words what it does."""

    name: str
    command: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A contestant's samples, one per round."""

    contestant: Contestant
    samples: tuple[Sample, ...]

    def median(self, number: str) -> float:
        """The median of one of the numbers it reported."""
        return statistics.median(sample[number] for sample in self.samples)

    def span(self, number: str) -> tuple[float, float]:
        """The least and the greatest of one of the numbers."""
        values = [sample[number] for sample in self.samples]
        return min(values), max(values)


def hold(contestants: Sequence[Contestant], rounds: int) -> list[Standing]:
    """Let the contestants take turns for `rounds` rounds, so that what disturbs the machine disturbs all alike."""
    samples: dict[str, list[Sample]] = {contestant.name: [] for contestant in contestants}
    for turn in range(1, rounds + 1):
        for contestant in contestants:
            sample = run(contestant.command)
            samples[contestant.name].append(sample)
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in sample.items())
            print(f"  round {turn} of {rounds}, {contestant.name}: {numbers}", file=sys.stderr, flush=True)
    return [Standing(contestant, tuple(samples[contestant.name])) for contestant in contestants]


def run(command: Sequence[str]) -> Sample:
    """Run a command from the repository's folder; the numbers on its last line, and `process_seconds`.

    Stops the program with the command's own words when it fails.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every start compiles what it imports
    began = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-4000:]}")
    lines = done.stdout.splitlines()
    numbers = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return {**numbers, "process_seconds": seconds}


def module(python: str, name: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs a module of this folder."""
    return (python, "-m", f"benchmarks.{name}", *map(str, arguments))
