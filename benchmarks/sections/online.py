"""Lookup of 1, 10 and 100 entities in three views of ten features, in process, from LMDB and from Redis."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contest import Contestant, Standing, hold, module, run
from benchmarks.contestants import raw_online
from benchmarks.inputs import ONLINE_VIEWS, Sizes, write_online
from benchmarks.measure import BATCHES
from benchmarks.options import Options
from benchmarks.project import materialized
from benchmarks.redis_server import running_redis, server_version
from benchmarks.report import Number, Section, Target, table
from featurestore import FeatureStore

_END = datetime(2025, 2, 1, tzinfo=UTC)
_LOOKUPS = 50_000
_FEAST_LOOKUPS = 2_000
_FEAST_ENTITIES = 100_000  # its SQLite takes minutes for so many; fewer entities are no disadvantage to it
_LIMITS = (  # at 1, 10 and 100 entities
    ("lmdb", "lmdb raw", (2.0, 1.5, 1.5)),
    ("redis", "redis-py", (1.3, 1.3, 1.3)),
    ("redis", "redis raw", (1.3, 1.3, 1.3)),
)
_RAW_REDIS_US = (135.0, 233.0, 1_606.0)  # raw p50 when the targets were set, on a machine like ours
_LMDB = "lmdb://data/online"
_URL = "FEATURESTORE_ONLINE__URL"
_NUMBERS = (
    *(Number(f"p50_us_{batch}", f"p50 of {batch}", ",.1f", ranged=True) for batch in BATCHES),
    *(Number(f"p99_us_{batch}", f"p99 of {batch}", ",.0f") for batch in BATCHES),
    Number("peak_mb", "peak MB", ",.0f"),
)


def measure(options: Options) -> Section:
    """Prepare what is missing and let all answer in turns."""
    place = options.workspace / "online"
    _prepare(options)
    with running_redis() as url:
        raw_online.publish_redis(place, url)
        with _online_at(url), FeatureStore(place / "project") as store:
            store.rebuild_online()
        standings = hold(tuple(_contestants(options, place, url)), options.rounds)
        version = server_version(url)
    return _section(options, standings, version)


def prepare_ours(options: Options) -> None:
    """The inputs, and the project with its views in LMDB."""
    place = options.workspace / "online"
    if not (place / "inputs" / f"{ONLINE_VIEWS[-1]}.parquet").exists():
        write_online(place / "inputs", options.sizes)
    materialized("online", place, _END, options.threads)


def _prepare(options: Options) -> None:
    """The raw LMDB and Feast's project as well."""
    place = options.workspace / "online"
    prepare_ours(options)
    shutil.rmtree(place / "raw", ignore_errors=True)
    raw_online.publish_lmdb(place)
    if options.feast is not None:
        prepare_feast(options.feast, options, "feast")


def prepare_feast(python: str, options: Options, name: str, *redis: str) -> None:
    """Feast's project of that name with the same views, in SQLite or at Redis' address."""
    place = options.workspace / "online"
    fewer = place / "feast-inputs"
    write_online(fewer, replace(options.sizes, online=feast_entities(options)))
    shutil.rmtree(place / name, ignore_errors=True)
    run(module(python, "contestants.feast_project", "online", place / name, fewer, *redis))


def _contestants(options: Options, place: Path, redis: str) -> Iterator[Contestant]:
    sizes = (place, options.sizes.online, _LOOKUPS)
    ours = "`get_online_features(...).to_dict()`"
    yield options.ours("lmdb raw", "raw_online", "a get for each record, decoded", *sizes, _LMDB, "lmdb")
    yield options.ours("lmdb featurestore", "featurestore_online", ours, *sizes, _LMDB)
    yield options.ours("redis raw", "raw_online", "one MGET over a socket, by hiredis", *sizes, redis, "socket")
    yield options.ours("redis-py", "raw_online", "the same by redis-py with hiredis", *sizes, redis, "client")
    yield options.ours("redis featurestore", "featurestore_online", ours, *sizes, redis)
    feast = (place / "feast", feast_entities(options), _FEAST_LOOKUPS)
    yield from options.theirs("feast_online", "SQLite, in process", *feast)


@contextmanager
def _online_at(url: str) -> Iterator[None]:
    """Let projects that are opened in the block have this online store."""
    os.environ[_URL] = url
    try:
        yield
    finally:
        del os.environ[_URL]


def feast_entities(options: Options) -> int:
    """How many entities Feast holds."""
    return min(options.sizes.online, _FEAST_ENTITIES)


def _targets(standings: Sequence[Standing]) -> Iterator[Target]:
    found = {standing.contestant.name: standing for standing in standings}
    for store, base, limits in _LIMITS:
        for batch, limit in zip(BATCHES, limits, strict=True):
            ours, raw = (found[name].median(f"p50_us_{batch}") for name in (f"{store} featurestore", base))
            yield Target(f"{store} featurestore / {base} at {batch}, at most {limit:g}", ours / raw, limit)
    for batch, raw in zip(BATCHES, _RAW_REDIS_US, strict=True):
        ratio = found["redis featurestore"].median(f"p50_us_{batch}") / raw
        what = f"redis featurestore / the {raw:,.0f} that raw took when the target was set at {batch}, at most 1.3"
        yield Target(what, ratio, 1.3)
    for batch in BATCHES if "feast" in found else ():
        ratio = found["feast"].median(f"p50_us_{batch}") / found["lmdb featurestore"].median(f"p50_us_{batch}")
        yield Target(f"feast / featurestore (LMDB) at {batch}, at least 10", ratio, 10.0, at_most=False)


def _section(options: Options, standings: Sequence[Standing], redis: str) -> Section:
    fewer = f" Feast holds {feast_entities(options):,} and answers {_FEAST_LOOKUPS:,}." if options.feast else ""
    return Section(
        title="Online lookup",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"1, 10 and 100 entities of {options.sizes.online:,}, three views of ten doubles, in process; "
            f"microseconds. Rounds: {options.rounds}, lookups of one entity in each: {_LOOKUPS:,} (of more entities "
            f"fewer), after a fifth of them to warm up, on one core. Redis {redis} on another core, over TCP.{fewer} "
            "All make a dict of the columns; raw keeps nothing but the values, we read our own records, judge times "
            "and TTL, and know each value's status.",
            table(standings, _NUMBERS, base="lmdb raw"),
        ),
        targets=tuple(_targets(standings)) if options.sizes == Sizes() else (),
    )
