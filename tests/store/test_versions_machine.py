"""Applies, runs, rollbacks and switches in any order: what answers is what serves, online, in history and elsewhere."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from featurestore.errors import InputError, MaterializationError
from tests.store.projects import PURCHASES, day, define, make_project, open_project, purchases

FACTORS = st.integers(1, 3)
VIEWS = st.sampled_from(["last", "totals"])
SPINE = pl.DataFrame({"customer": ["b"], "event_timestamp": [day(6)]})  # items 3, amount 5.0


def definitions(last: int, totals: int) -> str:
    """Two views that one service reads; the factors are what they mean."""
    head = PURCHASES.replace('Feature("items", Int64)', f'Feature("items", Int64, expr="items * {last}")')
    return f"""{head.replace("    ttl=timedelta(days=10)," + chr(10), "")}
totals = FeatureView("totals", entities=[customer], source=purchases,
    features=[Feature("total", Float64, expr="amount * {totals}")])
both = FeatureService("both", features=[last, totals])
"""


class Versions(RuleBasedStateMachine):
    """One process that works, and one that reads."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.store = make_project(root, definitions(1, 1), purchases=purchases())
        self.reader = open_project(root)
        self.factors: dict[tuple[str, int], int] = {}
        self.held: set[str] = set()
        self.end = day(12)
        self.apply(1, 1)
        self.run()

    @rule(last=FACTORS, totals=FACTORS)
    def apply(self, last: int, totals: int) -> None:
        before = self.store.catalog().versions
        define(self.store.root, definitions(last, totals))
        self.store.apply()
        for view, version in self.store.catalog().versions.items():
            if before.get(view) != version:
                self.factors[view, version] = {"last": last, "totals": totals}[view]
                self.held.discard(view)

    @rule()
    @precondition(lambda self: self.end < day(28))
    def run(self) -> None:
        self.end += timedelta(days=1)
        self.store.materialize(end=self.end)
        versions, serving = self.store.catalog().versions, self.store.serving().versions
        assert {view for view in versions if versions[view] != serving[view]} <= self.held

    @rule(view=VIEWS)
    def run_one(self, view: str) -> None:
        self.store.materialize(end=self.end, views=[view])

    @rule(view=VIEWS)
    def rollback(self, view: str) -> None:
        before = self.store.serving().versions[view]
        with suppress(InputError):  # nothing served before
            self.store.rollback(view, reason="try the one before")
            assert self.store.serving().versions[view] < before
            self.held.add(view)

    @rule(view=VIEWS)
    def switch(self, view: str) -> None:
        with suppress(InputError, MaterializationError):  # it serves already, or is not built
            self.store.switch(view, reason="on again")
            assert self.store.serving().versions[view] == self.store.catalog().versions[view]
            self.held.discard(view)

    @invariant()
    def what_answers_is_what_serves(self) -> None:
        serving = self.store.serving().versions
        expected = [3 * self.factors["last", serving["last"]], 5.0 * self.factors["totals", serving["totals"]]]
        for store in (self.store, self.reader):
            found = store.get_online_features("both", [{"customer": "b"}], at=day(28)).to_dict()
            assert [found["items"][0], found["total"][0]] == expected
        history = self.reader.get_historical_features(SPINE, "both").to_polars()
        assert [history["items"][0], history["total"][0]] == expected

    def teardown(self) -> None:
        self.store.close()
        self.reader.close()
        self.folder.cleanup()


TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=max(5, settings().max_examples // 50), stateful_step_count=12)
