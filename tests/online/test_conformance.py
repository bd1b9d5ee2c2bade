"""The embedded stores hold the rules of every online store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.online.base import OnlineStore
from featurestore.online.lmdb import LmdbOnlineStore
from featurestore.online.memory import MemoryOnlineStore
from featurestore.testing.online import OnlineStoreConformance


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
