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
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

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


class _Histogram(Histogram):
    """A histogram that takes many observations at once."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        """The same as to observe one after the other."""
        self._sum.inc(sum(seconds))
        for place, count in Counter(bisect_left(self._upper_bounds, one) for one in seconds).items():
            self._buckets[place].inc(count)


class _Rows:
    """The rows that were looked up of some views, by how they were found."""

    __slots__ = ("_all_present", "_others", "nulls")

    def __init__(self, views: Sequence[str]) -> None:
        self._all_present = 0  # rows that every view has
        self._others = [[0] * len(_FOUND) for _ in views]
        self.nulls = 0

    def add(self, answer: OnlineFeatures, nulls: int) -> None:
        """Count the rows of an answer."""
        self.nulls += nulls
        rows = len(answer)
        for statuses, _ in answer.origins:
            if statuses.count(_PRESENT) != rows:
                break
        else:
            self._all_present += rows
            return
        for counts, (statuses, _) in zip(self._others, answer.origins, strict=True):
            counts[:] = [n + statuses.count(status) for n, status in zip(counts, _FOUND, strict=True)]

    def by_view(self) -> Iterator[list[int]]:
        """For each view the number of rows of each status in _FOUND."""
        for present, *absent in self._others:
            yield [self._all_present + present, *absent]


class Metrics:
    """Counts answers, lookups and reads; an Observer of the gate.

    Threads may tell it of reads, lookups and predictions; answers, and all counting, belong to one event loop.

    What happened is noted, and told to Prometheus' counters a tenth of a second later, all at once: each costs as
    much as a lookup.
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
        self._rows_found = metrics.Counter(
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
        self._answers: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)  # by route, service, status
        self._rows: dict[tuple[str, tuple[str, ...]], _Rows] = {}  # by service and views
        self._noting_rows = threading.Lock()
        self._predicted: deque[tuple[str, str, str, int]] = deque()  # model, version, whether logged, rows
        self._read_seconds: deque[float] = deque()
        self.read = self._read_seconds.append  # is told the seconds of each read of the store
        self._is_due = False

    def answered(self, route: Route | None, request: Request, status: int, seconds: float) -> None:
        """As Observer; on the event loop."""
        self._answers[route.path if route else "", request.labels.get("service", ""), status].append(seconds)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_COUNTED_AFTER_SECONDS, self.count)

    def looked_up(self, service: str, views: tuple[str, ...], answer: OnlineFeatures, nulls: int) -> None:
        """Note the rows of an answer, by view and status; `nulls` values of it are null though their row is there."""
        with self._noting_rows:
            rows = self._rows.get((service, views))
            if rows is None:
                rows = self._rows[service, views] = _Rows(views)
            rows.add(answer, nulls)

    def count(self) -> None:
        """Count what was noted; on the event loop."""
        self._is_due = False
        answers, self._answers = self._answers, defaultdict(list)
        for (path, service, status), seconds in answers.items():
            self._seconds.labels(path, service).observe_all(seconds)
            self._requests.labels(path, str(status)).inc(len(seconds))
        with self._noting_rows:
            noted, self._rows = self._rows, {}
        for (service, views), rows in noted.items():
            for view, counts in zip(views, rows.by_view(), strict=True):
                for status, n in zip(_FOUND, counts, strict=True):
                    self._rows_found.labels(service, view, status.name).inc(n)
            self._nulls.labels(service).inc(rows.nulls)
        for _ in range(len(self._predicted)):
            *labels, n = self._predicted.popleft()
            self._predictions.labels(*labels).inc(n)
        if reads := [self._read_seconds.popleft() for _ in range(len(self._read_seconds))]:
            self._reads.observe_all(reads)

    def predicted(self, model: str, version: int, rows: int, *, kept: bool) -> None:
        """Note the predictions of a version of a model; `kept`: the log has them."""
        self._predicted.append((model, str(version), "yes" if kept else "no", rows))

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
