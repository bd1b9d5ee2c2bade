"""Servers to ask: in this process, or as `featurestore serve` runs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
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


@contextmanager
def running(root: Path, *options: str, **environment: str) -> Iterator[Running]:
    """`featurestore serve` as a process of its own, at a free port, stopped in the end."""
    program = str(Path(sys.executable).with_name("featurestore"))
    command = [program, "-C", str(root), "serve", "--port", "0", "--json", *options]
    with (root / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
        )
    assert process.stdout is not None
    try:
        announced = "".join(iter(process.stdout.readline, "}\n")) + "}"
        server = Running(process, json.loads(announced)["url"], root / "serve.log")
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
    """A server process, and what it says on stderr."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def wait_until_ready(self) -> None:
        """Until it answers at all; fails with its own words when it does not."""
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/healthz", timeout=2)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"The server does not answer:\n{self.log.read_text()}")

    def features(self, **question: object) -> httpx.Response:
        """The answer of POST /v1/features."""
        return httpx.post(f"{self.url}/v1/features", json=question, timeout=10)
