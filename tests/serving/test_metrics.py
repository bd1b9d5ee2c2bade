"""What Prometheus is told of the example shop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from featurestore.store import FeatureStore
from tests.serving.servers import Asker, serving, shop
from tests.store.projects import PURCHASES

Labels = frozenset[tuple[str, str]]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[FeatureStore]:
    with shop(tmp_path) as store:
        yield store


def _samples(ask: Asker) -> dict[tuple[str, Labels], float]:
    told = ask("GET", "/metrics")
    assert told.status_code == 200
    families = text_string_to_metric_families(told.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def _of(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_answers_lookups_and_reads_are_counted(asked: FeatureStore) -> None:
    ask = serving(asked)
    rows = [{"customer": name} for name in ("a", "b", "nobody")]
    ask.features(service="buyer", entities=rows, request=[{"price": 1.0}] * 3)
    ask.features(features=["last:items"], entities=rows[:1])
    ask.features(service="nobody", entities=[])
    told = _samples(ask)
    route = "/v1/features"
    assert _of(told, "featurestore_requests_total", route=route, status="200") == 2
    assert _of(told, "featurestore_requests_total", route=route, status="404") == 1
    assert _of(told, "featurestore_request_seconds_count", route=route, service="buyer") == 1
    assert _of(told, "featurestore_request_seconds_count", route=route, service="") == 2
    found = {"service": "buyer", "view": "last"}
    assert _of(told, "featurestore_rows_total", status="PRESENT", **found) == 0
    assert _of(told, "featurestore_rows_total", status="OUTSIDE_MAX_AGE", **found) == 2
    assert _of(told, "featurestore_rows_total", status="NOT_FOUND", **found) == 1
    assert _of(told, "featurestore_null_values_total", service="buyer") == 3, "relative, for each customer"
    assert _of(told, "featurestore_store_read_seconds_count") == 2
    assert _of(told, "featurestore_freshness_lag_seconds", view="last") == 0
    assert _of(told, "featurestore_faulty_services") == 0


def test_an_unknown_path_makes_no_label_of_its_own(asked: FeatureStore) -> None:
    ask = serving(asked)
    for number in range(3):
        ask("GET", f"/{number}")
    assert _of(_samples(ask), "featurestore_requests_total", route="", status="404") == 3


def test_rows_that_are_present_are_counted_alone_and_beside_others(tmp_path: Path) -> None:
    with shop(tmp_path, PURCHASES.replace("ttl=timedelta(days=10),", "")) as store:
        ask = serving(store)
        for names in (("a", "b"), ("a", "nobody", "b"), ("b",)):
            ask.features(features=["last:items"], entities=[{"customer": name} for name in names])
        told = _samples(ask)
    found = {"service": "", "view": "last"}
    assert _of(told, "featurestore_rows_total", status="PRESENT", **found) == 5
    assert _of(told, "featurestore_rows_total", status="NOT_FOUND", **found) == 1
    assert _of(told, "featurestore_rows_total", status="OUTSIDE_MAX_AGE", **found) == 0
