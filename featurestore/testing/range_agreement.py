"""The laws of ranges over random views: engines agree with the reference, and at every instant with history.

class TestMyEngineAgreesOnRanges(RangeAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[OfflineEngine]: ...
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from featurestore.engines.base import STATUS_SUFFIX, FrameSpine, OfflineEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.nodes import Column, Computed, Rows
from featurestore.plan.ranges import VALID_FROM, VALID_TO, RangePlan
from featurestore.plan.windows import WindowJoin
from featurestore.testing.engines.suite import read
from featurestore.testing.engines.tables import ViewTable, assert_same, bits, instants, python_list
from featurestore.testing.strategies import ViewCase, edge_instants, view_cases
from featurestore.testing.window_agreement import assert_agreed, outcome
from featurestore.testing.window_strategies import WindowCase, window_cases
from featurestore.timeline import Status

REFERENCE = ReferenceEngine()
Answer = tuple[object, ...]  # the bits of a join's columns


def key_rows(table: ViewTable, join: PointInTimeJoin | WindowJoin, rows: Sequence[int]) -> dict[str, pa.Array]:
    """The keys of some rows of a table under the names that the join looks them up by."""
    named = dict(join.keys)
    return {named[key.name]: table.cells[key.name].take(pa.array(rows, pa.int64())) for key in table.keys}


def _rows_of(table: pa.Table, names: Sequence[str]) -> list[Answer]:
    """The bits of some columns, row by row."""
    columns = [[bits(value) for value in python_list(table.column(name))] for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


class Steps:
    """The answer to a range, asked instant by instant."""

    def __init__(self, found: pa.Table, join: PointInTimeJoin | WindowJoin) -> None:
        keys: tuple[Column | Computed, ...] = join.rows.keys
        self.keys = _rows_of(found, [key.name for key in keys])
        self.values = _rows_of(found, join.names)
        self.begins = found.column(VALID_FROM).cast(pa.int64()).to_pylist()
        self.ends = found.column(VALID_TO).cast(pa.int64()).to_pylist()

    def at(self, key: Answer, t: int) -> Answer | None:
        """The values of a key at an instant; None where no step is. Two steps at one instant fail."""
        found = [
            self.values[place]
            for place in range(len(self.begins))
            if self.keys[place] == key
            and self.begins[place] <= t
            and (self.ends[place] is None or t < self.ends[place])
        ]
        assert len(found) <= 1
        return found[0] if found else None


def assert_range_is_history(plan: RangePlan, found: pa.Table, table: ViewTable, times: Sequence[int]) -> None:
    """Fail unless at every one of the times each key's step is what the join answers there."""
    join = plan.join
    rows = [row for row in range(max(table.size, 0 if table.keys else 1)) for _ in times]
    keys = key_rows(table, join, rows)
    spine = pa.table({**keys, "t": instants(list(times) * (len(rows) // max(len(times), 1)))})
    history = read(REFERENCE.historical(HistoricalPlan("law", "t", (join,), (), (), ()), FrameSpine(spine)))
    statuses = history.column(join.label + STATUS_SUFFIX).to_pylist()
    asked, answers = _rows_of(spine, list(keys)), _rows_of(history, join.names)
    steps = Steps(found, join)
    for place, status in enumerate(statuses):
        t = spine.column("t").cast(pa.int64())[place].as_py()
        expected = answers[place] if status == Status.PRESENT else None
        assert (t, steps.at(asked[place], t)) == (t, expected)


class RangeAgreement:
    """Subclass with a fixture `engine` of class scope: the examples share it."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        """The engine under test."""
        raise NotImplementedError(f"{cls.__name__} must have a fixture 'engine'.")

    @given(case=view_cases(holes=True, timeless=None), data=st.data())
    def test_ranges_of_rows_are_history(self, engine: OfflineEngine, case: ViewCase, data: st.DataObject) -> None:
        edges = sorted({0, *edge_instants(case), *(edge + 1 for edge in edge_instants(case))})
        start, end = sorted(data.draw(st.lists(st.sampled_from([*edges, 9]), min_size=2, max_size=2, unique=True)))
        plan = RangePlan(case.join(case.from_source(), "v"), start, end)
        found = read(engine.in_range(plan))
        assert_same(found, read(REFERENCE.in_range(plan)))
        assert_range_is_history(plan, found, case.table, [t for t in (*edges, end - 1) if start <= t < end])

    @given(case=view_cases(timeless=None), data=st.data())
    def test_ranges_from_store_are_those_from_source(
        self, engine: OfflineEngine, case: ViewCase, data: st.DataObject
    ) -> None:
        start = data.draw(st.sampled_from([0, *edge_instants(case)]))
        with tempfile.TemporaryDirectory() as folder:
            stored = RangePlan(case.join(case.from_store(Path(folder)), "v"), start, start + 5)
            found = read(engine.in_range(stored))
        assert_same(found, read(engine.in_range(RangePlan(case.join(case.from_source(), "v"), start, start + 5))))

    @given(case=view_cases(timeless=None), data=st.data())
    def test_a_range_of_some_entities_is_their_part_of_the_whole(
        self, engine: OfflineEngine, case: ViewCase, data: st.DataObject
    ) -> None:
        plan = RangePlan(case.join(case.from_source(), "v"), -3, 7)
        places = st.lists(st.integers(0, case.table.size - 1), max_size=3) if case.table.size else st.just([])
        assume(case.table.keys)
        chosen = pa.table(key_rows(case.table, plan.join, data.draw(places)))
        found = read(engine.in_range(plan, chosen))
        assert_same(found, read(REFERENCE.in_range(plan, chosen)))
        wanted = set(_rows_of(chosen, chosen.column_names))
        whole = read(engine.in_range(plan))
        keys = _rows_of(whole, [key.name for key in case.table.keys])
        assert_same(found, whole.filter(pa.array([key in wanted for key in keys], pa.bool_())))

    @given(case=window_cases(holes=True), data=st.data())
    def test_ranges_of_windows_are_history(self, engine: OfflineEngine, case: WindowCase, data: st.DataObject) -> None:
        self._check_windows(engine, case, case.from_source(), data)

    @given(case=window_cases(committed=True), data=st.data())
    def test_ranges_of_stored_windows_are_history(
        self, engine: OfflineEngine, case: WindowCase, data: st.DataObject
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._check_windows(engine, case, case.from_store(Path(folder)), data)

    def _check_windows(self, engine: OfflineEngine, case: WindowCase, rows: Rows, data: st.DataObject) -> None:
        offsets = data.draw(st.lists(st.integers(-8, 36), min_size=2, max_size=2, unique=True), "range")
        start, end = (case.origin_us + offset for offset in sorted(offsets))
        plan = RangePlan(case.join(rows), start, end)
        expected = outcome(lambda: read(REFERENCE.in_range(plan)))
        found = outcome(lambda: read(engine.in_range(plan)))
        assert_agreed(found, expected)
        if found is not None:
            assert_range_is_history(plan, found, case.view.table, range(start, end))
