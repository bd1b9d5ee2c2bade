"""Publishes to Redis, seen from beside: large ones, ones that died, ones that stalled; and what they leave behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from featurestore.errors import OnlineStoreError
from featurestore.online.base import STAMP_SIZE, WriteCount
from featurestore.online.redis.address import parse_address
from featurestore.online.redis.leases import Lease
from featurestore.online.redis.staging import stage
from featurestore.online.redis.store import RedisOnlineStore
from featurestore.testing.online.records import read, record
from tests.online.servers import RedisServer, cluster_url, redis_cluster, redis_server

LEASE_S = 0.5
MANY = [b"%05d" % i for i in range(3_000)]  # more than one script takes
SOME = MANY[::300]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        running.ask("FUNCTION", "FLUSH")
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    for node in [found] if isinstance(found, RedisServer) else found:
        node.ask("FLUSHALL")
    return found.url if isinstance(found, RedisServer) else cluster_url(found)


@pytest.fixture
def store(url: str) -> Iterator[RedisOnlineStore]:
    store = opened(url)
    yield store
    store.close()


def opened(url: str) -> RedisOnlineStore:
    return RedisOnlineStore(parse_address(url, Path()), lease_s=LEASE_S)


def test_a_large_write_compares_counts_and_is_seen_whole(store: RedisOnlineStore) -> None:
    store.replace("users", [(key, record(1)) for key in MANY], meta=b"1")
    begun = threading.Event()

    def publish() -> None:
        begun.wait()
        for version in range(2, 7):
            count = store.write("users", [(key, record(version)) for key in MANY], meta=b"%d" % version)
            assert count == WriteCount(written=len(MANY))

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        begun.set()
        while not publishing.done():
            [(meta, records)] = store.read([("users", SOME)])
            assert meta is not None
            assert records == [record(int(meta))] * len(SOME)
            seen.add(int(meta))
        publishing.result()
    assert seen <= set(range(1, 7))
    older = [(key, record(5)) for key in MANY[:2_000]] + [(b"new", record(5))]
    assert store.write("users", older) == WriteCount(written=1, skipped=2_000)
    deleted = store.write("users", [(key, None) for key in (*MANY[:1_500], b"absent")], compare=False)
    assert deleted == WriteCount(deleted=1_500)
    assert store.count("users") == 1_501


def test_many_views_are_read_at_once_by_who_never_read_or_published_them(url: str, store: RedisOnlineStore) -> None:
    """Twenty views are more than the times that a read begins again; each lies elsewhere than it was known to lie."""
    views = [f"view_{i:02}" for i in range(20)]
    reader = opened(url)
    for version in (1, 2):
        for view in views:
            store.replace(view, [(b"a", record(version))], meta=view.encode())
        for _ in range(2):
            found = reader.read([(view, [b"a", b"absent"]) for view in [*views, "unknown", views[0]]])
            assert found == [
                *((view.encode(), [record(version), None]) for view in views),
                (None, [None, None]),
                (b"view_00", [record(version), None]),
            ]
    reader.close()


def test_nothing_is_left_of_replaced_and_dropped_namespaces(url: str, store: RedisOnlineStore) -> None:
    for version in range(3):
        store.replace("users", [(key, record(version)) for key in MANY], meta=b"m")
        store.write("users", [(key, record(9)) for key in MANY])
    keys = keys_of(url)
    store.replace("users", [(key, record(1)) for key in MANY], meta=b"m")
    assert len(keys_of(url)) == len(keys)
    store.drop("users")
    assert keys_of(url) == []


def test_keys_of_others_are_left_alone(url: str) -> None:
    ours, theirs = opened(f"{url}?prefix=ours"), opened(f"{url}?prefix=theirs")
    theirs.replace("users", [(b"1", record(1))], meta=b"t")
    ours.replace("users", [(b"1", record(2))], meta=b"o")
    ours.drop("users")
    ours.compact()
    assert theirs.read([("users", (b"1",))]) == [(b"t", [record(1)])]
    assert ours.namespaces() == []
    ours.close()
    theirs.close()


def test_records_whose_catalog_was_lost_are_swept_and_those_that_are_published_stay(
    url: str, store: RedisOnlineStore
) -> None:
    store.replace("users", [(key, record(1)) for key in MANY], meta=b"m")
    store.write("users", [(key, record(2)) for key in MANY])
    [node] = [node for node in nodes_of(url) if node.keys("*catalog")]
    node.delete("{featurestore}:catalog", "{featurestore}:generations")
    node.set("featurestore:{featurestore}", "of others")
    store.replace("users", [(key, record(3)) for key in SOME], meta=b"n")
    node.delete("{featurestore}:generations")  # what is published is mentioned by the catalog still
    assert store.compact() > len(MANY) * STAMP_SIZE
    assert read(store, "users", *SOME) == [record(3)] * len(SOME)
    store.drop("users")
    store.compact()
    assert keys_of(url) == [b"featurestore:{featurestore}"]
    node.close()


_DYING = """
import sys, time
from pathlib import Path
from featurestore.online.redis.address import parse_address
from featurestore.online.redis.store import RedisOnlineStore
from featurestore.testing.online.records import record

def items():
    for i in range(200_000):
        yield b"%08d" % i, record(2, value=bytes(100))
        if i == 100_000:
            print("halfway", flush=True)
            time.sleep(60)

store = RedisOnlineStore(parse_address(sys.argv[1], Path()), lease_s=float(sys.argv[2]))
store.replace("users", items(), meta=b"new")
"""


def test_a_publisher_killed_halfway_leaves_the_old_and_the_next_removes_what_is_left(
    url: str, store: RedisOnlineStore
) -> None:
    store.replace("users", [(b"1", record(1))], meta=b"old")
    clean = len(keys_of(url))
    command = [sys.executable, "-c", _DYING, url, str(LEASE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == b"halfway\n"
        assert store.read([("users", (b"1",))]) == [(b"old", [record(1)])]
        assert store.compact() == 0  # he lives
        dying.send_signal(signal.SIGKILL)
    assert store.read([("users", (b"1",))]) == [(b"old", [record(1)])]
    assert len(keys_of(url)) > clean
    assert store.write("users", [(b"1", record(2))]) == WriteCount(written=1)  # once his lease is over
    assert store.compact() > 100_000 * 100
    assert len(keys_of(url)) == clean
    assert store.replace("users", [(b"2", record(3))], meta=b"new") == 1
    assert store.read([("users", (b"1", b"2"))]) == [(b"new", [None, record(3)])]


def test_a_publisher_who_stalled_is_fenced_off(
    url: str, store: RedisOnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.online.redis.leases.Lease._keep", lambda _: None)
    other = opened(url)
    store.replace("users", [(b"1", record(1))], meta=b"old")
    clean = len(keys_of(url))

    def items() -> Iterator[tuple[bytes, bytes]]:
        yield b"1", record(2)
        other.replace("users", [(b"1", record(3))], meta=b"other's")  # waits until the lease is over

    with pytest.raises(OnlineStoreError, match="somebody else took over"):
        store.replace("users", items(), meta=b"stalled")
    assert store.read([("users", (b"1",))]) == [(b"other's", [record(3)])]
    assert len(keys_of(url)) == clean
    other.close()


def test_a_writer_who_stalled_is_fenced_off(url: str, store: RedisOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = opened(url)
    store.replace("users", [(key, record(1)) for key in MANY], meta=b"old")
    place = "featurestore.online.redis.publishing.stage"

    def stall(*args: Any, **kwargs: Any) -> WriteCount:
        monkeypatch.setattr(place, stage)
        count = stage(*args, **kwargs)
        other.write("users", [(b"pushed", record(3))], meta=b"other's")
        return count

    monkeypatch.setattr(place, stall)
    with pytest.raises(OnlineStoreError, match="somebody else took over"):
        store.write("users", [(key, record(2)) for key in MANY], meta=b"stalled")
    assert store.read([("users", (MANY[0], b"pushed"))]) == [(b"other's", [record(1), record(3)])]
    assert store.write("users", [(key, record(4)) for key in MANY], meta=b"new").written == len(MANY)
    assert store.read([("users", (MANY[0], b"pushed"))]) == [(b"new", [record(4), record(3)])]
    other.close()


def test_an_interrupted_write_leaves_nothing_to_see(store: RedisOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.replace("users", [(key, record(1)) for key in MANY], meta=b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Lease, "switch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.write("users", [(key, record(2)) for key in MANY], meta=b"new")
    assert store.read([("users", SOME)]) == [(b"old", [record(1)] * len(SOME))]
    assert store.write("users", [(MANY[0], record(3))], meta=b"newer") == WriteCount(written=1)
    assert read(store, "users", *MANY[:2]) == [record(3), record(1)]
    assert store.count("users") == len(MANY)


def test_stamps_are_compared_as_bytes_whatever_the_locale_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    stamps = [bytes([first, 0, second]) + bytes(13) for first in (0x00, 0x41, 0x61, 0x80, 0xFF) for second in (0, 0xC3)]
    with redis_server(tmp_path / "redis") as server:
        store = opened(server.url)
        for stored in stamps:
            for offered in stamps:
                store.write("users", [(b"k", stored)], compare=False)
                written = store.write("users", [(b"k", offered)]).written
                assert (written == 1) == (offered >= stored), (stored, offered)
        store.close()


def keys_of(url: str) -> list[bytes | str]:
    """The keys on all servers that are no bookkeeping."""
    found: list[bytes | str] = []
    for client in nodes_of(url):
        found += client.keys("*:{*")
        client.close()
    return found


def nodes_of(url: str) -> list[redis.Redis]:
    """A client for each server."""
    places = url.partition("://")[2].partition("?")[0].split(",")
    return [redis.Redis(port=int(place.rpartition(":")[2])) for place in places]
