"""The features of 1, 10 and 100 entities over HTTP: our server beside a bare Starlette route on our records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contest import Contestant, Standing, hold
from benchmarks.contestants.asked_http import PATH, Asked
from benchmarks.http_load import answer, free_port, post, running
from benchmarks.inputs import Sizes
from benchmarks.measure import BATCHES
from benchmarks.options import Options
from benchmarks.redis_server import address, running_redis
from benchmarks.report import Number, Section, Target, table
from benchmarks.sections import online

_REQUESTS = 10_000
_SECONDS = 4.0  # of many connections
_COMPARED = (1, 2, 3, -1)  # entities whose answers are compared; the last one is unknown
_LATENCIES = tuple(Number(f"p50_us_{batch}", f"p50 of {batch}", ",.0f", ranged=True) for batch in BATCHES)
_WARM = (
    *_LATENCIES,
    Number("p99_us_1", "p99 of 1", ",.0f"),
    Number("rate", "answers a second", ",.0f", ranged=True),
    Number("rate_p99_ms", "their p99, ms", ".1f"),
)
_COLD = (*_LATENCIES[:2], Number("p99_us_1", "p99 of 1", ",.0f"), Number("p99_us_10", "p99 of 10", ",.0f"))
_TWO = _WARM[-2:]
_FEAST_REQUESTS = 2_000
_LEAST_OF_FEAST = {1: 7.0, 100: 25.0}  # times slower, by entities of a request
_FEAST_US = {1: 1_322.0, 100: 36_800.0}  # its server's p50 when the targets were set, on a machine like ours


def measure(options: Options) -> Section:
    """Prepare what is missing, see that all answer the same, and let them answer in turns."""
    place = options.workspace / "online"
    online.prepare_ours(options)
    _compare(place, options.sizes.online)
    with _feast(options):
        warm = hold(tuple(_contestants(options, place, _REQUESTS)), options.rounds)
        two = hold(tuple(_contestants(options, place, _REQUESTS, workers=2)), options.rounds)
    risk = _ours(options, place, "risk_v1", _REQUESTS, "three more features, computed at request time")
    on_demand = hold((risk,), options.rounds)
    cold = hold(tuple(_contestants(options, place, 0))[:2], options.rounds)
    return _section(options, (warm, two, on_demand, cold))


@contextmanager
def _feast(options: Options) -> Iterator[None]:
    """Feast's project for its server, if it takes part, and the Redis that it needs."""
    if options.feast is None:
        yield
        return
    with running_redis(core=-1) as url:  # the client has time to spare, the server has not
        online.prepare_feast(options.feast, options, "feast-http", address(url))
        yield


def _contestants(options: Options, place: Path, requests: int, workers: int = 1) -> Iterator[Contestant]:
    what = "a Starlette route that does the least"
    arguments = ("bare", "all_v1", place, options.sizes.online, requests, _SECONDS, workers)
    yield options.ours("bare route", "asked_http", what, *arguments)
    yield _ours(options, place, "all_v1", requests, "`featurestore serve`", workers)
    if options.feast is not None:
        what = "`feast serve` on Redis, features named one by one"
        sizes = (online.feast_entities(options), _FEAST_REQUESTS, _SECONDS, workers)
        yield options.ours("feast", "asked_http", what, "feast", "", place, *sizes)


def _ours(options: Options, place: Path, service: str, requests: int, what: str, workers: int = 1) -> Contestant:
    arguments = ("featurestore", service, place, options.sizes.online, requests, _SECONDS, workers)
    return options.ours("featurestore", "asked_http", what, *arguments)


def _compare(place: Path, entities: int) -> None:
    """Stop the program when the bare route does not answer what our server answers."""
    said = []
    for server in ("bare", "featurestore"):
        asked = Asked(server, "all_v1", place, entities)
        port = free_port()
        command, ready = asked.command(port)
        with running(command, port, ready):
            said.append(_timeless(json.loads(answer(port, post(PATH, asked.body(_COMPARED))))))
    if said[0] != said[1]:
        raise SystemExit(f"The bare route answers {said[0]}\nand featurestore {said[1]}")


def _timeless(document: dict[str, object]) -> dict[str, object]:
    """The answer without what depends on the instant it was asked at."""
    views = document.pop("views")
    assert isinstance(views, dict)
    kept = {name: {what: said[what] for what in said if what != "ages_seconds"} for name, said in views.items()}
    return {**document, "at": None, "views": kept}


def _targets(warm: Sequence[Standing]) -> Iterator[Target]:
    bare, ours, *feast = warm
    for batch in BATCHES:
        p50 = f"p50_us_{batch}"
        ratio = ours.median(p50) / bare.median(p50)
        yield Target(f"p50 of {batch}: featurestore / bare route, at most 1.3", ratio, 1.3)
        for theirs in feast if batch in _LEAST_OF_FEAST else ():
            least = _LEAST_OF_FEAST[batch]
            what = f"p50 of {batch}: feast / featurestore, at least {least:g}"
            yield Target(what, theirs.median(p50) / ours.median(p50), least, at_most=False)
            before = _FEAST_US[batch]
            what = f"p50 of {batch}: the {before:,.0f} that feast took when the target was set / featurestore, at least"
            yield Target(f"{what} {least:g}", before / ours.median(p50), least, at_most=False)
    rate = ours.median("rate") / bare.median("rate")
    yield Target("answers a second: featurestore / bare route, at least 0.75", rate, 0.75, at_most=False)
    yield Target("p99 of 1 entity in milliseconds, at most 10", ours.median("p99_us_1") / 1000, 10.0)
    yield Target("p99 of 16 connections in milliseconds, at most 10", ours.median("rate_p99_ms"), 10.0)


def _beside_feast(warm: Sequence[Standing]) -> str:
    """How much more time Feast's server takes than either of the others."""
    bare, ours, feast = warm
    ratios = [
        f"{feast.median(p50) / bare.median(p50):.1f} times that of the bare route and "
        f"{feast.median(p50) / ours.median(p50):.1f} times ours at {batch}"
        for batch in _LEAST_OF_FEAST
        for p50 in [f"p50_us_{batch}"]
    ]
    return f"Feast's p50 is {', '.join(ratios)}."


def _section(options: Options, standings: Sequence[Sequence[Standing]]) -> Section:
    warm, two, on_demand, cold = standings
    entities = online.feast_entities(options)
    feast = f" Feast holds {entities:,} entities and answers {_FEAST_REQUESTS:,} requests." if options.feast else ""
    return Section(
        title="Lookup over HTTP",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"1, 10 and 100 entities of {options.sizes.online:,}, a service of three views of ten doubles on LMDB, one "
            f"worker; microseconds. Rounds: {options.rounds}, {_REQUESTS:,} requests of one entity (of more entities "
            f"fewer) one after the other on one connection, then {_SECONDS:g} s of one entity on 16 connections; the "
            "client runs on the same machine, in Python, on the last core, and the server on the first. The bare route "
            "reads our own records, judges the TTL, formats event times and statuses and writes the same JSON, which "
            f"is compared before; it has no limits, guards, metrics or log.{feast}",
            table(warm, _WARM, base="bare route"),
            *([_beside_feast(warm)] if options.feast else []),
            "16 connections and two workers, client and server on whatever core is free:",
            table(two, _TWO, base="bare route"),
            "The same with on-demand features in the service, from two columns of request data:",
            table(on_demand, _WARM, base="featurestore"),
            "With a cold page cache: LMDB's file is dropped from it before the server starts, and 200 requests each "
            "ask for other entities.",
            table(cold, _COLD, base="bare route"),
        ),
        targets=tuple(_targets(warm)) if options.sizes == Sizes() else (),
    )
