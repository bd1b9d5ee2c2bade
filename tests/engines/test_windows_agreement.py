"""Windowed values of both engines: the laws over random events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.window_agreement import WindowAgreement


class TestDuckDbEngineAgreesOnWindows(WindowAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineEngine]:
        engine = DuckDbEngine(memory_limit="1GB", temp_directory=tmp_path_factory.mktemp("spill"), threads=2)
        yield engine
        engine.close()


class TestReferenceEngineAgreesWithItselfOnWindows(WindowAgreement):
    """Source against store, online against history; and that the random events are fit for other engines."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        return ReferenceEngine()
