"""Everything that changes history, in random order, against a dictionary: push, materialize, late rows, corrections,
deletions, backfill, a new version, rollback. After each step online and history say what the dictionary says.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from featurestore.store import FeatureStore
from tests.store.projects import NOW, define, make_project

CUSTOMERS = ("a", "b")
FIRST = datetime(2024, 2, 1, tzinfo=UTC)
DAYS = 24  # the machine's time: February 1 to 24; the clock stands at March 1
TTL = timedelta(days=10)
WINDOW = timedelta(days=3)
DEFINITIONS = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource(
    "purchases", path="data/purchases.parquet", event_timestamp="at", created_timestamp="seen", event_id="id",
    deleted="gone",
)
last = FeatureView(
    "last", entities=[customer], source=purchases, ttl=timedelta(days=10),
    features=[Feature("amount", Float64, expr="amount * SCALE")],
)
spent = FeatureView(
    "spent", entities=[customer], source=purchases, every=timedelta(days=1),
    features=[
        Aggregation("amount", "sum", timedelta(days=3), name="spent_3d"),
        Aggregation("*", "count", None, name="bought"),
    ],
)
buyer = FeatureService("buyer", features=[last, spent])
"""
SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "customer": pl.String, "at": pl.Datetime("us", "UTC"), "seen": pl.Datetime("us", "UTC"), "id": pl.String,
    "gone": pl.Boolean, "amount": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the source has it, or as it was pushed; `number` counts all rows: the later, the later created."""

    customer: str
    hour: int
    gone: bool
    amount: float | None
    number: int
    pushed: bool = False

    @property
    def at(self) -> datetime:
        """When it happened."""
        return FIRST + timedelta(hours=self.hour)

    def cells(self) -> tuple[object, ...]:
        """The row in the source's columns."""
        identity = f"{self.customer}-{self.hour}"
        return self.customer, self.at, FIRST + timedelta(seconds=self.number), identity, self.gone, self.amount


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a frame in the source's columns."""
    return pl.DataFrame([row.cells() for row in rows], schema=SCHEMA, orient="row")


def days(number: int) -> datetime:
    """The beginning of a day of the machine's time."""
    return FIRST + timedelta(days=number)


@dataclass(slots=True)
class Kept:
    """What one table has committed: source rows, pushed rows, and up to which day."""

    rows: set[Row] = field(default_factory=set)
    pushed: set[Row] = field(default_factory=set)
    until: int | None = None

    def run(self, source: set[Row], pushed: set[Row], end: int, start: int | None = None) -> None:
        """A materialization: without start whatever lies before the end, late rows too; else the interval anew.

        Whatever was ever pushed is there afterwards.
        """
        self.pushed |= pushed
        if start is None:
            if self.until is None or end > self.until:
                self.rows = {row for row in source if row.at < days(end)}
        else:
            inside = {row for row in source if days(start) <= row.at < days(end)}
            self.rows = {row for row in self.rows if not days(start) <= row.at < days(end)} | inside
        self.until = end if self.until is None else max(self.until, end)


def in_force(rows: Iterable[Row]) -> dict[int, Row]:
    """Of rows of one customer by hour the one that counts: the latest created, unless that one cancels it."""
    newest: dict[int, Row] = {}
    for row in rows:
        if row.hour not in newest or row.number > newest[row.hour].number:
            newest[row.hour] = row
    return {hour: row for hour, row in newest.items() if not row.gone}


Answer = tuple[object, str, object, object, str]  # amount and its status, spent_3d, bought, and its status


class Machine(RuleBasedStateMachine):
    """A store, and a dictionary that says what it must answer."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="machine-"))
        self.source: set[Row] = set()
        self.pushed: set[Row] = set()
        self.count = 0
        self.scale = self.serving = 1
        self.earlier: list[int] = []
        self.held = False
        self.last: dict[int, Kept] = {1: Kept()}
        self.spent = Kept()
        self.store: FeatureStore

    @initialize(hours=st.lists(st.integers(0, 24 * DAYS - 1), min_size=1, max_size=4), end=st.integers(1, DAYS))
    def begin(self, hours: list[int], end: int) -> None:
        for hour in hours:
            self.source.add(self._row("a", hour, gone=False))
        self.store = make_project(self.root, DEFINITIONS.replace("SCALE", "1"), purchases=frame(self.source))
        self.store.apply()
        self._materialize(end)

    def _row(self, customer: str, hour: int, *, gone: bool, pushed: bool = False) -> Row:
        self.count += 1
        return Row(customer, hour, gone, None if gone else float(self.count), self.count, pushed)

    def _write(self) -> None:
        rows = sorted(self.source, key=lambda row: row.number)
        frame(rows).write_parquet(self.root / "data" / "purchases.parquet")

    def _live(self) -> list[Kept]:
        return [self.last[scale] for scale in sorted({self.scale, self.serving})] + [self.spent]

    def _materialize(self, end: int, start: int | None = None) -> None:
        self.store.materialize(days(end), None if start is None else days(start))
        for kept in self._live():
            kept.run(self.source, self.pushed, end, start)
        if self.serving != self.scale and not self.held and self._may_switch():
            self.earlier.append(self.serving)
            self.serving = self.scale

    def _may_switch(self) -> bool:
        """The new version reaches as far as the old one; it has all that was pushed."""
        new, old = self.last[self.scale], self.last[self.serving]
        assert new.until is not None
        assert old.until is not None
        return new.until >= old.until and bool(new.rows or new.pushed or not old.rows)

    @rule(customer=st.sampled_from(CUSTOMERS), hour=st.integers(0, 24 * DAYS - 1), gone=st.booleans())
    def arrive(self, customer: str, hour: int, gone: bool) -> None:
        self.source.add(self._row(customer, hour, gone=gone))
        self._write()

    @rule(data=st.data())
    def correct(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.source | self.pushed, key=lambda row: row.number)))
        self.source.add(self._row(row.customer, row.hour, gone=data.draw(st.booleans())))
        self._write()

    @rule(end=st.integers(1, DAYS))
    def materialize(self, end: int) -> None:
        self._materialize(end)

    @rule(ends=st.tuples(st.integers(0, DAYS), st.integers(1, DAYS)))
    def backfill(self, ends: tuple[int, int]) -> None:
        start, end = ends
        known = [kept.until for kept in self._live()]
        if start < end and all(until is not None and start <= until for until in known):
            self._materialize(end, start)

    @rule(
        rows=st.lists(
            st.tuples(st.sampled_from(CUSTOMERS), st.integers(0, 24 * DAYS - 1), st.booleans()), min_size=1, max_size=3
        ),
        twice=st.booleans(),
    )
    def push(self, rows: list[tuple[str, int, bool]], twice: bool) -> None:
        made = [self._row(customer, hour, gone=gone, pushed=True) for customer, hour, gone in rows]
        for _ in range(1 + twice):
            self.store.push("purchases", frame(made))
        self.pushed.update(made)
        for kept in self._live():
            kept.pushed |= self.pushed

    @rule()
    def change(self) -> None:
        self.scale = max(self.last) + 1
        self.last[self.scale] = Kept()
        self.held = False
        define(self.root, DEFINITIONS.replace("SCALE", str(self.scale)))
        self.store.apply()

    @precondition(lambda self: self.earlier and self.serving == self.scale)
    @rule()
    def roll_back(self) -> None:
        self.store.rollback("last", reason="the machine says so")
        self.serving = self.earlier.pop()
        self.held = True

    @invariant()
    def answers_are_those_of_the_dictionary(self) -> None:
        asked = [(customer, days(number)) for customer in CUSTOMERS for number in (1, 4, 9, 15, 20, DAYS)]
        asked += [(customer, NOW) for customer in CUSTOMERS]
        spine = pl.DataFrame(
            asked, schema={"customer": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}, orient="row"
        )
        history = self.store.get_historical_features(spine, "buyer", statuses=True).to_polars()
        columns = ("amount", "amount__status", "spent_3d", "bought", "bought__status")
        expected = [self._expected(customer, at) for customer, at in asked]
        assert history.select(columns).rows() == expected
        online = self.store.get_online_features("buyer", [{"customer": customer} for customer in CUSTOMERS])
        values, statuses = online.to_dict(), online.statuses
        assert [
            (
                values["amount"][i],
                statuses["amount"][i].name,
                values["spent_3d"][i],
                values["bought"][i],
                statuses["bought"][i].name,
            )
            for i in range(len(CUSTOMERS))
        ] == expected[-len(CUSTOMERS) :]

    def _expected(self, customer: str, at: datetime) -> Answer:
        mine = {
            row
            for row in self.last[self.serving].rows | self.last[self.serving].pushed
            if row.customer == customer and row.at <= at
        }
        steps = in_force(mine)
        amount, status = None, "NOT_FOUND"
        if steps:
            newest = steps[max(steps)]
            status = "PRESENT" if at - newest.at <= TTL else "OUTSIDE_MAX_AGE"
            assert newest.amount is not None
            amount = newest.amount * self.serving if status == "PRESENT" else None
        return amount, status, *self._spent(customer, at)

    def _spent(self, customer: str, at: datetime) -> tuple[object, object, str]:
        until = self.spent.until
        assert until is not None
        v = min(at, days(until)).replace(hour=0)
        rows = {row for row in self.spent.rows | self.spent.pushed if row.customer == customer and row.at < days(until)}
        events = [row for row in in_force(rows).values() if row.at < v]
        if not events:
            return None, None, "NOT_FOUND"
        inside = [row.amount for row in events if v - WINDOW <= row.at and row.amount is not None]
        return sum(inside) if inside else None, len(events), "PRESENT"

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.root)


TestMachine = Machine.TestCase
TestMachine.settings = settings(settings.default, max_examples=8, stateful_step_count=12)


@pytest.mark.soak
def test_the_machine_for_long() -> None:
    run_state_machine_as_test(Machine, settings=settings(settings.default, max_examples=400, stateful_step_count=30))
