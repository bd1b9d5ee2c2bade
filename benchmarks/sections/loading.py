"""Filling the online stores from the offline tables: three views of ten features, then one view with a history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contest import Contestant, Standing, hold, module, run
from benchmarks.contestants.history_files import stored_table
from benchmarks.inputs import Sizes, write_history
from benchmarks.options import Options
from benchmarks.project import materialized
from benchmarks.redis_server import address, running_redis
from benchmarks.report import Number, Section, Target, table
from benchmarks.sections import online

_NUMBERS = (
    Number("seconds", "seconds", ".2f", ranged=True),
    Number("cpu_seconds", "CPU seconds", ".2f"),
    Number("peak_mb", "peak MB", ",.0f"),
)
_END = datetime(2026, 1, 1, tzinfo=UTC)
_FEWER = 0.1  # of the rows and entities of the history: what Feast can hold
_MOST_MEMORY = 1.2  # times, for twenty times as many rows of as many entities


def measure(options: Options) -> Section:
    """Prepare what is missing and let all load in turns."""
    online.prepare_ours(options)
    small, large = options.workspace / "loading", options.workspace / "historical"
    for place, sizes in ((small, options.sizes.scaled(_FEWER)), (large, options.sizes)):
        if not (place / "inputs" / "spine.parquet").exists():
            write_history(place / "inputs", sizes)
        materialized("historical", place, _END, options.threads)
    with running_redis() as url:
        views = hold(tuple(_contestants(options, options.workspace / "online", url)), options.rounds)
    with running_redis() as url:
        fewer = hold((*_contestants(options, small, url), *_feast(options, small, url)), options.rounds)
    with running_redis() as url:
        more = hold(tuple(_contestants(options, large, url)), options.rounds)
    return _section(options, views, fewer, more)


def _contestants(options: Options, place: Path, redis: str) -> Iterator[Contestant]:
    common = (place, options.threads)
    yield options.ours("lmdb raw", "loaded_online", "DuckDB chooses the rows, sorted append", *common, "raw")
    yield options.ours("lmdb featurestore", "loaded_online", "`rebuild_online()`", *common, "lmdb://data/online")
    yield options.ours("redis featurestore", "loaded_online", "`rebuild_online()`", *common, redis)


def _feast(options: Options, place: Path, redis: str) -> tuple[Contestant, ...]:
    """Feast on the files of our offline table, if it takes part."""
    if options.feast is None:
        return ()
    project = (place / "feast", stored_table(place), address(redis))
    run(module(options.feast, "contestants.feast_project", "history", *project))
    return options.theirs("feast_loading", "`materialize(...)` to Redis", place / "feast")


def _targets(views: Sequence[Standing], fewer: Sequence[Standing], more: Sequence[Standing]) -> Iterator[Target]:
    for rows, standings in (("", views), (", with a history", more)):
        raw, lmdb, _ = (standing.median("seconds") for standing in standings)
        yield Target(f"lmdb featurestore / lmdb raw{rows}, at most 1.5", lmdb / raw, 1.5)
    _, _, redis, *feast = fewer
    for theirs in feast:
        ratio = theirs.median("seconds") / redis.median("seconds")
        yield Target("feast / redis featurestore, at least 4", ratio, 4.0, at_most=False)
    for one_row, many in zip(views[1:], more[1:], strict=True):
        what = f"{many.contestant.name}: peak memory, twenty rows of each entity / one, at most {_MOST_MEMORY:g}"
        yield Target(what, many.median("peak_mb") / one_row.median("peak_mb"), _MOST_MEMORY)


def _section(
    options: Options, views: Sequence[Standing], fewer: Sequence[Standing], more: Sequence[Standing]
) -> Section:
    sizes = options.sizes
    tenth = sizes.scaled(_FEWER)
    return Section(
        title="Loading the online store",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"{sizes.online:,} entities in three views of ten doubles, one row of each in the offline tables, "
            f"{options.threads} threads, rounds: {options.rounds}. Each reads the same Parquet files. Opening the "
            "project counts for featurestore; Redis runs on the same machine.",
            table(views, _NUMBERS, base="lmdb raw"),
            f"One view of ten doubles with a history: {tenth.rows:,} rows of {tenth.entities:,} entities.",
            table(fewer, _NUMBERS, base="lmdb raw"),
            f"The same with {sizes.rows:,} rows of {sizes.entities:,} entities.",
            table(more, _NUMBERS, base="lmdb raw"),
        ),
        targets=tuple(_targets(views, fewer, more)) if sizes == Sizes() else (),
    )
