"""Seconds of `featurestore tick` when nothing is to be done, and of a backtest of triggers over a year of flights."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.contest import Contestant, hold
from benchmarks.options import Options
from benchmarks.report import Number, Section, Target, table
from benchmarks.sections.training import make_project
from featurestore import FeatureStore
from featurestore.timeline import instant_us

_NUMBERS = (Number("process_seconds", "seconds", ".2f", ranged=True),)
_FIRST, _LAST, _STEP = datetime(2013, 1, 8, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC), timedelta(days=7)


def measure(options: Options) -> Section:
    """Make the project with a commit for each week, look once, and let both commands take turns."""
    root = make_project(options.workspace / "ticking")
    commits = _committed(root)
    program = (str(Path(sys.executable).with_name("featurestore")), "--project", str(root))
    tick = (*program, "tick")
    subprocess.run(tick, capture_output=True, check=False)  # starts a run, which is refused: these flights are old
    backtest = (*program, "pipeline", "backtest", "late_flight", "--from", "2013-01-01", "--to", "2013-12-31", "--json")
    contestants = (
        Contestant("python", (sys.executable, "-c", "pass"), "the bare interpreter"),
        Contestant("tick", tick, "`featurestore tick` with nothing to do"),
        Contestant("backtest", backtest, "`featurestore pipeline backtest` of 2013"),
    )
    standings = hold(contestants, options.rounds)
    seconds = {standing.contestant.name: standing.median("process_seconds") for standing in standings}
    return Section(
        title="Triggers",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"Whole processes, on all flights from New York in 2013 and the views of `feature_defs.flights`, committed "
            f"{commits} times; a schedule, new data and drift start the pipeline. Rounds: {options.rounds}.",
            table(standings, _NUMBERS, base="python"),
        ),
        targets=(
            Target("`tick` with nothing to do, at most 1 s", seconds["tick"], 1.0),
            Target("a year in `backtest`, at most 60 s", seconds["backtest"], 60.0),
        ),
    )


def _committed(root: Path) -> int:
    """Materialize week by week; how often."""
    now = [_FIRST]
    commits = 0
    with FeatureStore(root, now_us=lambda: instant_us(now[0], "now")) as store:
        store.apply()
        while now[0] <= _LAST:
            store.materialize(now[0])
            now[0] += _STEP
            commits += 1
    return commits
