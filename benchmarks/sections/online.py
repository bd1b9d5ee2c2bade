"""Lookup of one entity in three views of ten features, in process."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.contest import Standing, hold, module, run
from benchmarks.contestants import raw_online
from benchmarks.inputs import ONLINE_VIEWS, write_online
from benchmarks.measure import WARM_UP
from benchmarks.options import Options
from benchmarks.project import materialized
from benchmarks.report import Number, Section, Target, table

_END = datetime(2025, 2, 1, tzinfo=UTC)
_LOOKUPS = WARM_UP + 50_000
_FEAST_LOOKUPS = WARM_UP + 2_000
_NUMBERS = (
    Number("p50_us", "p50, microseconds", ".1f", ranged=True),
    Number("p99_us", "p99, microseconds", ".1f"),
    Number("peak_mb", "peak MB", ",.0f"),
)


def measure(options: Options) -> Section:
    """Prepare what is missing and let all answer in turns."""
    place, entities = options.workspace / "online", options.sizes.online
    _prepare(options)
    standings = hold(
        (
            options.ours(
                "raw", "raw_online", "three LMDB gets and decodes, the same dict", *(place, entities, _LOOKUPS)
            ),
            options.ours(
                "featurestore",
                "featurestore_online",
                "`get_online_features(...).to_dict()`, LMDB",
                *(place, entities, _LOOKUPS),
            ),
            *options.theirs("feast_online", "SQLite, in process", place / "feast", entities, _FEAST_LOOKUPS),
        ),
        options.rounds,
    )
    return _section(options, standings)


def _prepare(options: Options) -> None:
    place = options.workspace / "online"
    inputs = place / "inputs"
    if not (inputs / f"{ONLINE_VIEWS[-1]}.parquet").exists():
        write_online(inputs, options.sizes)
    materialized("online", place, _END, options.threads)
    shutil.rmtree(place / "raw", ignore_errors=True)
    raw_online.publish(place)
    if options.feast is not None:
        shutil.rmtree(place / "feast", ignore_errors=True)
        run(module(options.feast, "contestants.feast_project", "online", place / "feast", inputs))


def _section(options: Options, standings: Sequence[Standing]) -> Section:
    p50 = {standing.contestant.name: standing.median("p50_us") for standing in standings}
    targets = [Target("featurestore / raw, at most 4", p50["featurestore"] / p50["raw"], 4.0)]
    if "feast" in p50:
        ratio = p50["feast"] / p50["featurestore"]
        targets.append(Target("feast / featurestore, at least 10", ratio, 10.0, at_most=False))
    return Section(
        title="Online lookup",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"One entity of {options.sizes.online:,}, three views of ten doubles, in process, rounds: "
            f"{options.rounds}, lookups in each: {_LOOKUPS - WARM_UP:,} (Feast: {_FEAST_LOOKUPS - WARM_UP:,}) after "
            f"{WARM_UP:,} to warm up.",
            table(standings, _NUMBERS, base="raw"),
        ),
        targets=tuple(targets),
    )
