"""The duckdb engine holds every rule of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.testing.agreement import EngineAgreement
from featurestore.testing.engines import OfflineEngineConformance


@pytest.fixture(scope="class")
def duckdb_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineEngine]:
    """One engine for all tests of a class: it keeps nothing between calls."""
    engine = DuckDbEngine(memory_limit="1GB", temp_directory=tmp_path_factory.mktemp("spill"), threads=2)
    yield engine
    engine.close()


class TestDuckDbEngine(OfflineEngineConformance):
    @pytest.fixture
    def engine(self, duckdb_engine: OfflineEngine) -> OfflineEngine:
        return duckdb_engine


class TestDuckDbEngineAgreesWithTheReference(EngineAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, duckdb_engine: OfflineEngine) -> OfflineEngine:
        return duckdb_engine
