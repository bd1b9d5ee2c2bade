"""A server whose registry is damaged, away or locked: what was applied goes on serving, and no door opens."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from featurestore.store import FeatureStore
from serving.app import create_app, keys_of
from tests.serving.servers import Asker, Running, running, shop, wait_for
from tests.store.projects import open_project

Fault: TypeAlias = Callable[[Path], AbstractContextManager[None]]
QUESTION = {"service": "buyer", "entities": [{"customer": "a"}], "request": [{"price": 1.0}]}
LIST = {"features": ["last:items"], "entities": [{"customer": "b"}]}


@contextmanager
def damaged(registry: Path) -> Iterator[None]:
    kept = registry.read_bytes()
    registry.write_bytes(b"nonsense" * 1_000)
    yield
    registry.write_bytes(kept)


@contextmanager
def away(registry: Path) -> Iterator[None]:
    registry.rename(registry.with_suffix(".away"))
    yield
    registry.with_suffix(".away").rename(registry)


@contextmanager
def locked(registry: Path) -> Iterator[None]:
    """By a writer that hangs in the middle of its commit."""
    writer = sqlite3.connect(registry, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    os.utime(registry)
    yield
    writer.execute("ROLLBACK")
    writer.close()


each_fault = pytest.mark.parametrize(
    ("fault", "told"), [(damaged, "is damaged"), (away, "is gone"), (locked, "locked")]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shop")
    shop(root).close()
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Running]:
    with FeatureStore(root) as store:
        _, key = keys_of(store).create("tests", ["features:read"], "ann")
    with running(root, key=key) as server:
        yield server


@each_fault
def test_what_was_applied_goes_on_serving_and_no_door_opens(
    server: Running, root: Path, fault: Fault, told: str
) -> None:
    def registry() -> str:
        return str(server.http.get("/readyz").json()["checks"]["registry"])

    wait_for(lambda: registry() == "ok", "a registry that can be read")
    with fault(root / "data" / "registry.db"):
        time.sleep(0.02)  # the file is looked at every 10 ms
        began = time.monotonic()
        assert server.http.get("/healthz").status_code == 200
        assert time.monotonic() - began < 0.5
        for question in (QUESTION, LIST):
            assert server.features(**question).status_code == 200
        assert httpx.post(f"{server.url}/v1/features", json=LIST).status_code == 401
        assert server.http.get("/v1/services").json()["services"][0]["name"] == "buyer"
        ready = server.http.get("/readyz")
        assert (ready.status_code, told in ready.json()["checks"]["registry"]) == (503, True)
        assert time.monotonic() - began < 5
    wait_for(lambda: registry() == "ok", "a registry that can be read again")
    assert server.features(**QUESTION).status_code == 200


def test_a_worker_that_starts_without_a_registry_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop(tmp_path) as store:
        _, key = keys_of(store).create("tests", ["features:read"], "ann")
    monkeypatch.setenv("FEATURESTORE_SERVING__REQUIRE_KEYS", "true")  # as `featurestore serve` tells workers
    headers = {"authorization": f"Bearer {key}"}
    registry = tmp_path / "data" / "registry.db"
    with open_project(tmp_path) as store:
        with damaged(registry):
            ask = Asker(create_app(store))
            assert ask("POST", "/v1/features", json=LIST).status_code == 503
            assert ask("POST", "/v1/features", json=LIST, headers=headers).status_code == 503
            assert ask("GET", "/healthz").status_code == 200
        with away(registry):
            ask = Asker(create_app(store))
            assert ask("POST", "/v1/features", json=LIST).status_code == 401
            assert ask("POST", "/v1/features", json=LIST, headers=headers).status_code == 401
        time.sleep(0.02)
        assert ask("POST", "/v1/features", json=LIST).status_code == 401
        assert ask("POST", "/v1/features", json=LIST, headers=headers).status_code == 200
