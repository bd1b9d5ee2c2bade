"""The law of a feature store: what is looked up online is what history says, for any view, type and instant."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurestore.store import FeatureStore
from featurestore.testing.engines.tables import (
    array,
    assert_same,
    corrected_table,
    instants,
    marked_table,
    source_columns,
)
from featurestore.testing.strategies import ViewCase, edge_instants, values, view_cases
from featurestore.timeline import to_datetime
from tests.store.lookups import LookUp, looked_up
from tests.store.projects import make_project

FEATURES = ["view:*"]
CENTURY = timedelta(days=36_500)  # a commit on each side of 1970
BEFORE_ALL_US, AFTER_ALL_US = -(10**16), 10**15 + 10  # of the events that the strategies make


@dataclass(frozen=True, slots=True)
class Run:
    """One call of `materialize`."""

    end_us: int
    start_us: int | None

    def of(self, store: FeatureStore) -> None:
        """Make the call."""
        start = None if self.start_us is None else to_datetime(self.start_us)
        store.materialize(end=to_datetime(self.end_us), start=start, step=CENTURY)


@dataclass(frozen=True, slots=True)
class Story:
    """A view, the runs that fill it, and the keys that are asked for."""

    view: ViewCase
    runs: tuple[Run, ...]
    keys: pa.Table

    @property
    def start_us(self) -> int:
        """What is committed begins here."""
        return min((BEFORE_ALL_US if run.start_us is None else run.start_us) for run in self.runs[:1] + self.backfills)

    @property
    def backfills(self) -> tuple[Run, ...]:
        """The runs after the first that have a start of their own."""
        return tuple(run for run in self.runs[1:] if run.start_us is not None)

    @property
    def watermark_us(self) -> int:
        """What is committed ends here."""
        return max(run.end_us for run in self.runs)

    @property
    def edges_us(self) -> list[int]:
        """Every instant at which an answer may change, with those next to it and those of the runs."""
        ends = (self.watermark_us - 1, self.watermark_us, self.watermark_us + 1, AFTER_ALL_US)
        return sorted({*edge_instants(self.view), *ends})

    @property
    def entities(self) -> list[dict[str, object]]:
        """The keys as lookups take them."""
        names = [key.name for key in self.view.table.keys]
        rows: list[dict[str, object]] = self.keys.select(names).to_pylist() if names else [{}]
        return rows

    def spine(self, at: list[int]) -> pa.Table:
        """Every key at each of the instants, instant by instant."""
        size = self.keys.num_rows
        rows = pa.array([row for _ in at for row in range(size)], pa.int64())
        columns = dict(zip(self.keys.column_names, self.keys.take(rows), strict=True))
        return pa.table({**columns, "t": instants([time for time in at for _ in range(size)])})


@st.composite
def stories(draw: st.DrawFn, marked: bool = False) -> Story:
    """Views of any type, filled in one run or several: forward, again, from a start, further back.

    `marked`: rows may be markers in each.
    """
    view = draw(view_cases(timeless=False if marked else None).filter(lambda case: case.table.size > 0))
    view = replace(view, ttl_us=view.ttl_us or None)
    if marked:
        marks = st.lists(st.sampled_from([False, None, True]), min_size=view.table.size, max_size=view.table.size)
        view = replace(view, table=replace(view.table, deleted=draw(marks)))
    table = view.table
    borders = [time + offset for time in table.events or [0] if time is not None for offset in (0, 1, 2)]
    cuts = sorted(draw(st.sets(st.sampled_from([*borders, AFTER_ALL_US]), min_size=1, max_size=3)))
    start = st.one_of(st.none(), st.none(), st.sampled_from(borders))
    runs: list[Run] = []
    for end in cuts:
        begin = draw(start)
        reached = runs[-1].end_us if runs else end - 1
        runs.append(Run(end, None if begin is None or table.events is None else min(begin, reached, end - 1)))
    keys = {}
    for key in table.keys:
        unknown = draw(values(key.dtype))
        keys[key.name] = pa.concat_arrays([table.cells[key.name], array([unknown, None], key.dtype)])
    if not keys:
        keys["row"] = pa.array([0])
    return Story(view, tuple(runs), pa.table(keys))


def definitions(view: ViewCase) -> str:
    """The view as a person would declare it."""
    table = view.table
    keys = ", ".join(f"{key.name!r}: parse({str(key.dtype)!r})" for key in table.keys)
    times = "timeless=True" if table.events is None else 'event_timestamp="happened"'
    times += "" if table.created is None else f', created_timestamp="recorded", visibility="{view.visibility}"'
    times += "" if table.deleted is None else ', deleted="removed"'
    rules = f"delay=timedelta(microseconds={view.delay_us}), " if view.delay_us else ""
    rules += f"ttl=timedelta(microseconds={view.ttl_us})," if view.ttl_us else ""
    features = ", ".join(f"Feature({column.name!r}, parse({str(column.dtype)!r}))" for column in table.columns)
    return f"""
from featurestore.dtypes import parse
entities = [Entity("thing", join_keys={{{keys}}})] if {bool(keys)} else []
rows = ParquetSource("rows", path="data/rows.parquet", {times})
view = FeatureView("view", entities=entities, source=rows, {rules} features=[{features}])
"""


def history(store: FeatureStore, spine: pa.Table, *, from_source: bool = False) -> pa.Table:
    """The features and statuses of history."""
    training = store.get_historical_features(spine, FEATURES, timestamp="t", from_source=from_source, statuses=True)
    return training.to_arrow().drop_columns(spine.column_names)


def write_rows(folder: Path, view: ViewCase, count: int | None = None) -> None:
    """Let the view's source hold its first rows, or all."""
    (folder / "data").mkdir(exist_ok=True)
    pq.write_table(pa.table(source_columns(view.table)).slice(0, count), folder / "data" / "rows.parquet")


def assert_lookups_equal_history(store: FeatureStore, story: Story, look_up: LookUp = looked_up) -> None:
    """Fail unless what is looked up from the last run's end on is what history says."""
    later = [at for at in story.edges_us if at >= story.watermark_us]
    found = pa.concat_tables([look_up(store, FEATURES, story.entities, to_datetime(at)) for at in later])
    assert_same(found, history(store, story.spine(later)))


CORRECTED = corrected_table(("a", 1, 6, 10), ("a", 2, 9, 20), ("a", 2, 4, 21), ("a", 2, 9, 22), ("b", 3, None, 30))
MARKED = marked_table(
    ("a", 1, 1, 10),
    ("a", 2, 3, 20),
    ("a", 2, 7),
    ("a", 3, 4, 30),
    ("a", 3, 6),
    ("b", 1, 2, 5),
    ("b", 1, 8),
    ("b", 1, 9, 6),
)
DELETIONS = Story(  # rows are cancelled, and one comes back, after they were published
    ViewCase(MARKED, delay_us=1, ttl_us=6, visibility="created"),
    (Run(2, None), Run(4, None), Run(3, 1)),
    pa.table({"k": ["a", "b", "c"]}),
)
CORRECTIONS = Story(  # rows become known one after the other, after they were published
    ViewCase(CORRECTED, delay_us=2, ttl_us=6, visibility="created"),
    (Run(2, None), Run(4, None), Run(3, 1)),
    pa.table({"k": ["a", "b", "c"]}),
)


ARRIVING = Story(  # markers of published rows arrive, one of a key's only row, before the second run
    ViewCase(
        marked_table(("a", 1, 1, 10), ("a", 2, 2, 20), ("b", 1, 1, 5), ("a", 2, 6), ("b", 1, 7)), visibility="created"
    ),
    (Run(4, None), Run(5, 1)),
    pa.table({"k": ["a", "b", "c"]}),
)


@example(story=DELETIONS)
@example(story=replace(DELETIONS, view=replace(DELETIONS.view, visibility="event")))
@example(story=CORRECTIONS)
@given(story=stories())
def test_lookups_equal_history_and_history_equals_the_source(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder, make_project(Path(folder), definitions(story.view)) as store:
        write_rows(Path(folder), story.view)
        store.apply()
        for run in story.runs:
            run.of(store)
        assert_lookups_equal_history(store, story)
        within = [at for at in story.edges_us if story.start_us <= at < story.watermark_us]
        spine = story.spine(within)
        assert_same(history(store, spine), history(store, spine, from_source=True))


@example(story=ARRIVING, counts=[3, 5])
@example(story=replace(ARRIVING, view=replace(ARRIVING.view, visibility="event")), counts=[3, 5])
@settings(max_examples=max(10, settings.default.max_examples // 2))  # type: ignore[union-attr]  # a profile is loaded
@given(story=stories(marked=True), counts=st.lists(st.integers(1, 8), min_size=3, max_size=3).map(sorted))
def test_lookups_equal_history_while_rows_and_their_markers_arrive(story: Story, counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, make_project(Path(folder), definitions(story.view)) as store:
        for place, count in enumerate(counts[: len(story.runs)]):
            write_rows(Path(folder), story.view, count)
            store.apply()
            story.runs[place].of(store)
            assert_lookups_equal_history(store, replace(story, runs=story.runs[: place + 1]))
