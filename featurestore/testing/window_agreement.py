"""The laws of windowed values over random events: any engine agrees with the reference, online with history.

class TestMyEngineAgreesOnWindows(WindowAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[OfflineEngine]: ...
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from featurestore.definitions.functions import result_type
from featurestore.dtypes import List
from featurestore.engines.base import STATUS_SUFFIX, FrameSpine, OfflineEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.errors import InputError
from featurestore.online.base import OnlineStore
from featurestore.online.lookup import Lookup
from featurestore.online.open import open_online_store
from featurestore.online.values import Publication, pack_records
from featurestore.plan.lookup import LookupColumn, LookupPlan, ViewLookup
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Column, Computed, FrameScan, Rows, SourceRows, ViewScan
from featurestore.plan.windows import CurrentWindowsPlan, WindowAggregate, WindowJoin, WindowSteps
from featurestore.testing.agreement import some_keys
from featurestore.testing.engines.suite import read
from featurestore.testing.engines.tables import ViewTable, assert_same, frame_scan, python_list
from featurestore.testing.engines.window_steps import PublishedSteps
from featurestore.testing.window_strategies import WindowCase, history_of, window_cases, window_spines
from featurestore.timeline import Status

REFERENCE = ReferenceEngine()
_SPACE = "law"


def outcome(ask: Callable[[], pa.Table]) -> pa.Table | None:
    """The answer; None when a sum overflows."""
    try:
        return ask()
    except InputError as error:
        if "sum overflows" not in str(error):
            raise
        return None


def assert_agreed(actual: pa.Table | None, expected: pa.Table | None) -> None:
    """Fail unless both overflow, or both are the same to the bit."""
    assert (actual is None) == (expected is None)
    if actual is not None and expected is not None:
        assert_same(actual, expected)


def history(engine: OfflineEngine, spine: pa.Table, *joins: WindowJoin) -> pa.Table | None:
    """The values of the joins at the spine's instants."""
    return outcome(lambda: read(engine.historical(history_of(*joins), FrameSpine(spine))))


def published(
    engine: OfflineEngine,
    steps: WindowSteps,
    at_us: int,
    since_us: int | None = None,
    only: FrameScan | None = None,
) -> PublishedSteps | None:
    """What is published at an instant."""
    found = outcome(lambda: read(engine.current_windows(CurrentWindowsPlan(steps, at_us, since_us, only))))
    return None if found is None else PublishedSteps(found, steps)


@st.composite
def some_senders(draw: st.DrawFn, case: WindowCase) -> FrameScan:
    """Keys that the view has and keys that it may not have; with event ids some of these too."""
    scan = draw(some_keys(case.view.table))
    if case.event_id is None:
        return scan
    table = pa.ipc.open_stream(scan.data).read_all()
    ids = case.view.table.cells[case.event_id]
    sent = pa.array(draw(st.lists(st.sampled_from([*ids.to_pylist(), None]), min_size=len(table), max_size=len(table))))
    return frame_scan(table.append_column(case.event_id, sent.cast(ids.type)))


class OnlineWindows:
    """A case's view in an online store of its own."""

    def __init__(self, engine: OfflineEngine, case: WindowCase, store: OnlineStore) -> None:
        self._engine = engine
        self._case = case
        self._store = store

    def publish(self, rows: Rows, watermark_us: int, since_us: int | None = None) -> bool:
        """Publish the values at a watermark, or only those that changed since another; False when a sum overflows."""
        steps = replace(self._case.steps(rows), watermark_us=watermark_us)
        plan = CurrentWindowsPlan(steps, watermark_us, since_us)
        found = outcome(lambda: read(self._engine.current_windows(plan)))
        if found is None:
            return False
        columns = [Column(each.name, each.dtype) for each in steps.aggregates]
        keys = [Column(key.name, key.dtype) for key in rows.keys]
        records = list(pack_records(found.to_batches(), keys, columns))
        meta = Publication(published_us=watermark_us, version=1, watermark_us=watermark_us).pack()
        if since_us is None:
            self._store.replace(_SPACE, records, meta=meta)
        else:
            self._store.write(_SPACE, records, meta=meta)
        return True

    def answers(self, spine: pa.Table, join: WindowJoin) -> tuple[pa.Table, list[Status], list[int | None]]:
        """Values, statuses and event times of the spine's rows, each asked for at its own instant."""
        lookup = Lookup(_lookup_plan(self._case, join), self._store)
        tables: list[pa.Table] = []
        statuses: list[Status] = []
        times: list[int | None] = []
        names = [name for _, name in join.keys]
        for t, key in zip(python_list(spine.column("t")), spine.select(names).to_pylist(), strict=True):
            assert isinstance(t, int)
            found = lookup.answer([key], at_us=t)
            tables.append(found.to_arrow().select(join.names))
            [(_, [status])] = list(found.statuses.items())[:1]
            statuses.append(Status.PRESENT if status is Status.NULL_VALUE else status)
            instants = pa.array(found.event_timestamps[join.names[0]], pa.timestamp("us", tz="UTC"))
            times.append(instants.cast(pa.int64())[0].as_py())
        return pa.concat_tables(tables), statuses, times


def _lookup_plan(case: WindowCase, join: WindowJoin) -> LookupPlan:
    types = {key.name: key.dtype for key in case.view.table.keys}
    aggregates = join.steps.aggregates
    view = ViewLookup(
        join.label,
        _SPACE,
        keys=tuple((column, types[key]) for key, column in join.keys),
        columns=tuple(LookupColumn(place, each.name, each.dtype) for place, each in enumerate(aggregates)),
        delay_us=join.steps.delay_us,
        ttl_us=join.ttl_us,
        visibility=join.steps.visibility,
        windowed=True,
        every_us=join.steps.every_us,
    )
    return LookupPlan("law", (view,), on_demand=(), request=(), outputs=tuple((a.name, a.dtype) for a in aggregates))


def assert_online_is_history(online: OnlineWindows, join: WindowJoin, spine: pa.Table) -> None:
    """Fail unless lookups give the reference's history: values to the bit, statuses, event times."""
    expected = history(REFERENCE, spine, join)
    if expected is None or not spine.num_rows:
        return
    values, statuses, times = online.answers(spine, join)
    assert_same(values, expected.select(join.names))
    found = [Status(status) for status in expected.column(join.label + STATUS_SUFFIX).to_pylist()]
    assert statuses == found
    v = [join.steps.step_at(t) for t in spine.column("t").cast(pa.int64()).to_pylist()]
    assert times == [None if status is Status.NOT_FOUND else step for status, step in zip(found, v, strict=True)]


def _before(case: WindowCase, end_us: int) -> WindowCase:
    """The case with the events before an instant alone."""
    table = case.view.table
    kept = [place for place, time in enumerate(table.events or ()) if time is not None and time < end_us]
    return replace(case, view=replace(case.view, table=_taken(table, kept)))


def _taken(table: ViewTable, places: list[int]) -> ViewTable:
    cells = {name: cells.take(pa.array(places, pa.int64())) for name, cells in table.cells.items()}
    events, created = ([times[p] for p in places] if times else times for times in (table.events, table.created))
    deleted = [table.deleted[p] for p in places] if table.deleted else table.deleted
    return replace(table, cells=cells, events=events, created=created, deleted=deleted)


class WindowAgreement:
    """Subclass with a fixture `engine` of class scope: the examples share it."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        """The engine under test."""
        raise NotImplementedError(f"{cls.__name__} must have a fixture 'engine'.")

    @given(case=window_cases(), data=st.data())
    def test_windows_from_store_agree(self, engine: OfflineEngine, case: WindowCase, data: st.DataObject) -> None:
        spine = data.draw(window_spines(case), "spine")
        with tempfile.TemporaryDirectory() as folder:
            join = case.join(case.from_store(Path(folder)))
            assert_agreed(history(engine, spine, join), history(REFERENCE, spine, join))

    @given(case=window_cases(holes=True), data=st.data())
    def test_windows_from_source_agree(self, engine: OfflineEngine, case: WindowCase, data: st.DataObject) -> None:
        spine = data.draw(window_spines(case), "spine")
        join = case.join(case.from_source())
        assert_agreed(history(engine, spine, join), history(REFERENCE, spine, join))

    @given(case=window_cases(), data=st.data())
    def test_windows_from_source_and_from_store_are_one(
        self, engine: OfflineEngine, case: WindowCase, data: st.DataObject
    ) -> None:
        spine = data.draw(window_spines(case), "spine")
        with tempfile.TemporaryDirectory() as folder:
            stored = history(engine, spine, case.join(case.from_store(Path(folder))))
        assert_agreed(stored, history(engine, spine, case.join(case.from_source())))

    @given(case=window_cases(committed=True), later=st.sampled_from([0, 0, 1, 3, 8]))
    def test_published_windows_agree(self, engine: OfflineEngine, case: WindowCase, later: int) -> None:
        steps = case.steps(case.from_source())
        assert steps.watermark_us is not None
        at = steps.watermark_us + later
        actual, expected = published(engine, steps, at), published(REFERENCE, steps, at)
        assert (actual is None) == (expected is None)
        if actual is not None and expected is not None:
            assert actual.keys == expected.keys
            for v in range(steps.step_at(at), steps.watermark_us + 2):
                assert [actual.at(key, v) for key in expected.keys] == [expected.at(key, v) for key in expected.keys]

    @given(case=window_cases(committed=True), later=st.sampled_from([0, 0, 1, 8]), data=st.data())
    def test_windows_of_some_keys_agree(
        self, engine: OfflineEngine, case: WindowCase, later: int, data: st.DataObject
    ) -> None:
        steps = case.steps(case.from_source())
        assert steps.watermark_us is not None
        at, only = steps.watermark_us + later, data.draw(some_senders(case), "only")
        actual, expected = (published(each, steps, at, only=only) for each in (engine, REFERENCE))
        assert (actual is None) == (expected is None)
        if actual is not None and expected is not None:
            assert (actual.keys, actual.gone) == (expected.keys, expected.gone)
            for v in range(steps.step_at(at), steps.watermark_us + 2):
                assert [actual.at(key, v) for key in expected.keys] == [expected.at(key, v) for key in expected.keys]

    @given(case=window_cases(committed=True), back=st.integers(0, 12))
    def test_no_changed_key_is_left_unpublished(self, engine: OfflineEngine, case: WindowCase, back: int) -> None:
        steps = case.steps(case.from_source())
        assert steps.watermark_us is not None
        at = steps.watermark_us
        whole, changed = published(REFERENCE, steps, at), published(REFERENCE, steps, at, at - back)
        assume(whole is not None)
        actual = published(engine, steps, at, at - back)
        if whole is None or changed is None or actual is None:
            raise AssertionError("a part overflows, and the whole does not")
        assert changed.keys <= actual.keys <= whole.keys
        for v in range(steps.step_at(at), at + 2):
            assert [actual.at(key, v) for key in actual.keys] == [whole.at(key, v) for key in actual.keys]

    @given(case=window_cases(committed=True), data=st.data())
    def test_online_windows_are_those_of_history(
        self, engine: OfflineEngine, case: WindowCase, data: st.DataObject
    ) -> None:
        assert case.watermark_us is not None
        spine = data.draw(window_spines(case, earliest_us=case.watermark_us), "spine")
        with tempfile.TemporaryDirectory() as folder:
            rows = case.from_store(Path(folder))
            online = OnlineWindows(engine, case, open_online_store("memory://law", Path(folder)))
            if online.publish(rows, case.watermark_us):
                assert_online_is_history(online, case.join(rows), spine)

    @given(case=window_cases(committed=True, sent_again=False), data=st.data())
    def test_online_windows_published_run_by_run_are_those_of_history(
        self, engine: OfflineEngine, case: WindowCase, data: st.DataObject
    ) -> None:
        end = case.watermark_us
        assert end is not None
        lengths = data.draw(st.lists(st.integers(0, 9), max_size=3), "lengths of the runs, the last one first")
        ends = [end - sum(lengths[:place]) for place in range(len(lengths), -1, -1)]
        spine = data.draw(window_spines(case, earliest_us=end), "spine")
        with tempfile.TemporaryDirectory() as folder:
            online = OnlineWindows(engine, case, open_online_store("memory://law", Path(folder)))
            for before, watermark in zip([None, *ends], ends, strict=False):
                committed = _before(case, watermark).from_source()
                assume(online.publish(committed, watermark, before))
            assert_online_is_history(online, case.join(case.from_source()), spine)

    @given(case=window_cases(rows_of_a_view=True))
    def test_the_rows_of_a_view_on_steps_agree(self, engine: OfflineEngine, case: WindowCase) -> None:
        plan = ExtractPlan(_rows_of_steps(case), None, None)
        expected = outcome(lambda: read(REFERENCE.extract(plan)))
        assert_agreed(outcome(lambda: read(engine.extract(plan))), expected)

    @given(case=window_cases(rows_of_a_view=True), data=st.data())
    def test_windows_over_the_steps_of_a_view_agree(
        self, engine: OfflineEngine, case: WindowCase, data: st.DataObject
    ) -> None:
        rows = _rows_of_steps(case)
        every, window = (
            data.draw(st.sampled_from([None, 1, 4]), "every"),
            data.draw(st.sampled_from([6, None]), "window"),
        )
        above = tuple(_over_steps(column, window) for column in rows.columns)
        keys = tuple((key.name, f"v_{key.name}") for key in rows.keys)
        join = WindowJoin("v", WindowSteps(rows, above, every_us=every), keys)
        spine = data.draw(window_spines(case), "spine")
        assert_agreed(history(engine, spine, join), history(REFERENCE, spine, join))


def _over_steps(column: Computed, window_us: int | None) -> WindowAggregate:
    """The last value of a column, whose ties the order of the steps decides; of lists their number."""
    function = "count" if isinstance(column.dtype, List) else "last"
    dtype = result_type(function, column.dtype)
    return WindowAggregate(f"last_{column.name}", dtype, function, column.name, window_us=window_us)


def _rows_of_steps(case: WindowCase) -> SourceRows:
    """The steps of the case as the rows of a view with the same keys, its aggregates as columns."""
    scan = ViewScan("steps", case.steps(case.from_source()))
    keys = tuple(Computed(key.name, key.dtype, key.name) for key in case.view.table.keys)
    columns = tuple(Computed(each.name, each.dtype, each.name) for each in case.aggregates)
    return SourceRows("view", scan, keys, "event_timestamp", None, columns)
