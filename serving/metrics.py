"""`GET /metrics`: what Prometheus reads.

| metric | labels | is |
|---|---|---|
| `featurestore_request_seconds` | route, service | histogram of the time from the request's head to its answer |
| `featurestore_requests_total` | route, status | answers by HTTP status |
| `featurestore_rows_total` | service, view, status | rows looked up: PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE |
| `featurestore_null_values_total` | service | values that are null though their row is there |
| `featurestore_store_read_seconds` | | histogram of reads of the online store |
| `featurestore_freshness_lag_seconds` | view | how far the view's watermark is behind the present |
| `featurestore_faulty_services` | | services whose newest definition cannot be served |
| `featurestore_predictions_total` | model, version, logged | predictions; `logged` is `yes` or `no` |
| `featurestore_faulty_models` | | models whose champion cannot be served |

With several workers each writes to files of its own under PROMETHEUS_MULTIPROC_DIR, and whoever is asked adds them up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from featurestore.online.result import OnlineFeatures
from featurestore.timeline import Status
from serving.exchange import Request
from serving.routes import Route

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds
_MOST_CHILDREN = 4096  # combinations of labels whose counters are at hand
_PRESENT = Status.PRESENT
_ABSENT = (Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE)


class Metrics:
    """Counts answers, lookups and reads; an Observer of the gate. Safe for threads."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "featurestore_request_seconds", "From a request's head to its answer.", ["route", "service"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._requests = Counter(
            "featurestore_requests", "Answers by HTTP status.", ["route", "status"], registry=registry
        )
        self._rows = Counter(
            "featurestore_rows", "Rows looked up, by how they were found.", ["service", "view", "status"],
            registry=registry,
        )  # fmt: skip
        self._nulls = Counter(
            "featurestore_null_values",
            "Values that are null though their row is there.",
            ["service"],
            registry=registry,
        )
        self._predictions = Counter(
            "featurestore_predictions", "Predictions, and whether the log keeps them.", ["model", "version", "logged"],
            registry=registry,
        )  # fmt: skip
        self.reads = Histogram(
            "featurestore_store_read_seconds", "Reads of the online store.", buckets=_BUCKETS, registry=registry
        )
        self._observe = lru_cache(_MOST_CHILDREN)(lambda path, service: self._seconds.labels(path, service).observe)
        self._count = lru_cache(_MOST_CHILDREN)(lambda path, status: self._requests.labels(path, str(status)).inc)
        self._add = lru_cache(_MOST_CHILDREN)(
            lambda service, view, status: self._rows.labels(service, view, status.name).inc
        )

    def answered(self, route: Route | None, request: Request, status: int, seconds: float) -> None:
        """As Observer."""
        path = route.path if route else ""
        self._observe(path, request.labels.get("service", ""))(seconds)
        self._count(path, status)()

    def looked_up(self, service: str, views: Sequence[str], answer: OnlineFeatures, nulls: int) -> None:
        """Count the rows of an answer, by view and status; `nulls` values of it are null though their row is there."""
        for view, (statuses, _) in zip(views, answer.origins, strict=True):
            present = statuses.count(_PRESENT)
            self._add(service, view, _PRESENT)(present)
            if present < len(statuses):
                for status in _ABSENT:
                    self._add(service, view, status)(statuses.count(status))
        if nulls:
            self._nulls.labels(service).inc(nulls)

    def predicted(self, model: str, version: int, rows: int, *, kept: bool) -> None:
        """Count the predictions of a version of a model; `kept`: the log has them."""
        self._predictions.labels(model, str(version), "yes" if kept else "no").inc(rows)

    def exposition(self, gauges: Iterable[tuple[str, str, str, dict[str, float]]]) -> bytes:
        """Everything in Prometheus' text form; `gauges` are (name, help, label, values by label) of this instant."""
        registry = self._registry
        if os.environ.get(SHARED_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # as it comes
        present = CollectorRegistry()
        present.register(_Gauges(gauges))
        return generate_latest(registry) + generate_latest(present)


class _Gauges(Collector):
    """Values of this instant."""

    def __init__(self, gauges: Iterable[tuple[str, str, str, dict[str, float]]]) -> None:
        self._gauges = tuple(gauges)

    def collect(self) -> Iterable[Metric]:
        """As Prometheus asks."""
        for name, text, label, values in self._gauges:
            family = GaugeMetricFamily(name, text, labels=[label] if label else [])
            for value_of, value in values.items():
                family.add_metric([value_of] if label else [], value)
            yield family
