"""Seconds from the start of a process to its end: importing, and the command line's help."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contest import Contestant, hold
from benchmarks.options import Options
from benchmarks.report import Number, Section, Target, table

_NUMBERS = (Number("process_seconds", "seconds", ".3f", ranged=True),)
_ROUNDS = 3  # per round of the other sections, since starts are short and uneven


def measure(options: Options) -> Section:
    """Start every contestant in turns."""
    scripts = Path(sys.executable).parent
    contestants = [
        Contestant("python", (sys.executable, "-c", "pass"), "the bare interpreter"),
        Contestant("import", (sys.executable, "-c", "import featurestore"), "`import featurestore`"),
        Contestant("help", (str(scripts / "featurestore"), "--help"), "`featurestore --help`"),
    ]
    if options.feast is not None:
        theirs = Path(options.feast).parent
        contestants.append(Contestant("feast import", (options.feast, "-c", "import feast"), "`import feast`"))
        contestants.append(Contestant("feast help", (str(theirs / "feast"), "--help"), "`feast --help`"))
    standings = hold(contestants, _ROUNDS * options.rounds)
    seconds = {standing.contestant.name: standing.median("process_seconds") for standing in standings}
    return Section(
        title="Start-up",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"Whole processes, with bytecode, rounds: {_ROUNDS * options.rounds}.",
            table(standings, _NUMBERS, base="python"),
        ),
        targets=(
            Target("`import featurestore`, at most 0.4 s", seconds["import"], 0.4),
            Target("`featurestore --help`, at most 0.6 s", seconds["help"], 0.6),
        ),
    )
