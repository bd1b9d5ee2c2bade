"""Steps in a range, of both engines: the laws over random views."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.range_agreement import RangeAgreement


class TestDuckDbEngineAgreesOnRanges(RangeAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineEngine]:
        engine = DuckDbEngine(memory_limit="1GB", temp_directory=tmp_path_factory.mktemp("spill"), threads=2)
        yield engine
        engine.close()


class TestReferenceEngineAgreesWithHistoryOnRanges(RangeAgreement):
    """Its steps are found from instants of change, its history instant by instant."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        return ReferenceEngine()
