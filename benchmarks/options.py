"""What is asked of a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest import Contestant, module
from benchmarks.inputs import Sizes

FEAST_PYTHON = "FEAST_PYTHON"  # the variable that names the interpreter which has Feast
NO_FEAST = """\
Feast takes no part. To measure it as well:
  python3 -m venv ../feast && ../feast/bin/pip install 'feast[duckdb]==0.67.0'
  FEAST_PYTHON=../feast/bin/python make bench\
"""


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes, rounds, threads and places of a run.

    `feast` is the interpreter that has Feast, `load` the load average before the first contestant.
    """

    sizes: Sizes
    rounds: int
    threads: int
    workspace: Path
    feast: str | None
    command: str
    load: float

    def ours(self, name: str, program: str, what: str, *arguments: object) -> Contestant:
        """A contestant that runs under this interpreter."""
        return Contestant(name, module(sys.executable, f"contestants.{program}", *arguments), what)

    def theirs(self, program: str, what: str, *arguments: object) -> tuple[Contestant, ...]:
        """Feast as a contestant, if it is there."""
        if self.feast is None:
            return ()
        return (Contestant("feast", module(self.feast, f"contestants.{program}", *arguments), what),)
