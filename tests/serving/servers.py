"""Servers to ask: in this process, or as `featurestore serve` runs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from featurestore.store import FeatureStore
from serving.app import create_app
from tests.store.projects import NOW, PURCHASES, make_project, purchases


def shop(root: Path, definitions: str = PURCHASES) -> FeatureStore:
    """The example shop, applied and materialized up to March 1, 2024, where its clock stands."""
    store = make_project(root, definitions, purchases=purchases())
    store.apply()
    store.materialize(NOW)
    return store


class Asker:
    """Asks an application in this process, a request at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, options))

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    def features(self, **question: object) -> httpx.Response:
        """The answer of POST /v1/features."""
        return self("POST", "/v1/features", json=question)


def serving(store: FeatureStore) -> Asker:
    """What asks the application that serves the project."""
    return Asker(create_app(store))


_PATIENCE_SECONDS = 30
PROGRAM = str(Path(sys.executable).with_name("featurestore"))


def command(root: Path, *words: str) -> str:
    """What `featurestore` says on stdout when it is run on the project; fails with its own words when it fails."""
    done = subprocess.run([PROGRAM, "-C", str(root), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(root: Path, *options: str, key: str | None = None, **environment: str) -> Iterator[Running]:
    """`featurestore serve` as a process of its own, at a free port, stopped in the end; asked with the key."""
    command = [PROGRAM, "-C", str(root), "serve", "--port", "0", "--json", *options]
    with (root / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
        )
    assert process.stdout is not None
    try:
        url = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=10) as http:
            server = Running(process, url, root / "serve.log", http)
            server.wait_until_ready()
            yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@dataclass(slots=True)
class Running:
    """A server process, what it says on stderr, and a client that asks it."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    http: httpx.Client

    def wait_until_ready(self) -> None:
        """Until it answers at all; fails with its own words when it does not."""
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.http.get("/healthz")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"The server does not answer:\n{self.log.read_text()}")

    def features(self, **question: object) -> httpx.Response:
        """The answer of POST /v1/features."""
        return self.http.post("/v1/features", json=question)

    def workers(self) -> set[int]:
        """The ids of its worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Until it happened; a machine may be slow."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < until, what
        time.sleep(0.02)
