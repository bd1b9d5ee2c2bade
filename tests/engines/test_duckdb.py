"""The duckdb engine holds every rule of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.testing.engines import OfflineEngineConformance


class TestDuckDbEngine(OfflineEngineConformance):
    @pytest.fixture
    def engine(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineEngine]:
        engine = DuckDbEngine(memory_limit="1GB", temp_directory=tmp_path_factory.mktemp("spill"), threads=2)
        yield engine
        engine.close()
