"""Starts a server, asks it for the features of 1, 10 and 100 entities, then from many connections at once."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_load import Load, free_port, latencies, post, running, throughput
from benchmarks.inputs import FEATURES, ONLINE_VIEWS
from benchmarks.measure import BATCHES, keep_to, report
from benchmarks.options import FEAST_PYTHON

PATH = "/v1/features"
_BODIES = 256
_CONNECTIONS = 16
_COLD_REQUESTS = 200
_FEAST_AT_ITS_BEST = ("--no-access-log", "--max-requests", "10000000", "--registry_ttl_sec", "3600")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which server is asked for which service; whether nothing of the store is in memory when it starts.

    Feast's is asked for the same features, named one by one, which it answers fastest.
    """

    server: str
    service: str
    place: Path
    entities: int
    cold: bool = False

    @property
    def path(self) -> str:
        """The path that answers."""
        return "/get-online-features" if self.server == "feast" else PATH

    def command(self, port: int, workers: int = 1) -> tuple[list[str], str]:
        """How the server is started, and a path that shows it runs."""
        project = str(self.place / "project")
        match self.server:
            case "featurestore":
                program = str(Path(sys.executable).with_name("featurestore"))
                options = ["--port", str(port), "--workers", str(workers)]
                return [program, "--project", project, "serve", *options], "/readyz"
            case "bare":
                program = "benchmarks.contestants.bare_http"
                return [sys.executable, "-m", program, project, str(port), str(workers)], "/"
            case "feast":
                program = str(Path(os.environ[FEAST_PYTHON]).with_name("feast"))
                options = ["--port", str(port), "--workers", str(workers), *_FEAST_AT_ITS_BEST]
                return [program, "--chdir", str(self.place / "feast-http"), "serve", *options], "/health"
            case _:
                raise SystemExit(f"There is no server {self.server!r}.")

    def body(self, keys: Sequence[int]) -> bytes:
        """What is asked for entities."""
        if self.server == "feast":
            features = [f"{view}:{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]
            return json.dumps({"features": features, "entities": {"key": keys}}, separators=(",", ":")).encode()
        question: dict[str, object] = {"service": self.service, "entities": [{"key": key} for key in keys]}
        if self.service == "risk_v1":
            question["request"] = [{"amount": key / 7, "hour": key % 24} for key in keys]
        return json.dumps(question, separators=(",", ":")).encode()

    def requests(self, batch: int, bodies: int) -> Callable[[int], bytes]:
        """Requests for so many entities each, over and over."""
        drawn = random.Random(batch)
        messages = [post(self.path, self.body(drawn.sample(range(self.entities), batch))) for _ in range(bodies)]
        return lambda number: messages[number % bodies]


def forget(store: Path) -> None:
    """Drop the store's file from the page cache; nobody may have it mapped."""
    handle = os.open(store / "data.mdb", os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _warm(asked: Asked, port: int, requests: int, seconds: float) -> dict[str, float]:
    """Latencies one after the other, then the rate of many connections."""
    numbers: dict[str, float] = {}
    for batch in BATCHES:
        load = Load(requests=max(requests // batch, 300), warm_up=_BODIES, connections=_CONNECTIONS, seconds=seconds)
        found = latencies(port, asked.requests(batch, _BODIES), load)
        numbers |= {f"{name}_{batch}": value for name, value in found.items()}
    return numbers | _rate(asked, port, seconds)


def _rate(asked: Asked, port: int, seconds: float) -> dict[str, float]:
    load = Load(requests=0, warm_up=0, connections=_CONNECTIONS, seconds=seconds)
    return throughput(port, asked.requests(1, _BODIES), load)


def _cold(asked: Asked, port: int) -> dict[str, float]:
    """Latencies of requests that each ask for other entities, from the first one on."""
    load = Load(requests=_COLD_REQUESTS, warm_up=0, connections=1, seconds=0)
    return {
        f"{name}_{batch}": value
        for batch in BATCHES[:2]
        for name, value in latencies(port, asked.requests(batch, _COLD_REQUESTS), load).items()
    }


def main() -> None:
    """Arguments: server, service, workspace, entities, requests of one entity (0: cold), seconds of the rate, workers.

    One worker has the first core to itself, and is asked from the last one; several are only asked for their rate.
    """
    asked = Asked(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), cold=sys.argv[5] == "0")
    requests, seconds, workers = int(sys.argv[5]), float(sys.argv[6]), int(sys.argv[7])
    if asked.cold:
        forget(asked.place / "project" / "data" / "online")
    port = free_port()
    command, ready = asked.command(port, workers)
    if workers == 1:
        keep_to(0)
    with running(command, port, ready):
        if workers == 1:
            keep_to(-1)
            numbers = _cold(asked, port) if asked.cold else _warm(asked, port, requests, seconds)
        else:
            _rate(asked, port, seconds / 2)  # until all of them answer: the first one took all connections
            numbers = _rate(asked, port, seconds)
    report(**numbers)


if __name__ == "__main__":
    main()
