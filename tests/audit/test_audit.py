"""Served vectors against history: all equal on a healthy store, and every tampering found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from typer.testing import CliRunner

from featurestore.audit.report import AuditReport, FeatureAudit
from featurestore.cli.app import app
from featurestore.dtypes import String
from featurestore.errors import UnknownNameError
from featurestore.online.base import STAMP_SIZE
from featurestore.online.keys import key_encoder
from featurestore.online.values import unpack_record
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, Clock, day, define, make_clocked, open_project, purchases

WINDOWS = """
totals = FeatureView(
    "totals", entities=[customer], every=timedelta(days=1), source=purchases,
    features=[Aggregation("items", "sum", window=timedelta(days=30), name="bought")],
)
rate = FeatureView(
    "rate", entities=[], source=ParquetSource("rates", path="data/rates.parquet", timeless=True),
    features=[Feature("percent", Decimal(5, 2))],
)
mixed = FeatureService("mixed", features=[totals, rate, last.with_join_keys(customer="payer"), ratio])
"""
Served = tuple[FeatureStore, Clock]
RATES = pl.DataFrame({"percent": [pl.Series(["1.50"]).cast(pl.Decimal(5, 2))[0]]})


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A store that logs everything, filled up to January 6."""
    monkeypatch.setenv("FEATURESTORE_AUDIT__SAMPLE", "1")
    head = "from featurestore.dtypes import Decimal\n"
    store, clock = make_clocked(tmp_path, head + PURCHASES + WINDOWS, purchases=purchases(), rates=RATES)
    clock.at = day(7)
    store.materialize(end=day(6))
    yield store, clock
    store.close()


def key(customer: str) -> bytes:
    encoded = key_encoder((("customer", String),))([customer])
    assert encoded is not None
    return encoded


def record_of(store: FeatureStore, customer: str) -> tuple[bytes, list[list[Any]]]:
    """The stamp and the steps of what is published of a customer's last purchase."""
    [(_, [record])] = store.online.read([(space_of(store), [key(customer)])])
    assert record is not None
    return record[:STAMP_SIZE], unpack_record(record)


def space_of(store: FeatureStore) -> str:
    return store.lookup_plan("buyer").views[0].namespace


def tamper(store: FeatureStore, **records: tuple[bytes, list[list[Any]]] | None) -> None:
    """Put other records of customers into the online store; None deletes."""
    items = [
        (key(customer), None if record is None else record[0] + msgspec.msgpack.encode(record[1]))
        for customer, record in records.items()
    ]
    store.online.write(space_of(store), items, compare=False)


def flush(store: FeatureStore) -> None:
    assert store.served is not None
    store.served.flush()


def ask(store: FeatureStore, service: str = "mixed", at: datetime | None = None) -> None:
    entities = [{"customer": key, "payer": other} for key, other in (("a", "b"), ("b", "c"), ("c", "a"))]
    store.get_online_features(service, entities, [{"price": 1.0}, {"price": None}, {"price": 3.0}], at)


def feature(report: AuditReport, name: str) -> FeatureAudit:
    return next(found for found in report.features if found.feature == name)


def test_a_healthy_store_has_no_difference_through_publishes_and_late_looks(
    served: Served,
) -> None:
    store, clock = served
    ask(store)
    clock.at = day(20)
    ask(store)
    ask(store, "buyer")
    ask(store, at=day(9))
    store.materialize(end=day(12))
    ask(store)
    ask(store, at=day(29))
    report = store.audit("mixed")
    assert (report.vectors, report.audited, report.differences, report.unauditable) == (15, 15, 0, ())
    assert {f.feature: f.equal for f in report.features} == dict.fromkeys(
        ("bought", "percent", "payer__amount", "payer__items", "relative"), 15
    )


def test_lateness_is_the_distance_to_history_as_known_now(served: Served) -> None:
    store, clock = served
    ask(store)  # at January 7: what is known up to January 6
    clock.at = day(20)
    corrected = pl.concat([purchases(), purchases()[:1].with_columns(at=day(6, 12), items=pl.lit(7, pl.Int64))])
    corrected.write_parquet(store.root / "data" / "purchases.parquet")
    store.materialize(end=day(12))
    report = store.audit("mixed")
    assert report.differences == 0
    late = {found.feature: found for found in report.lateness}
    assert (late["bought"].cells, late["bought"].changed, late["bought"].max_distance) == (3, 1, 7.0)  # a: 1, now 8
    assert (late["payer__items"].changed, late["payer__items"].mean_distance) == (1, 6.0)  # a: 1, now 7
    assert late["percent"].differences == 0
    assert report.lateness[0].feature == "bought"


def test_a_record_that_was_tampered_with_is_named_with_its_cell(served: Served) -> None:
    store, _ = served
    stamp, steps = record_of(store, "a")
    steps[-1][2] += 0.5  # the amount
    tamper(store, a=(stamp, steps), b=None, c=(stamp, steps))
    store.get_online_features("buyer", [{"customer": key} for key in "abc"], [{"price": 1.0}] * 3)
    report = store.audit("buyer")
    amount = feature(report, "amount")
    assert (amount.equal, amount.different, amount.missing, amount.extra) == (0, 1, 1, 1)
    assert amount.max_distance == 0.5
    assert [(e.kind, e.entity["customer"]) for e in amount.examples][-1] == ("different", "a")
    assert {(e.kind, e.entity["customer"]) for e in amount.examples} == {
        ("different", "a"), ("missing", "b"), ("extra", "c"),
    }  # fmt: skip
    worst = amount.examples[-1]
    assert (worst.served.value, worst.history.value, worst.distance) == (2.5, 2.0, 0.5)
    assert (feature(report, "items").different, feature(report, "items").missing) == (0, 1)
    assert feature(report, "relative").differences == 3
    assert report.features[0].differences == 3


def test_an_event_time_that_was_tampered_with_is_a_difference(served: Served) -> None:
    store, _ = served
    stamp, steps = record_of(store, "a")
    steps[-1][0] -= 1
    tamper(store, a=(stamp, steps))
    store.get_online_features("buyer", [{"customer": "a"}], [{"price": 1.0}])
    [example] = feature(store.audit("buyer"), "items").examples
    assert (example.kind, example.served.value, example.distance) == ("different", 1, 0.0)
    assert (example.served.event_us or 0) + 1 == example.history.event_us


def test_a_view_that_means_something_else_by_now_is_audited_as_it_was(served: Served) -> None:
    store, clock = served
    ask(store, "buyer")
    changed = PURCHASES.replace("timedelta(days=10)", "timedelta(days=1)").replace(
        'Feature("items", Int64)', 'Feature("items", Int64, expr="items * 100")'
    )
    define(store.root, changed)
    store.apply()
    clock.at = day(20)
    store.materialize(end=day(12))
    ask(store, "buyer")
    report = store.audit("buyer")
    assert (report.audited, report.differences) == (6, 0)
    definitions = store.root / "data" / "audit" / "definitions"
    assert len(list(definitions.iterdir())) == 2


def test_vectors_whose_table_version_was_swept_are_not_called_equal(served: Served) -> None:
    store, clock = served
    ask(store, "buyer")
    clock.at = day(20)
    table = store.pins("buyer").views["last"].table
    store.materialize(start=day(1), end=day(12))
    ask(store, "buyer")
    newest = store.tables.snapshot(table)
    assert newest is not None
    for file in (store.tables.directory / table).glob("*.parquet"):
        if str(file) not in newest.files:
            file.unlink()
    report = store.audit("buyer")
    assert (report.vectors, report.audited, report.differences) == (6, 3, 0)
    [gone] = report.unauditable
    assert gone.vectors == 3
    assert f"Version 0 of offline table '{table}' is gone" in gone.reason


def test_bounds_choose_by_when_it_was_served(served: Served) -> None:
    store, clock = served
    ask(store, "buyer")
    clock.at = day(9)
    ask(store, "buyer")
    assert store.audit("buyer", since=day(7)).vectors == 6
    assert store.audit("buyer", since=day(8)).vectors == 3
    assert store.audit("buyer", until=day(9)).vectors == 3
    assert store.audit("buyer", since=day(8), until=day(9)).vectors == 0


def test_a_service_that_nobody_knows_is_refused(served: Served) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no service 'buyr'. Available: buyer"):
        served[0].audit("buyr")


class TestCommand:
    def run(self, root: Path, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--project", str(root), "audit", *arguments])
        return result.exit_code, result.stdout

    def test_it_ends_with_0_when_all_is_equal_and_with_1_when_not(self, served: Served) -> None:
        store, _ = served
        ask(store, "buyer")
        flush(store)
        code, told = self.run(store.root, "buyer")
        assert code == 0
        assert "3 of 3 vectors of 'buyer' audited: all cells are equal." in told
        tamper(store, a=None)
        ask(store, "buyer")
        flush(store)
        code, told = self.run(store.root, "buyer")
        assert code == 1
        assert "3 cells differ" in told
        code, document = self.run(store.root, "buyer", "--json")
        assert code == 1
        found = json.loads(document)
        assert (found["differences"], found["features"][0]["missing"]) == (3, 1)
        assert found["features"][0]["examples"][0]["entity"] == {"customer": "a"}

    def test_it_says_that_nothing_is_sampled(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FEATURESTORE_AUDIT__SAMPLE")
        code, told = self.run(served[0].root, "buyer")
        assert code == 0
        assert "No vector of 'buyer' is in the log. Nothing is sampled" in told


def test_another_process_audits_what_this_one_served(served: Served) -> None:
    store, _ = served
    ask(store, "buyer")
    store.close()
    assert open_project(store.root).audit("buyer").audited == 3
