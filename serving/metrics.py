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

With several workers each writes to files of its own under PROMETHEUS_MULTIPROC_DIR, and whoever is asked adds them up:
of the others what is a tenth of a second old.
"""

from __future__ import annotations

import asyncio
import os
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram, generate_latest, metrics
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
_COUNTED_AFTER_SECONDS = 0.1
_PRESENT = Status.PRESENT
_ABSENT = (Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE)
_FOUND = (_PRESENT, *_ABSENT)
Noted = TypeVar("Noted")


class _Histogram(Histogram):
    """A histogram that takes many observations at once."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        """The same as to observe one after the other."""
        self._sum.inc(sum(seconds))
        for place, count in Counter(bisect_left(self._upper_bounds, one) for one in seconds).items():
            self._buckets[place].inc(count)


class Metrics:
    """Counts answers, lookups and reads; an Observer of the gate. Safe for threads.

    What happened is only noted, and counted a tenth of a second later all at once: to count costs more than to look up.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._seconds = _Histogram(
            "featurestore_request_seconds", "From a request's head to its answer.", ["route", "service"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._requests = metrics.Counter(
            "featurestore_requests", "Answers by HTTP status.", ["route", "status"], registry=registry
        )
        self._rows = metrics.Counter(
            "featurestore_rows", "Rows looked up, by how they were found.", ["service", "view", "status"],
            registry=registry,
        )  # fmt: skip
        self._nulls = metrics.Counter(
            "featurestore_null_values",
            "Values that are null though their row is there.",
            ["service"],
            registry=registry,
        )
        self._predictions = metrics.Counter(
            "featurestore_predictions", "Predictions, and whether the log keeps them.", ["model", "version", "logged"],
            registry=registry,
        )  # fmt: skip
        self._reads = _Histogram(
            "featurestore_store_read_seconds", "Reads of the online store.", buckets=_BUCKETS, registry=registry
        )
        self._answers: deque[tuple[str, str, int, float]] = deque()
        self._lookups: deque[tuple[str, tuple[str, ...], list[Sequence[Status]], int]] = deque()
        self._read_seconds: deque[float] = deque()
        self.read = self._read_seconds.append  # is told the seconds of each read of the store
        self._counting = threading.Lock()
        self._is_due = False

    def answered(self, route: Route | None, request: Request, status: int, seconds: float) -> None:
        """As Observer; on the event loop."""
        self._answers.append((route.path if route else "", request.labels.get("service", ""), status, seconds))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_COUNTED_AFTER_SECONDS, self.count)

    def looked_up(self, service: str, views: tuple[str, ...], answer: OnlineFeatures, nulls: int) -> None:
        """Note the rows of an answer, by view and status; `nulls` values of it are null though their row is there."""
        self._lookups.append((service, views, [statuses for statuses, _ in answer.origins], nulls))

    def count(self) -> None:
        """Count what was noted."""
        self._is_due = False
        with self._counting:
            seconds: dict[tuple[str, str, int], list[float]] = {}
            for path, service, status, taken in _emptied(self._answers):
                seconds.setdefault((path, service, status), []).append(taken)
            for (path, service, status), taken_each in seconds.items():
                self._seconds.labels(path, service).observe_all(taken_each)
                self._requests.labels(path, str(status)).inc(len(taken_each))
            self._count_rows()
            if reads := _emptied(self._read_seconds):
                self._reads.observe_all(reads)

    def _count_rows(self) -> None:
        rows: dict[tuple[str, tuple[str, ...]], list[list[int]]] = {}
        nulls: Counter[str] = Counter()
        for service, views, found, absent in _emptied(self._lookups):
            nulls[service] += absent
            counts = rows.get((service, views))
            if counts is None:
                counts = rows[service, views] = [[0] * len(_FOUND) for _ in views]
            for of_view, statuses in zip(counts, found, strict=True):
                present = statuses.count(_PRESENT)
                of_view[0] += present
                if present < len(statuses):
                    of_view[1:] = [n + statuses.count(status) for n, status in zip(of_view[1:], _ABSENT, strict=True)]
        for (service, views), counts in rows.items():
            for view, of_view in zip(views, counts, strict=True):
                for status, n in zip(_FOUND, of_view, strict=True):
                    self._rows.labels(service, view, status.name).inc(n)
        for service, count in nulls.items():
            self._nulls.labels(service).inc(count)

    def predicted(self, model: str, version: int, rows: int, *, kept: bool) -> None:
        """Count the predictions of a version of a model; `kept`: the log has them."""
        self._predictions.labels(model, str(version), "yes" if kept else "no").inc(rows)

    def exposition(self, gauges: Iterable[tuple[str, str, str, dict[str, float]]]) -> bytes:
        """Everything in Prometheus' text form; `gauges` are (name, help, label, values by label) of this instant."""
        self.count()
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


def _emptied(noted: deque[Noted]) -> list[Noted]:
    """What was noted until now, taken out; others may go on noting."""
    return [noted.popleft() for _ in range(len(noted))]
