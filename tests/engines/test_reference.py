"""The reference engine holds every rule; what it says is what other engines are compared with."""

from __future__ import annotations

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.agreement import EngineAgreement
from featurestore.testing.engines import OfflineEngineConformance


class TestReferenceEngine(OfflineEngineConformance):
    @pytest.fixture
    def engine(self) -> OfflineEngine:
        return ReferenceEngine()


class TestReferenceEngineAgreesWithItself(EngineAgreement):
    """Source against store, published against whole; and that the random tables are fit for other engines."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        return ReferenceEngine()
