"""Windowed views by the public API: any split of history into runs gives one answer, stored, from source and online."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.store import FeatureStore
from featurestore.testing.engines.tables import assert_same
from tests.store.lookups import LookUp, looked_up
from tests.store.projects import day, make_project

QUARTER = timedelta(hours=6)  # events, runs and questions lie on its multiples, so that they meet all the time
KEYS = ["a", "b", "c", "unknown"]

VIEW = """
customer = Entity("customer", join_keys={{"customer": String}})
events = ParquetSource("events", path="data/events.parquet", event_timestamp="at"{source})
view = FeatureView("view", entities=[customer], source=events{rules}, features=[{features}])
"""
FEATURES = [
    'Aggregation("amount", "sum", timedelta(days=3))',
    'Aggregation("amount", "mean", None)',
    'Aggregation("*", "count", timedelta(hours=30), where="items > 1", name="many")',
    'Aggregation("items", "sum", timedelta(days=2), offset=timedelta(days=1))',
    'Aggregation("amount", "last", timedelta(days=9))',
    'Aggregation("amount", "percentile", timedelta(days=5), params={"p": 0.3}, name="low")',
    'Aggregation("amount * items", "var_pop", timedelta(days=4), name="spread")',
    'Aggregation("items", "last_n", None, params={"n": 3})',
    'Aggregation("*", "ratio", timedelta(days=7), where="amount > 0", params={"of": "items > 0"}, name="share")',
    'Aggregation("amount", "max", timedelta(days=1), params={"series": 3}, name="maxima")',
]
SOURCES = [
    "",
    ', created_timestamp="made"',
    ', created_timestamp="made", visibility="created"',
    ', created_timestamp="made", event_id="id"',
    ', created_timestamp="made", event_id="id", deleted="gone"',
]
RULES = [
    "",
    ", every=timedelta(days=1)",
    ", every=timedelta(hours=7)",
    ", every=timedelta(days=1), delay=timedelta(hours=36), ttl=timedelta(days=2)",
]


@dataclass(frozen=True, slots=True)
class Project:
    """Definitions and events of a project, and the runs that materialize it: the ends of each, and how long chunks are.

    `start` None: the first run takes all events. All are multiples of QUARTER since January 1.
    """

    definitions: str
    events: pl.DataFrame
    ends: tuple[int, ...]
    start: int | None
    chunk_days: int


def quarter(number: int) -> datetime:
    """An instant since January 1."""
    return day(1) + number * QUARTER


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """One source of some events of three keys, one of them most often; one windowed view."""
    features = draw(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True))
    definitions = VIEW.format(
        source=draw(st.sampled_from(SOURCES)), rules=draw(st.sampled_from(RULES)), features=", ".join(features)
    )
    event = st.fixed_dictionaries({
        "customer": st.sampled_from(["a", "a", "a", "b", "c"]),
        "at": st.integers(0, 80).map(quarter),
        "made": st.none() | st.integers(0, 100).map(quarter),
        "id": st.none() | st.integers(0, 12),
        "gone": st.sampled_from([False, False, None, True]),
        "amount": st.sampled_from([0.1, 0.2, 0.3, 1e16, -1e16, -0.0, math.nan, None]),
        "items": st.sampled_from([0, 1, 2, 3, None]),
    })  # fmt: skip
    moments = {"at": pl.Datetime("us", "UTC"), "made": pl.Datetime("us", "UTC")}
    events = pl.DataFrame(
        draw(st.lists(event, min_size=1, max_size=25)),
        schema={
            "customer": pl.String,
            **moments,
            "id": pl.Int64,
            "gone": pl.Boolean,
            "amount": pl.Float64,
            "items": pl.Int64,
        },
    )
    ends = sorted(draw(st.sets(st.integers(20, 110), min_size=1, max_size=4)))
    return Project(
        definitions,
        events,
        ends=tuple(ends),
        start=draw(st.none() | st.integers(0, ends[0] - 1)),
        chunk_days=draw(st.sampled_from([3, 10, 90])),
    )


@contextmanager
def opened(project: Project) -> Iterator[FeatureStore]:
    """A new store of the project, its definitions applied."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_project(Path(folder), project.definitions, events=project.events)
        with store:
            store.apply()
            yield store


def materialize(store: FeatureStore, project: Project, end: int, start: int | None) -> None:
    store.materialize(
        end=quarter(end),
        start=None if start is None else quarter(start),
        step=timedelta(days=project.chunk_days),
    )


def names(store: FeatureStore) -> list[str]:
    return [f"view:{feature.name}" for feature in store.catalog().views["view"].outputs]


def history(store: FeatureStore, instants: list[int], from_source: bool = False) -> pa.Table:
    """The answers for all keys at all instants, with statuses."""
    spine = pl.DataFrame(
        {
            "customer": [key for key in KEYS for _ in instants],
            "event_timestamp": [quarter(instant) for _ in KEYS for instant in instants],
        }
    )
    found = store.get_historical_features(spine, names(store), from_source=from_source, statuses=True)
    return found.to_arrow().drop_columns(spine.columns)


def assert_online_is_history(store: FeatureStore, instants: list[int], look_up: LookUp = looked_up) -> None:
    expected = history(store, instants)
    for place, instant in enumerate(instants):
        found = look_up(store, names(store), [{"customer": key} for key in KEYS], quarter(instant))
        rows = expected.take(pa.array([place + key * len(instants) for key in range(len(KEYS))]))
        assert_same(found, rows.select(found.column_names))


@pytest.mark.filterwarnings("ignore::featurestore.retrieval.OutOfRangeWarning")
@settings(max_examples=max(5, settings.default.max_examples // 25))  # type: ignore[union-attr]  # a profile is loaded
@given(project=projects())
def test_any_split_into_runs_gives_one_answer(project: Project) -> None:
    last = project.ends[-1]
    instants = list(range(project.start or 0, last + 12, 3))
    with opened(project) as whole:
        materialize(whole, project, last, project.start)
        expected = history(whole, instants)
        assert_same(history(whole, instants, from_source=True), expected)
        assert_online_is_history(whole, [last, last + 1, last + 7])
    with opened(project) as split:
        for run, end in enumerate(project.ends):
            materialize(split, project, end, project.start if run == 0 else None)
            assert_online_is_history(split, [end, end + 7])
        assert_same(history(split, instants), expected)
        assert_same(history(split, instants, from_source=True), expected)
