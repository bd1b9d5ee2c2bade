"""A Redis that is down, hangs, is emptied, is full, or is not as it should be: an error in time, never a null."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from featurestore.errors import OnlineStoreError, RecordsLostError
from featurestore.online.base import OnlineStore
from featurestore.testing.online.records import read, record
from tests.online.servers import (
    KEYS,
    TIMEOUT_S,
    RedisServer,
    cluster_url,
    published,
    redis_cluster,
    redis_server,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.ask("FLUSHALL")
    shared.ask("CONFIG", "SET", "maxmemory", "0")
    return shared


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def durable_server(folder: Path) -> AbstractContextManager[RedisServer]:
    return redis_server(folder / "redis", "--appendonly", "yes", "--appendfsync", "always")


# down, and back again


def test_a_killed_server_is_an_error_and_its_return_is_noticed(tmp_path: Path) -> None:
    with durable_server(tmp_path) as server, published(server.url) as store:
        server.kill()
        for _ in range(2):
            with pytest.raises(OnlineStoreError, match=rf"at redis://127.0.0.1:{server.port} (is not|closed)"):
                store.read([("users", KEYS)])
        with pytest.raises(OnlineStoreError, match="is not running there"):
            store.write("users", [(b"1", record(2))])
        server.start_again()
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        assert store.write("users", [(KEYS[0], record(2))]).written == 1


def test_a_restart_between_two_lookups_is_not_seen(tmp_path: Path) -> None:
    with durable_server(tmp_path) as server, published(server.url) as store:
        server.kill()
        server.start_again()
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        server.kill()
        server.start_again()
        assert store.write("users", [(KEYS[0], record(2))]).written == 1


def test_a_server_that_hangs_is_an_error_in_time_and_no_late_answer_is_taken_for_another(server: RedisServer) -> None:
    with published(server.url) as store:
        store.replace("items", [(key, record(2)) for key in KEYS], meta=b"i")
        read(store, "items", *KEYS)
        server.pause()
        try:
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(OnlineStoreError, match=r"did not answer within 0\.3 s"):
                    store.read([("users", KEYS)])
                assert time.monotonic() - began < 2 * TIMEOUT_S
        finally:
            server.go_on()
        assert store.read([("items", KEYS[:2])]) == [(b"i", [record(2)] * 2)]
        assert store.read([("users", KEYS[:2])]) == [(b"m", [record(1)] * 2)]


def test_a_write_that_gets_no_answer_says_that_it_may_have_arrived(server: RedisServer) -> None:
    with published(server.url) as store:
        server.pause()
        try:
            with pytest.raises(OnlineStoreError, match=r"may have arrived, so publish it again\.$"):
                store.write("users", [(KEYS[0], record(2))])
        finally:
            server.go_on()
        store.write("users", [(KEYS[0], record(2))])
        assert read(store, "users", KEYS[0]) == [record(2)]


def test_a_server_that_dies_during_a_replace_keeps_the_old(tmp_path: Path) -> None:
    with durable_server(tmp_path) as server, published(server.url) as store:

        def items() -> Iterator[tuple[bytes, bytes]]:
            for i in range(20_000):
                yield b"%d" % i, record(2, value=bytes(100))
                if i == 10_000:
                    server.kill()

        with pytest.raises(OnlineStoreError, match=r"closed the connection|is not running"):
            store.replace("users", items(), meta=b"new")
        server.start_again()
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)


@pytest.mark.parametrize("failed_at", ["read", "write"])
def test_a_server_of_a_cluster_that_hangs_is_left_for_the_one_that_takes_over(tmp_path: Path, failed_at: str) -> None:
    """A machine that is cut off answers nothing, not even that nobody listens; its replica has its slots by then."""
    silence = r"did not answer within 0\.3 s"

    def ask(store: OnlineStore) -> object:
        if failed_at == "read":
            return store.read([("users", KEYS)])
        return store.write("users", [(key, record(2)) for key in KEYS])

    with (
        redis_cluster(tmp_path / "cluster") as cluster,
        redis_server(tmp_path / "replica", "--cluster-enabled", "yes") as replica,
        published(cluster_url(cluster)) as store,
    ):
        *others, hung = cluster
        hung.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        for node in cluster:
            replica.ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        _until(lambda: _replicates(replica, hung), "the replica to have what its master has")
        both = [hung.port, replica.port]
        _until(lambda: all(both in _slots(node) for node in (replica, *others)), "all to know whose the slots are")
        hung.pause()
        with pytest.raises(OnlineStoreError, match=silence):
            ask(store)
        replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        _until(lambda: all([replica.port] in _slots(node) for node in others), "the others to know")
        with pytest.raises(OnlineStoreError, match=silence):
            ask(store)
        for _ in range(3):
            assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        assert store.write("users", [(key, record(3)) for key in KEYS]).written == len(KEYS)


def _replicates(replica: RedisServer, master: RedisServer) -> bool:
    """Whether the replica has what its master has; it is told to replicate when it knows its master."""
    master_id = master.ask("CLUSTER", "MYID").decode()
    if master_id not in str(replica.ask("CLUSTER", "NODES")):
        return False
    state = replica.ask("INFO", "replication")
    if state["role"] == "master":
        replica.ask("CLUSTER", "REPLICATE", master_id)
        return False
    return bool(
        state["master_link_status"] == "up"
        and state["slave_repl_offset"] == master.ask("INFO", "replication")["master_repl_offset"]
    )


def _slots(node: RedisServer) -> list[list[int]]:
    """For each range of slots the ports of those that have it, as one node knows them: the master's first."""
    return [[port for _, port, *_ in servers] for _, _, *servers in node.ask("CLUSTER", "SLOTS")]


def _until(happened: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until, what
        time.sleep(0.05)


# emptied, in whole or in part


def test_a_flushed_server_has_nothing_published(server: RedisServer) -> None:
    with published(server.url) as store:
        server.ask("FLUSHALL")
        assert store.read([("users", ())]) == [(None, [])]
        assert store.namespaces() == []
        store.replace("users", [(b"1", record(1))], meta=b"again")
        assert store.read([("users", (b"1",))]) == [(b"again", [record(1)])]


def _bucket(server: RedisServer) -> bytes:
    [key] = server.ask("KEYS", "featurestore:{*")
    assert isinstance(key, bytes)
    return key


@pytest.mark.parametrize("what", ["evicted", "of an earlier publish", "of a later publish", "in the middle of nowhere"])
def test_records_that_are_not_those_of_the_catalog_are_lost_and_a_replace_heals(server: RedisServer, what: str) -> None:
    with published(server.url) as store:
        bucket = _bucket(server)
        match what:
            case "evicted":
                server.ask("DEL", bucket)
            case "of an earlier publish":
                server.ask("HSET", bucket, "h", "1".zfill(16) + "-" * 32)
            case "of a later publish":
                server.ask("HSET", bucket, "h", "9" * 16 + "-" * 32)
            case _:
                server.ask("HDEL", bucket, "h")
        sentence = "lost records of 'users'.*Run `featurestore online rebuild`"
        with pytest.raises(RecordsLostError, match=sentence):
            store.read([("users", (KEYS[0], b"never there"))])
        with pytest.raises(RecordsLostError, match=sentence):
            store.count("users")
        with pytest.raises(RecordsLostError, match=sentence):
            store.write("users", [(KEYS[0], record(2))])
        with pytest.raises(RecordsLostError, match=sentence):
            store.write("users", [(b"%d" % i, record(2)) for i in range(2_000)])
        store.replace("users", [(b"1", record(1))], meta=b"again")
        assert store.read([("users", (b"1", KEYS[0]))]) == [(b"again", [record(1), None])]


def test_a_cluster_of_which_one_server_lost_all_says_so(cluster: list[RedisServer]) -> None:
    for node in cluster:
        node.ask("FLUSHALL")
    with published(cluster_url(cluster)) as store:
        [catalog] = [node for node in cluster if node.ask("KEYS", "*catalog")]
        emptied = next(node for node in cluster if node is not catalog)
        emptied.ask("FLUSHALL")
        with pytest.raises(RecordsLostError, match="online rebuild"):
            store.read([("users", KEYS)])
        with pytest.raises(RecordsLostError, match="online rebuild"):
            store.count("users")
        store.replace("users", [(key, record(2)) for key in KEYS], meta=b"again")
        assert read(store, "users", *KEYS) == [record(2)] * len(KEYS)
        catalog.ask("FLUSHALL")
        assert store.read([("users", KEYS[:1])]) == [(None, [None])]


# full


def test_a_full_server_refuses_and_what_was_published_stays(server: RedisServer) -> None:
    with published(server.url) as store:
        big = [(b"%d" % i, record(2, value=os.urandom(100_000))) for i in range(100)]
        server.ask("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] + 4_000_000)
        for publish in (
            lambda: store.replace("users", iter(big), meta=b"new"),
            lambda: store.write("users", big),
            lambda: store.replace("items", iter(big), meta=b"new"),
        ):
            with pytest.raises(
                OnlineStoreError, match=r"is out of memory \(maxmemory is reached\); what was published"
            ):
                publish()
            assert store.read([("users", KEYS)]) == [(b"m", [record(1)] * len(KEYS))]
        assert store.namespaces() == ["users"]
        server.ask("CONFIG", "SET", "maxmemory", 1_000)
        with pytest.raises(OnlineStoreError, match="out of memory"):
            store.write("users", [(KEYS[0], record(3))])
        assert store.count("users") == len(KEYS)
        assert store.compact() == 0
        store.drop("users")  # frees
        server.ask("CONFIG", "SET", "maxmemory", 0)
        assert store.replace("users", iter(big), meta=b"new") == len(big)


# shared


def test_after_a_fork_parent_and_child_read_apart(server: RedisServer) -> None:
    with published(server.url) as store:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            right = all(read(store, "users", key) == [record(1)] for key in KEYS for _ in range(5))
            os.write(writing, b"right" if right else b"wrong")
            os._exit(0)
        for key in KEYS:
            for _ in range(5):
                assert read(store, "users", key) == [record(1)]
        os.waitpid(child, 0)
        assert os.read(reading, 5) == b"right"
        os.close(reading)
        os.close(writing)


def test_many_threads_read_at_once(server: RedisServer) -> None:
    with published(server.url) as store, ThreadPoolExecutor(16) as pool:
        together = threading.Barrier(16)

        def look(i: int) -> bool:
            together.wait()
            return all(read(store, "users", key) == [record(1)] for key in KEYS[i:])

        assert all(pool.map(look, range(16)))
        assert server.client().info("clients")["connected_clients"] < 40


# a cluster that changes


def test_a_node_that_hangs_or_is_gone_is_an_error_in_time(tmp_path: Path) -> None:
    with redis_cluster(tmp_path / "c") as cluster, published(cluster_url(cluster)) as store:
        for _ in range(2):
            cluster[1].pause()
            try:
                began = time.monotonic()
                with pytest.raises(OnlineStoreError, match=rf"its node 127.0.0.1:{cluster[1].port}\) did not answer"):
                    store.read([("users", KEYS)])
                assert time.monotonic() - began < 4 * TIMEOUT_S
            finally:
                cluster[1].go_on()
            assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        cluster[1].kill()
        with pytest.raises(OnlineStoreError, match=rf"its node 127.0.0.1:{cluster[1].port}\) (is not|closed)"):
            store.read([("users", KEYS)])


def test_slots_that_move_are_followed_while_they_move(cluster: list[RedisServer]) -> None:
    for node in cluster:
        node.ask("FLUSHALL")
    with published(cluster_url(cluster)) as store:
        source, target = cluster[0], cluster[1]
        ids = {node.port: node.ask("CLUSTER", "MYID") for node in cluster}
        key = source.ask("KEYS", "featurestore:{*")[0]
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5_000)
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)  # by ASK
        with pytest.raises(OnlineStoreError, match="is moving some of its slots between its nodes"):
            store.write("users", [(k, record(2)) for k in KEYS], meta=b"2")
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        assert store.write("users", [(k, record(2)) for k in KEYS], meta=b"2").written == len(KEYS)  # by MOVED
        assert read(store, "users", *KEYS) == [record(2)] * len(KEYS)
        assert store.replace("users", [(k, record(3)) for k in KEYS], meta=b"3") == len(KEYS)
        assert store.count("users") == len(KEYS)
