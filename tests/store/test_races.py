"""Several processes write at the same time: nothing is lost, nothing counts twice, online equals history."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from featurestore.store import FeatureStore
from tests.store.projects import day, define, make_project, open_project

DEFINITIONS = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource(
    "purchases", path="data/purchases.parquet", event_timestamp="at", created_timestamp="seen", event_id="id"
)
last = FeatureView("last", entities=[customer], source=purchases, features=[Feature("amount", Int64)])
spent = FeatureView(
    "spent", entities=[customer], source=purchases, every=timedelta(days=1),
    features=[Aggregation("amount", "sum", None, name="total"), Aggregation("*", "count", None, name="bought")],
)
buyer = FeatureService("buyer", features=[last, spent])
"""
CUSTOMERS = [f"c{number}" for number in range(5)]
PUSHER = """
import sys
from pathlib import Path
from tests.store.projects import open_project
from tests.store.test_races import rows

root, first, many = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with open_project(root) as store:
    sys.stdin.readline()
    for number in range(first, first + many):
        store.push("purchases", rows(range(number, number + 2)))  # half of each was in the one before
"""
MATERIALIZER = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.store.projects import day, open_project

root, views, rounds = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
with open_project(root) as store:
    sys.stdin.readline()
    for number in range(rounds):
        store.materialize(end=day(6 + number), views=views)
        store.materialize(start=day(1), end=day(4), views=views)
"""


def rows(numbers: range) -> pl.DataFrame:
    """One purchase per number: an hour, an amount and an id of its own, customers in turn."""
    return pl.DataFrame({"number": numbers}).select(
        customer=pl.format("c{}", pl.col("number") % len(CUSTOMERS)),
        at=pl.lit(day(1)) + pl.duration(hours=pl.col("number")),
        seen=pl.lit(day(1)) + pl.duration(hours=pl.col("number")),
        id=pl.format("p{}", pl.col("number")),
        amount=pl.col("number").cast(pl.Int64),
    )


def started(root: Path, script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that is ready to write, and waits for a line."""
    command = [sys.executable, "-c", script, str(root), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_together(processes: list[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert (process.returncode, errors) == (0, "")
    finally:
        for process in processes:
            process.kill()


def check(store: FeatureStore, numbers: set[int]) -> None:
    """History and online say what the rows of these numbers say."""
    mine = {customer: [n for n in numbers if n % len(CUSTOMERS) == k] for k, customer in enumerate(CUSTOMERS)}
    expected = [(max(of), sum(of), len(of)) for of in mine.values()]
    spine = pl.DataFrame({"customer": CUSTOMERS, "event_timestamp": [day(31)] * len(CUSTOMERS)})
    history = store.get_historical_features(spine, "buyer").to_polars()
    assert history.select("amount", "total", "bought").rows() == expected
    found = store.get_online_features("buyer", [{"customer": customer} for customer in CUSTOMERS]).to_dict()
    assert list(zip(found["amount"], found["total"], found["bought"], strict=True)) == expected
    assert all(status.in_step for status in store.status())


def race(root: Path, many: int, rounds: int) -> None:
    """Two processes push overlapping rows while a third materializes and backfills both views."""
    store = make_project(root, DEFINITIONS, purchases=rows(range(100)))
    store.apply()
    store.materialize(end=day(5))
    store.close()
    run_together(
        [
            started(root, PUSHER, 200, many),
            started(root, PUSHER, 200 + many // 2, many),
            started(root, MATERIALIZER, "last,spent", rounds),
        ]
    )
    numbers = {*range(100), *range(200, 200 + many // 2 + many + 1)}
    with open_project(root) as again:
        again.materialize(end=day(31))
        check(again, numbers)
        new = DEFINITIONS.replace('Feature("amount", Int64)', 'Feature("amount", Int64, expr="amount + 0")')
        define(root, new)
        again.apply()
        again.materialize(end=day(31))
        assert again.serving().versions["last"] == 2
        check(again, numbers)
        assert {status.rows for status in again.status()} == {len(numbers)}


def test_two_pushing_processes_and_a_materializing_one_lose_nothing(tmp_path: Path) -> None:
    race(tmp_path, 6, 2)


@pytest.mark.soak
def test_the_race_for_long(tmp_path: Path) -> None:
    race(tmp_path, 150, 24)


def test_views_are_materialized_side_by_side(tmp_path: Path) -> None:
    store = make_project(tmp_path, DEFINITIONS, purchases=rows(range(200)))
    store.apply()
    store.close()
    run_together([started(tmp_path, MATERIALIZER, view, 2) for view in ("last", "spent")])
    with open_project(tmp_path) as again:
        assert {status.watermark_us for status in again.status()} == {1_704_585_600_000_000}  # January 7
        again.materialize(end=day(31))
        check(again, set(range(200)))
