"""Every store holds the rules of online stores; Redis as a server over TCP and a socket, and as a cluster of three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.online.base import OnlineStore
from featurestore.online.lmdb import LmdbOnlineStore
from featurestore.online.memory import MemoryOnlineStore
from featurestore.online.open import open_online_store
from featurestore.testing.online import OnlineStoreConformance
from tests.online.servers import RedisServer, cluster_url, redis_cluster, redis_server


class TestLmdb(OnlineStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[OnlineStore]:
        store = LmdbOnlineStore(tmp_path / "online")
        yield store
        store.close()


class TestLmdbWithASmallMap(OnlineStoreConformance):
    """Every publish of some size has to grow the map."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[OnlineStore]:
        store = LmdbOnlineStore(tmp_path / "online", map_size=1 << 16)
        yield store
        store.close()


class TestMemory(OnlineStoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[OnlineStore]:
        store = MemoryOnlineStore()
        yield store
        store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


class TestRedis(OnlineStoreConformance):
    @pytest.fixture
    def store(self, server: RedisServer, tmp_path: Path) -> Iterator[OnlineStore]:
        server.ask("FLUSHALL")
        store = open_online_store(server.url, tmp_path)
        yield store
        store.close()


class TestRedisInSteps(OnlineStoreConformance):
    """Every write is staged, as a large one is."""

    @pytest.fixture
    def store(self, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnlineStore]:
        monkeypatch.setattr("featurestore.online.redis.publishing._AT_ONCE", -1)
        server.ask("FLUSHALL")
        store = open_online_store(server.url, tmp_path)
        yield store
        store.close()


class TestRedisUnmerged(OnlineStoreConformance):
    """Every publisher dies before it merges, so every read looks into overlays too."""

    @pytest.fixture
    def store(self, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnlineStore]:
        monkeypatch.setattr("featurestore.online.redis.publishing._AT_ONCE", -1)
        monkeypatch.setattr("featurestore.online.redis.publishing.Publisher._merge_published", lambda *_: None)
        server.ask("FLUSHALL")
        store = open_online_store(server.url, tmp_path)
        yield store
        store.close()


class TestRedisOverASocket(OnlineStoreConformance):
    @pytest.fixture
    def store(self, server: RedisServer, tmp_path: Path) -> Iterator[OnlineStore]:
        server.ask("FLUSHALL")
        store = open_online_store(f"unix://{server.socket_path}?db=3&prefix=team-a", tmp_path)
        yield store
        store.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


class TestRedisCluster(OnlineStoreConformance):
    @pytest.fixture
    def store(self, cluster: list[RedisServer], tmp_path: Path) -> Iterator[OnlineStore]:
        for node in cluster:
            node.ask("FLUSHALL")
        store = open_online_store(cluster_url(cluster), tmp_path)
        yield store
        store.close()
