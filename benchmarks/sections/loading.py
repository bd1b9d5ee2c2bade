"""Filling the online stores from the offline tables: all entities of three views of ten features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.contest import Contestant, Standing, hold
from benchmarks.inputs import Sizes
from benchmarks.options import Options
from benchmarks.redis_server import running_redis
from benchmarks.report import Number, Section, Target, table
from benchmarks.sections import online

_NUMBERS = (
    Number("seconds", "seconds", ".2f", ranged=True),
    Number("cpu_seconds", "CPU seconds", ".2f"),
    Number("peak_mb", "peak MB", ",.0f"),
)
_FEAST_ROWS_PER_SECOND = 100_000 / 10.6


def measure(options: Options) -> Section:
    """Prepare what is missing and let all load in turns."""
    online.prepare_ours(options)
    with running_redis() as url:
        standings = hold(tuple(_contestants(options, options.workspace / "online", url)), options.rounds)
    return _section(options, standings)


def _contestants(options: Options, place: Path, redis: str) -> Iterator[Contestant]:
    common = (place, options.threads)
    yield options.ours("lmdb raw", "loaded_online", "DuckDB chooses the rows, sorted append", *common, "raw")
    yield options.ours("lmdb featurestore", "loaded_online", "`rebuild_online()`", *common, "lmdb://data/online")
    yield options.ours("redis featurestore", "loaded_online", "`rebuild_online()`", *common, redis)


def _targets(options: Options, standings: Sequence[Standing]) -> Iterator[Target]:
    raw, lmdb, redis = (standing.median("seconds") for standing in standings)
    yield Target("lmdb featurestore / lmdb raw, at most 1.5", lmdb / raw, 1.5)
    rate = 3 * options.sizes.online / redis
    what = "records a second into Redis: featurestore / Feast (measured elsewhere), at least 4"
    yield Target(what, rate / _FEAST_ROWS_PER_SECOND, 4.0, at_most=False)


def _section(options: Options, standings: Sequence[Standing]) -> Section:
    return Section(
        title="Loading the online store",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"{options.sizes.online:,} entities in three views of ten doubles, one row of each in the offline tables, "
            f"{options.threads} threads, rounds: {options.rounds}. Each reads the same Parquet files. Opening the "
            "project counts for featurestore; Redis runs on the same machine.",
            table(standings, _NUMBERS, base="lmdb raw"),
            "Measured elsewhere, on a machine like this one and on other rows, not in this run: Feast materializes "
            "2 million rows of 100,000 entities to Redis in 10.6 s. The comparison is by records written a second, and "
            "those rows had twenty of each entity to choose from.",
        ),
        targets=tuple(_targets(options, standings)) if options.sizes == Sizes() else (),
    )
