"""The reference engine holds every rule; what it says is what other engines are compared with."""

from __future__ import annotations

import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.engines import OfflineEngineConformance


class TestReferenceEngine(OfflineEngineConformance):
    @pytest.fixture
    def engine(self) -> OfflineEngine:
        return ReferenceEngine()
