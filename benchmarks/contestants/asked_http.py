"""Starts a server, asks it for the features of 1, 10 and 100 entities, then from many connections at once."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.http_load import Load, free_port, latencies, post, running, throughput
from benchmarks.measure import report

BATCHES = (1, 10, 100)
_BODIES = 512


def _command(server: str, place: Path, port: int, workers: int) -> tuple[list[str], str, str]:
    """How the server is started, the path it is asked at, and the path that shows it runs."""
    project = str(place / "project")
    match server:
        case "featurestore":
            program = str(Path(sys.executable).with_name("featurestore"))
            options = ["--port", str(port), "--workers", str(workers)]
            return [program, "--project", project, "serve", *options], "/v1/features", "/readyz"
        case "bare":
            program = "benchmarks.contestants.bare_http"
            return [sys.executable, "-m", program, project, str(port), str(workers)], "/v1/features", "/"
        case _:
            raise SystemExit(f"There is no server {server!r}.")


def _requests(path: str, entities: int, batch: int) -> Callable[[int], bytes]:
    chosen = random.Random(5)
    bodies = []
    for _ in range(_BODIES):
        keys = chosen.choices(range(entities), k=batch)
        question = {"service": "all_v1", "entities": [{"key": key} for key in keys]}
        bodies.append(post(path, json.dumps(question, separators=(",", ":")).encode()))
    return lambda number: bodies[number % _BODIES]


def main() -> None:
    """Arguments: server, workspace, entities, requests of one entity, seconds of many connections, workers."""
    server, place, entities, asked = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    seconds, workers = float(sys.argv[5]), int(sys.argv[6])
    port = free_port()
    command, path, ready = _command(server, place, port, workers)
    numbers: dict[str, float] = {}
    with running(command, port, ready):
        for batch in BATCHES:
            load = Load(requests=max(asked // batch, 200), warm_up=200, connections=16, seconds=seconds)
            found = latencies(port, _requests(path, entities, batch), load)
            numbers |= {f"{name}_{batch}": value for name, value in found.items()}
        if seconds:
            numbers |= throughput(port, _requests(path, entities, 1), load)
    report(**numbers)


if __name__ == "__main__":
    main()
