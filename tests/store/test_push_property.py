"""Pushes, runs, backfills, late rows and corrections in any order: history is what the reference engine says of the
rows that were committed and pushed, and lookups are history."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.arrow import ipc_stream
from featurestore.engines.base import FrameSpine
from featurestore.engines.reference import ReferenceEngine
from featurestore.plan.building import ViewInput, build_historical_plan
from featurestore.plan.nodes import FrameScan
from featurestore.plan.selection import select
from featurestore.plan.views import source_rows
from featurestore.store import FeatureStore
from featurestore.testing.engines.tables import assert_same
from featurestore.timeline import instant_us
from tests.store.projects import day, make_project

QUARTER = timedelta(hours=6)  # events, runs and questions lie on its multiples
LOOKBACK = 12  # quarters
LAST = 60
KEYS = ["a", "b", "unknown"]
NAMES = ["view:x", "view:y"]
Row = dict[str, Any]
INSTANT = pl.Datetime("us", "UTC")
SCHEMA: dict[str, Any] = {
    "customer": pl.String, "at": INSTANT, "made": INSTANT, "id": pl.String, "gone": pl.Boolean, "x": pl.Int64,
    "y": pl.Float64,
}  # fmt: skip

SOURCE = """
customer = Entity("customer", join_keys={{"customer": String}})
events = ParquetSource("events", path="data/events.parquet", event_timestamp="at"{source})
view = FeatureView("view", entities=[customer], source=events{rules}, features=[{features}])
"""
ROWS = 'Feature("x", Int64), Feature("y", Float64, expr="y + x")'
WINDOWS = (
    'Aggregation("y", "sum", timedelta(days=3), name="x"), Aggregation("x", "last", None, where="x > 0", name="y")'
)
CREATED = ', created_timestamp="made"'
VIEWS = [
    (CREATED, "", ROWS),
    (CREATED + ', deleted="gone"', ", delay=timedelta(hours=9)", ROWS),
    (CREATED + ', visibility="created"', ", ttl=timedelta(days=3)", ROWS),
    (CREATED + ', event_id="id"', ", every=timedelta(days=1)", WINDOWS),
    (CREATED + ', event_id="id", deleted="gone"', "", WINDOWS),
    (f', lookback=timedelta(hours={6 * LOOKBACK})', "", ROWS),
    (f', event_id="id", lookback=timedelta(hours={6 * LOOKBACK})', ", every=timedelta(hours=7)", WINDOWS),
]  # fmt: skip


@dataclass(slots=True)
class World:
    """What happened so far, as lists: rows of the source, those of them that are committed, rows that were pushed."""

    definitions: str
    source: list[Row] = field(default_factory=list)
    committed: list[Row] = field(default_factory=list)
    pushed: list[Row] = field(default_factory=list)
    watermark: int | None = None
    arrived: int = 0  # rows so far: each is made after those before

    @property
    def by_created(self) -> bool:
        """Whether late rows are told by their created time; else by looking back."""
        return "created_timestamp" in self.definitions

    def commit(self, start: int | None, end: int) -> None:
        """A run up to an end, from a start or from where late rows may lie."""
        if start is None and self.watermark is not None and end <= self.watermark:
            return
        low = start
        if start is None and not self.by_created and self.watermark is not None:
            low = self.watermark - LOOKBACK
        taken = [row for row in self.source if row["at"] < end and (low is None or row["at"] >= low)]
        kept = [] if low is None else [row for row in self.committed if not low <= row["at"] < end]
        self.committed = kept + taken
        self.watermark = end if self.watermark is None else max(end, self.watermark)


def quarter(number: int) -> datetime:
    """An instant since January 1."""
    return day(1) + number * QUARTER


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows with their instants."""
    return pl.DataFrame(
        [{**row, "at": quarter(row["at"]), "made": quarter(row["made"])} for row in rows], schema=SCHEMA
    )


ROW = st.fixed_dictionaries({
    "customer": st.sampled_from(["a", "a", "b"]),
    "at": st.integers(0, LAST - 10),
    "id": st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    "gone": st.sampled_from([False, False, False, True, None]),
    "x": st.sampled_from([0, 1, 2, None]),
    "y": st.sampled_from([0.1, 1e16, -1e16, -0.0, None]),
})  # fmt: skip
ACTS = st.one_of(
    st.tuples(st.just("arrive"), st.lists(ROW, min_size=1, max_size=4)),
    st.tuples(st.just("push"), st.lists(ROW, min_size=1, max_size=3)),
    st.tuples(st.just("push again"), st.integers(0, 5)),
    st.tuples(st.just("run"), st.integers(1, 20)),
    st.tuples(st.just("backfill"), st.tuples(st.integers(0, LAST), st.integers(1, 20))),
    st.tuples(st.just("lose"), st.integers(0, 9)),
)


@contextmanager
def opened(world: World) -> Iterator[FeatureStore]:
    """A new store, its definitions applied, its source holding the world's rows."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_project(Path(folder), world.definitions, events=frame(world.source))
        with store:
            store.apply()
            yield store


def act(store: FeatureStore, world: World, kind: str, what: Any) -> None:
    """Do one thing to the store and to the world."""
    match kind:
        case "arrive":
            for row in what:
                world.arrived += 1
                world.source.append({**row, "made": LAST + world.arrived})
        case "lose" if not world.by_created and world.watermark is not None and len(world.source) > 1:
            border = world.watermark - LOOKBACK
            found = [row for row in world.source if row["at"] >= border]
            world.source = [row for row in world.source if row not in found[what : what + 1]] or world.source
        case "push":
            rows = [{**row, "made": LAST + (world.arrived + row["at"]) % 7} for row in what]
            store.push("view", frame(rows))
            world.pushed += [row for row in rows if row not in world.pushed]
        case "push again" if world.pushed:
            store.push("view", frame(world.pushed[what : what + 2]))
        case "run":
            end = min((world.watermark or 0) + what, LAST)
            store.materialize(end=quarter(end))
            world.commit(None, end)
        case "backfill" if world.watermark is not None:
            start, length = what
            start = min(start, world.watermark)
            store.materialize(start=quarter(start), end=quarter(start + length))
            world.commit(start, start + length)
    frame(world.source).write_parquet(store.root / "data" / "events.parquet")


def spine(instants: list[int]) -> pa.Table:
    """Every key at every instant, key by key."""
    rows = [(key, quarter(instant)) for key in KEYS for instant in instants]
    return pl.DataFrame(rows, orient="row", schema={"customer": pl.String, "event_timestamp": INSTANT}).to_arrow()


def expected(store: FeatureStore, world: World, asked: pa.Table) -> pa.Table:
    """What the reference engine says of the rows that are committed and then of those that were pushed."""
    catalog = store.catalog()
    view = catalog.views["view"]
    scan = FrameScan("events", ipc_stream(frame(world.committed + world.pushed).to_arrow()))
    rows = replace(source_rows(view, ""), scan=scan)
    watermark = None if world.watermark is None else instant_us(quarter(world.watermark), "W")
    plan = build_historical_plan(
        select(NAMES, catalog), catalog, {"view": ViewInput(rows, watermark)}, "event_timestamp"
    )
    with ReferenceEngine().historical(plan, FrameSpine(asked)) as reader:
        found = reader.read_all()
    return found.select(["x", "y"])


def check(store: FeatureStore, world: World) -> None:
    """History is what the reference says, and lookups are history."""
    windowed = "Aggregation" in world.definitions
    if world.watermark is None and (windowed or not world.pushed):
        return  # nothing answers yet
    instants = list(range(0, LAST + 20, 3))
    asked = spine(instants)
    training = store.get_historical_features(asked, NAMES, statuses=True).to_arrow()
    assert_same(training.select(["x", "y"]), expected(store, world, asked))
    for place, instant in enumerate(instants):
        if instant < (world.watermark or 0):
            continue
        found = store.get_online_features(NAMES, [{"customer": key} for key in KEYS], at=quarter(instant))
        rows = training.take(pa.array([place + key * len(instants) for key in range(len(KEYS))]))
        assert_same(found.to_arrow().select(["x", "y"]), rows.select(["x", "y"]))
        for name, statuses in found.statuses.items():
            assert [status.name for status in statuses] == rows.column(f"{name}__status").to_pylist()


@pytest.mark.filterwarnings("ignore::featurestore.retrieval.OutOfRangeWarning")
@settings(max_examples=max(12, settings.default.max_examples // 4))  # type: ignore[union-attr]  # a profile is loaded
@given(view=st.sampled_from(VIEWS), first=st.lists(ROW, min_size=1, max_size=5), acts=st.lists(ACTS, max_size=9))
def test_any_order_of_pushes_runs_and_late_rows(
    view: tuple[str, str, str], first: list[Row], acts: list[tuple[str, Any]]
) -> None:
    source, rules, features = view
    world = World(SOURCE.format(source=source, rules=rules, features=features))
    world.source = [{**row, "made": LAST} for row in first]
    with opened(world) as store:
        for kind, what in [*acts, ("run", LAST)]:
            act(store, world, kind, what)
            check(store, world)
        asked = spine(list(range(0, LAST, 3)))
        stored, again = (
            store.get_historical_features(asked, NAMES, from_source=source).to_arrow() for source in (False, True)
        )
        if world.by_created or len(world.committed) == len(world.source):
            assert_same(again, stored)
