"""Filling the online stores from the offline tables: three views of ten features, then one view with a history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
_LESS_OFTEN = 4  # times fewer rows of as many entities
_MOST_MEMORY = 1.2  # times, for that many times the rows of as many entities


def measure(options: Options) -> Section:
    """Prepare what is missing and let all load in turns."""
    online.prepare_ours(options)
    small, rare, large = (options.workspace / name for name in ("loading", "loading-rare", "historical"))
    for place, sizes in ((small, options.sizes.scaled(_FEWER)), (rare, _rare(options)), (large, options.sizes)):
        if not (place / "inputs" / "spine.parquet").exists():
            write_history(place / "inputs", sizes)
        materialized("historical", place, _END, options.threads)
    with running_redis() as url:
        views = hold(tuple(_contestants(options, options.workspace / "online", url)), options.rounds)
    with running_redis() as url:
        fewer = hold((*_contestants(options, small, url), *_feast(options, small, url)), options.rounds)
    with running_redis() as url:
        seldom = hold(tuple(_contestants(options, rare, url))[1:], options.rounds)
        more = hold(tuple(_contestants(options, large, url)), options.rounds)
    return _section(options, (views, fewer, seldom, more))


def _rare(options: Options) -> Sizes:
    """As many entities as in the history, with fewer rows of each."""
    return replace(options.sizes, rows=options.sizes.rows // _LESS_OFTEN)


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


def _targets(standings: Sequence[Sequence[Standing]]) -> Iterator[Target]:
    views, fewer, seldom, more = standings
    for rows, loaded in (("", views), (", with a history", more)):
        raw, lmdb, _ = (standing.median("seconds") for standing in loaded)
        yield Target(f"lmdb featurestore / lmdb raw{rows}, at most 1.5", lmdb / raw, 1.5)
    _, _, redis, *feast = fewer
    for theirs in feast:
        ratio = theirs.median("seconds") / redis.median("seconds")
        yield Target("feast / redis featurestore, at least 4", ratio, 4.0, at_most=False)
    for few, many in zip(seldom, more[1:], strict=True):
        what = f"{many.contestant.name}: peak memory of {_LESS_OFTEN} times the rows, at most {_MOST_MEMORY:g} times"
        yield Target(what, many.median("peak_mb") / few.median("peak_mb"), _MOST_MEMORY)


def _section(options: Options, standings: Sequence[Sequence[Standing]]) -> Section:
    views, fewer, seldom, more = standings
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
            f"The same with {_rare(options).rows:,} rows of {sizes.entities:,} entities.",
            table(seldom, _NUMBERS, base="lmdb featurestore"),
            f"The same with {sizes.rows:,} rows of as many entities.",
            table(more, _NUMBERS, base="lmdb raw"),
        ),
        targets=tuple(_targets(standings)) if sizes == Sizes() else (),
    )
