"""A server whose Redis is killed, hangs, is emptied, falls back or is full: 503 in time, never nulls, no restart."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from featurestore import Client
from featurestore.errors import RecordsLostError
from featurestore.store import FeatureStore
from serving.app import keys_of
from tests.online.servers import RedisServer, redis_server
from tests.serving.callers import Caller, Told
from tests.serving.servers import Running, command, running, shop, wait_for
from tests.store.projects import PURCHASES

DEADLINE_SECONDS = 2.0
SLACK_SECONDS = 1.5  # a machine may be busy
CALLERS = 40  # more than the threads that read the store
_numbers = itertools.count(3)  # what c bought at last; a row that was pushed before changes nothing
QUESTION = {"features": ["last:items"], "entities": [{"customer": name} for name in ("a", "b", "c", "nobody")]}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def root(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The shop on that Redis, its values good for ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESTORE_ONLINE__URL", redis.url)
        root = tmp_path_factory.mktemp("shop")
        shop(root, PURCHASES.replace("    ttl=timedelta(days=10),\n", "")).close()
        yield root


@pytest.fixture(scope="module")
def key(root: Path) -> str:
    with FeatureStore(root) as store:
        return keys_of(store).create("tests", ["push", "features:read"], "ann")[1]


@pytest.fixture(scope="module")
def started(root: Path, key: str) -> Iterator[Running]:
    with running(root, key=key) as server:
        yield server


@pytest.fixture
def server(started: Running, redis: RedisServer) -> Running:
    """The server, which answers as it should; its Redis would keep that through a restart."""
    assert push(started, items=next(_numbers)).status_code == 200
    assert None not in items(started)[:-1]
    redis.ask("SAVE")
    return started


def items(server: Running) -> list[object]:
    """What is answered for a, b, c and nobody."""
    answer = server.features(**QUESTION)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["features"]["items"]["values"])


def push(server: Running, **cells: object) -> httpx.Response:
    """The answer to a push of c's only row."""
    row = {"customer": "c", "at": "2024-02-25T00:00:00Z", "amount": 7.5, **cells}
    return server.http.post("/v1/push/last", json={"rows": [row]})


def assert_refused(answer: httpx.Response, kind: str) -> None:
    """Fail unless the answer says why there is none, and when to come again."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["type"] == kind


def online_store(server: Running) -> tuple[int, str]:
    """What /readyz says of the online store."""
    answer = server.http.get("/readyz")
    return answer.status_code, answer.json()["checks"]["online_store"]


def test_a_killed_redis_is_told_and_its_return_is_noticed(server: Running, redis: RedisServer) -> None:
    before = items(server)
    redis.kill()
    try:
        assert_refused(server.features(**QUESTION), "OnlineStoreError")
        assert_refused(server.http.get("/v1/views"), "OnlineStoreError")
        assert_refused(push(server, items=next(_numbers)), "OnlineStoreError")
        assert server.http.get("/healthz").status_code == 200
        assert server.http.get("/metrics").status_code == 200
        status, told = online_store(server)
        assert (status, "is not running there" in told) == (503, True)
    finally:
        redis.start_again()
    assert items(server) == before
    assert online_store(server) == (200, "ok")


def test_callers_of_a_redis_that_hangs_are_told_in_time_and_health_answers(
    server: Running, redis: RedisServer, key: str
) -> None:
    async def ask() -> tuple[list[Told], list[Told]]:
        callers = [await Caller.open(server.url, key) for _ in range(CALLERS)]
        prober = await Caller.open(server.url)
        asking = [asyncio.create_task(caller.features(**QUESTION)) for caller in callers]
        probes = []
        while not all(task.done() for task in asking):
            probes.append(await prober.get("/healthz"))
            await asyncio.sleep(0.1)
        probes.append(await prober.get("/readyz"))
        told = [await task for task in asking]
        for caller in (*callers, prober):
            caller.close()
        return told, probes

    before = items(server)
    redis.pause()
    try:
        told, probes = asyncio.run(ask())
    finally:
        redis.go_on()
    assert {(answer.status, answer.headers["retry-after"]) for answer in told} == {(503, "1")}
    assert max(answer.seconds for answer in told) < DEADLINE_SECONDS + SLACK_SECONDS
    assert {probe.status for probe in probes[:-1]} == {200}
    assert max(probe.seconds for probe in probes[:-1]) < SLACK_SECONDS
    assert "nswer within 1 s" in json.loads(probes[-1].body)["checks"]["online_store"]
    assert items(server) == before


def test_a_flushed_redis_is_told_and_a_rebuild_is_noticed(server: Running, redis: RedisServer, root: Path) -> None:
    before = items(server)
    redis.ask("FLUSHALL")
    assert_refused(server.features(**QUESTION), "NotPublishedError")
    status, told = online_store(server)
    assert (status, "`featurestore online rebuild`" in told) == (503, True)
    [view] = json.loads(command(root, "online", "rebuild", "--json"))["views"]
    assert (view["view"], view["records"], view["error"]) == ("last", 3, None)
    assert items(server) == before
    assert online_store(server) == (200, "ok")


def test_lost_records_are_told_and_a_rebuild_is_noticed(
    server: Running, redis: RedisServer, root: Path, key: str
) -> None:
    before = items(server)
    redis.ask("DEL", *redis.ask("KEYS", "featurestore:{*"))
    assert_refused(server.features(**QUESTION), "RecordsLostError")
    with Client(server.url, key, retries=0) as client, pytest.raises(RecordsLostError, match="online rebuild"):
        client.get_online_features("last:items", [{"customer": "a"}])
    with FeatureStore(root) as store:
        assert [(view.lost, view.in_step) for view in store.status()] == [(True, False)]
        store.rebuild_online()
    assert items(server) == before


def test_after_a_fall_back_to_an_older_state_that_state_answers_whole_until_a_rebuild(
    server: Running, redis: RedisServer, root: Path
) -> None:
    dump, older = redis.folder / "dump.rdb", items(server)
    shutil.copy(dump, redis.folder / "older.rdb")
    newer = [*older[:2], next(_numbers), None]
    assert push(server, items=newer[2]).status_code == 200
    assert items(server) == newer
    redis.kill()
    shutil.copy(redis.folder / "older.rdb", dump)  # as a replica would have it that was behind
    redis.start_again()
    assert items(server) == older
    with FeatureStore(root) as store:
        assert [(view.lost, view.in_step) for view in store.status()] == [(False, False)]
    command(root, "online", "rebuild")
    assert items(server) == newer
    with FeatureStore(root) as store:
        assert [view.in_step for view in store.status()] == [True]


def test_a_full_redis_answers_and_takes_a_push_again_when_there_is_room(server: Running, redis: RedisServer) -> None:
    before, number = items(server), next(_numbers)
    redis.ask("CONFIG", "SET", "maxmemory", "1000")
    try:
        refused = push(server, items=number)
        assert_refused(refused, "OnlineStoreError")
        assert "is out of memory (maxmemory is reached)" in refused.json()["error"]["message"]
        assert items(server) == before
        assert online_store(server) == (200, "ok")
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert push(server, items=number).status_code == 200
    assert items(server) == [*before[:2], number, None]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_a_worker_is_replaced_while_redis_is_away(server: Running, redis: RedisServer) -> None:
    before = items(server)
    redis.kill()
    try:
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: bool(server.workers() - {worker}), "a replacement")
        assert server.http.get("/healthz").status_code == 200
        assert_refused(server.features(**QUESTION), "OnlineStoreError")
        assert online_store(server)[0] == 503
    finally:
        redis.start_again()
    assert items(server) == before
    assert server.log.read_text().count("Serving revision") == 2
