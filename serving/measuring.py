"""`GET /metrics`: the metrics, when the package that keeps them is installed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from featurestore.errors import FeatureStoreError
from serving.catalog import CatalogPages
from serving.errors import Refused
from serving.exchange import Answer, Request
from serving.plans import Plans

if TYPE_CHECKING:
    from serving.live import LiveModels
    from serving.metrics import Metrics

_LAG = "featurestore_freshness_lag_seconds"
_PATIENCE_SECONDS = 1.0
_FAULTY = "featurestore_faulty_services"
_FAULTY_MODELS = "featurestore_faulty_models"


class Measuring:
    """The metrics of a server; None where prometheus-client is not installed."""

    def __init__(self) -> None:
        self.metrics: Metrics | None = _metrics()
        self._plans: Plans | None = None
        self._catalog: CatalogPages | None = None
        self._models: LiveModels | None = None

    def of(self, plans: Plans, catalog: CatalogPages, models: LiveModels) -> None:
        """What is told of this instant, beside what was counted."""
        self._plans = plans
        self._catalog = catalog
        self._models = models

    def predicted(self, model: str, version: int, rows: int, *, kept: bool) -> None:
        """Count predictions, and those among them that the log does not keep."""
        if self.metrics is not None:
            self.metrics.predicted(model, version, rows, kept=kept)

    async def answer(self, _: Request) -> Answer:
        """The handler."""
        if self.metrics is None:
            raise Refused(
                501, "NotInstalled", "Metrics need prometheus-client: install featurestore-platform[metrics]."
            )
        from serving.metrics import MEDIA_TYPE

        assert self._plans is not None
        assert self._catalog is not None
        assert self._models is not None
        faults = float(len(self._plans.state.faults))
        gauges = [
            (_FAULTY, "Services whose newest definition cannot be served.", "", {"": faults}),
            (
                _FAULTY_MODELS,
                "Models whose champion cannot be served.",
                "",
                {"": float(len(self._models.state.faults))},
            ),
        ]
        with contextlib.suppress(FeatureStoreError, TimeoutError):  # what was counted is told all the same
            async with asyncio.timeout(_PATIENCE_SECONDS):
                lags = await self._catalog.lags()
            gauges.append((_LAG, "How far a view's watermark is behind the present.", "view", lags))
        return Answer(self.metrics.exposition(gauges), media_type=MEDIA_TYPE)


def _metrics() -> Metrics | None:
    try:
        from serving.metrics import Metrics
    except ModuleNotFoundError:
        return None
    return Metrics()
