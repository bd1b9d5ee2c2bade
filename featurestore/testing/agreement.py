"""The laws of engines over random tables: any engine agrees with the reference, bit for bit, type for type.

class TestMyEngineAgrees(EngineAgreement):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[OfflineEngine]: ...
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.dtypes import DType
from featurestore.engines.base import FrameSpine, OfflineEngine
from featurestore.engines.reference import ReferenceEngine
from featurestore.errors import SourceError
from featurestore.plan.historical import HistoricalPlan
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import FrameScan
from featurestore.testing.engines.suite import read
from featurestore.testing.engines.tables import (
    ViewTable,
    array,
    assert_same,
    frame_scan,
    instants,
    python_list,
    source_rows,
    stored_rows,
    view_table,
)
from featurestore.testing.strategies import (
    RetrievalCase,
    ViewCase,
    edge_instants,
    retrieval_cases,
    source_columns_of_any_type,
    values,
    view_cases,
)
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

REFERENCE = ReferenceEngine()


def assert_history_agrees(engine: OfflineEngine, plan: HistoricalPlan, spine: pa.Table) -> None:
    """Fail unless the engine and the reference give the same history."""
    asked = FrameSpine(spine)
    assert_same(read(engine.historical(plan, asked)), read(REFERENCE.historical(plan, asked)))


def assert_extraction_agrees(engine: OfflineEngine, plan: ExtractPlan) -> None:
    """Fail unless the engine and the reference extract the same rows; sequences need only order them alike."""
    assert_same(_ranked(read(engine.extract(plan))), _ranked(read(REFERENCE.extract(plan))))


def assert_current_agrees(engine: OfflineEngine, plan: CurrentPlan) -> None:
    """Fail unless the engine and the reference publish the same rows."""
    assert_same(read(engine.current(plan)), read(REFERENCE.current(plan)))


def _ranked(table: pa.Table) -> pa.Table:
    sequence = table.column(SEQUENCE).to_pylist()
    rank = {value: place for place, value in enumerate(sorted(sequence))}
    place = table.column_names.index(SEQUENCE)
    return table.set_column(place, SEQUENCE, pa.array([rank[value] for value in sequence], table.column(SEQUENCE).type))


def _table_of(view: ViewTable, rows: pa.Table) -> ViewTable:
    """The view with other rows, given in canonical columns."""
    cells = {name: rows.column(name).combine_chunks() for name in view.cells}
    events, created = (rows.column(name).cast(pa.int64()).to_pylist() for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP))
    deleted = None if view.deleted is None else rows.column(DELETED).to_pylist()
    return replace(view, cells=cells, events=events, created=None if view.created is None else created, deleted=deleted)


def taken(view: ViewTable, rows: list[int]) -> ViewTable:
    """Some rows of the view, in that order, perhaps more than once."""
    cells = {name: column.take(pa.array(rows, pa.int64())) for name, column in view.cells.items()}
    times = [None if each is None else [each[row] for row in rows] for each in (view.events, view.created)]
    deleted = None if view.deleted is None else [view.deleted[row] for row in rows]
    return replace(view, cells=cells, events=times[0], created=times[1], deleted=deleted)


@st.composite
def some_keys(draw: st.DrawFn, view: ViewTable) -> FrameScan:
    """Keys that the view has and keys that it may not have, beside a column that is none."""
    size = draw(st.integers(0, 3))
    columns: dict[str, pa.Array] = {"else": pa.nulls(size, pa.int64())}
    for key in view.keys:
        known = [value for value in python_list(pa.chunked_array([view.cells[key.name]])) if value is not None]
        found = st.one_of(st.sampled_from(known), values(key.dtype)) if known else values(key.dtype)
        columns[key.name] = array(draw(st.lists(found, min_size=size, max_size=size)), key.dtype)
    return frame_scan(columns)


def _every_key_at(view: ViewTable, times: list[int]) -> pa.Table:
    """A spine that asks for the key of every row at every instant."""
    rows = pa.array([row for row in range(view.size) for _ in times], pa.int64())
    keys = {f"v_{key.name}": view.cells[key.name].take(rows) for key in view.keys}
    return pa.table({**keys, "t": instants(times * view.size)})


class EngineAgreement:
    """Subclass with a fixture `engine` of class scope: the examples share it."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> OfflineEngine:
        """The engine under test."""
        raise NotImplementedError(f"{cls.__name__} must have a fixture 'engine'.")

    @given(case=retrieval_cases())
    def test_history_from_store_agrees(self, engine: OfflineEngine, case: RetrievalCase) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert_history_agrees(engine, case.plan_from_store(Path(folder)), case.spine)

    @given(case=retrieval_cases(holes=True))
    def test_history_from_source_agrees(self, engine: OfflineEngine, case: RetrievalCase) -> None:
        assert_history_agrees(engine, case.plan_from_source(), case.spine)

    @given(case=retrieval_cases(most_views=1), start=st.integers(-3, 7))
    def test_history_from_a_start_agrees(self, engine: OfflineEngine, case: RetrievalCase, start: int) -> None:
        views = tuple(view if view.table.events is None else replace(view, start_us=start) for view in case.views)
        assert_history_agrees(engine, replace(case, views=views).plan_from_source(), case.spine)

    @given(case=retrieval_cases())
    def test_history_from_source_and_from_store_is_one(self, engine: OfflineEngine, case: RetrievalCase) -> None:
        spine = FrameSpine(case.spine)
        with tempfile.TemporaryDirectory() as folder:
            stored = read(engine.historical(case.plan_from_store(Path(folder)), spine))
        assert_same(stored, read(engine.historical(case.plan_from_source(), spine)))

    @given(case=retrieval_cases(most_views=1), start=st.none() | st.integers(-3, 7), data=st.data())
    def test_history_from_source_beside_pushed_rows_agrees(
        self, engine: OfflineEngine, case: RetrievalCase, start: int | None, data: st.DataObject
    ) -> None:
        views = tuple(view for view in case.views if view.table.events is not None)
        with tempfile.TemporaryDirectory() as folder:
            joins = []
            for place, view in enumerate(views):
                pushed = data.draw(st.sets(st.sampled_from(range(view.table.size)))) if view.table.size else set()
                source = [row for row in range(view.table.size) if row not in pushed]
                stored = stored_rows(
                    taken(view.table, sorted(pushed)), Path(folder) / str(place), view.rows_per_file, FIRST_PUSHED
                )
                rows = replace(source_rows(taken(view.table, source)), start_us=start, pushed=stored)
                joins.append(view.join(rows, f"v{place}"))
            assert_history_agrees(engine, HistoricalPlan("law", "t", tuple(joins), (), (), ()), case.spine)

    @given(case=view_cases(holes=True), bounds=st.tuples(*[st.one_of(st.none(), st.integers(-3, 7))] * 2))
    def test_extraction_agrees(
        self, engine: OfflineEngine, case: ViewCase, bounds: tuple[int | None, int | None]
    ) -> None:
        for in_force in (False, True):
            assert_extraction_agrees(engine, ExtractPlan(case.from_source(), *bounds, in_force_at_start=in_force))

    @given(case=view_cases(timeless=None), data=st.data())
    def test_current_rows_agree(self, engine: OfflineEngine, case: ViewCase, data: st.DataObject) -> None:
        edges = st.sampled_from([*edge_instants(case), 0])
        at, since = data.draw(edges, "at"), data.draw(st.one_of(st.none(), edges), "changed since")
        with tempfile.TemporaryDirectory() as folder:
            rows = case.from_store(Path(folder))
            since = None if rows.timeless else since
            only = None if rows.timeless else data.draw(st.none() | some_keys(case.table), "only")
            assert_current_agrees(engine, CurrentPlan(rows, at, case.delay_us, case.visibility, since, only))

    @given(case=view_cases(holes=True), data=st.data())
    def test_what_stands_nowhere_else_agrees(self, engine: OfflineEngine, case: ViewCase, data: st.DataObject) -> None:
        size = case.table.size
        there = data.draw(st.lists(st.sampled_from(range(size)), max_size=size) if size else st.just([]), "there")
        created = data.draw(st.none() | st.integers(-2, 5), "created after")
        rows = case.from_source()
        with tempfile.TemporaryDirectory() as folder:
            excluding = replace(case, table=taken(case.table, there)).from_store(Path(folder))
            plan = ExtractPlan(rows, None, None, created_after_us=created, excluding=excluding)
            assert_extraction_agrees(engine, plan)

    @given(case=view_cases(), data=st.data())
    def test_what_is_published_answers_as_history_does(
        self, engine: OfflineEngine, case: ViewCase, data: st.DataObject
    ) -> None:
        """The current rows alone give every later answer: what the online store rests on."""
        edges = [*edge_instants(case), 0]
        at = data.draw(st.sampled_from(edges), "published at")
        later = [edge for edge in edges if edge >= at]
        with tempfile.TemporaryDirectory() as folder:
            whole = case.from_store(Path(folder) / "whole")
            kept = read(engine.current(CurrentPlan(whole, at, case.delay_us, case.visibility)))
            published = replace(case, table=_table_of(case.table, kept)).from_store(Path(folder) / "published")
            spine = FrameSpine(_every_key_at(case.table, later))
            plans = [HistoricalPlan("law", "t", (case.join(rows, "v"),), (), (), ()) for rows in (whole, published)]
            assert_same(*(read(engine.historical(plan, spine)) for plan in plans))

    @given(column_and_type=source_columns_of_any_type())
    def test_declared_types_are_taken_or_refused_alike(
        self, engine: OfflineEngine, column_and_type: tuple[pa.Array, DType]
    ) -> None:
        column, dtype = column_and_type
        size = len(column)
        scan = frame_scan({"k": pa.array(["a"] * size), "happened": instants(range(size)), "x": column})
        plan = ExtractPlan(source_rows(view_table(dtype=dtype), scan), None, None)
        try:
            expected = read(REFERENCE.extract(plan))
        except SourceError:
            with pytest.raises(SourceError):
                read(engine.extract(plan))
        else:
            assert_same(read(engine.extract(plan)).select(["x"]), expected.select(["x"]))
