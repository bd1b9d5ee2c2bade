"""Which rows an interval commits, and which rows are published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.dtypes import Date, Int64, String, UInt64
from featurestore.engines.base import OfflineEngine
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import SourceRows
from featurestore.testing.engines.suite import EngineSuite, read
from featurestore.testing.engines.tables import (
    ViewTable,
    array,
    assert_same,
    corrected_table,
    frame_scan,
    global_table,
    instants,
    source_columns,
    source_rows,
    stored_rows,
    timeless_table,
    view_table,
)
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SEQUENCE

Told = list[tuple[object, object, object]]


def told(table: pa.Table) -> Told:
    """Key, event time and value of each row, in order."""
    times = table.column(EVENT_TIMESTAMP).cast(pa.int64()).to_pylist()
    keys = table.column("k").to_pylist() if "k" in table.column_names else [None] * len(times)
    return list(zip(keys, times, table.column("x").to_pylist(), strict=True))


def _extract(
    engine: OfflineEngine, rows: SourceRows, start: int | None, end: int | None, in_force: bool = False
) -> Told:
    return told(read(engine.extract(ExtractPlan(rows, start, end, in_force))))


class ExtractRules(EngineSuite):
    """Intervals are half-open; what is in force at their start comes along when asked for."""

    def test_the_start_is_included_and_the_end_is_not(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 9, 1), ("a", 10, 2), ("a", 19, 3), ("a", 20, 4)))
        assert _extract(engine, rows, 10, 20) == [("a", 10, 2), ("a", 19, 3)]

    def test_without_start_the_interval_begins_with_the_first_row(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", -(10**15), 1), ("a", 10, 2), ("a", 20, 3)))
        assert _extract(engine, rows, None, 20) == [("a", -(10**15), 1), ("a", 10, 2)]

    def test_without_end_the_interval_goes_to_the_last_row(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1), ("a", 20, 2), ("a", 10**15, 3)))
        assert _extract(engine, rows, 20, None) == [("a", 20, 2), ("a", 10**15, 3)]

    def test_an_interval_without_rows_is_empty(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1)))
        assert _extract(engine, rows, 20, 30) == []
        assert _extract(engine, source_rows(view_table()), 20, 30) == []

    def test_rows_are_ordered_by_key_event_created_and_ingestion(self, engine: OfflineEngine) -> None:
        view = corrected_table(
            ("b", 10, 11, 9),
            ("a", 20, 21, 7),
            ("a", 10, 12, 5),
            ("a", 10, 11, 4),
            ("a", 10, None, 2),
            ("a", 10, 11, 3),
            ("a", -5, 50, 1),
            ("a", 20, None, 6),
            ("B", 10, 10, 0),
            ("a", 30, 0, 8),
        )
        found = [value for _, _, value in _extract(engine, source_rows(view), None, None)]
        assert found == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9]

    def test_keys_of_all_columns_order_the_rows(self, engine: OfflineEngine) -> None:
        view = replace(view_table(("b", 10, 1), ("a", 10, 3), ("a", 10, 2)), columns=())
        view = replace(view, keys=(*view.keys, replace(view.keys[0], name="x", dtype=Int64)))
        assert _extract(engine, source_rows(view), None, None) == [("a", 10, 2), ("a", 10, 3), ("b", 10, 1)]

    def test_in_force_at_start_adds_each_keys_last_row_before_it(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 1, 1), ("a", 2, 2), ("a", 10, 3), ("b", 3, 4), ("c", 12, 5), ("d", 20, 6)))
        expected = [("a", 2, 2), ("a", 10, 3), ("b", 3, 4), ("c", 12, 5)]
        assert _extract(engine, rows, 10, 20, in_force=True) == expected

    def test_in_force_at_start_is_decided_by_created_time_then_ingestion(self, engine: OfflineEngine) -> None:
        view = corrected_table(
            ("a", 2, 9, 1), ("a", 2, 8, 2), ("a", 2, None, 3), ("b", 2, 7, 4), ("b", 2, 7, 5), ("b", 1, 9, 6)
        )
        assert _extract(engine, source_rows(view), 10, 20, in_force=True) == [("a", 2, 1), ("b", 2, 5)]

    def test_in_force_at_start_keeps_each_combination_of_keys_apart(self, engine: OfflineEngine) -> None:
        view = replace(view_table(("1", 1, 23), ("12", 2, 3)), columns=())
        view = replace(view, keys=(*view.keys, replace(view.keys[0], name="x", dtype=Int64)))
        assert _extract(engine, source_rows(view), 10, 20, in_force=True) == [("1", 1, 23), ("12", 2, 3)]

    def test_in_force_at_start_of_a_global_view_is_its_last_row(self, engine: OfflineEngine) -> None:
        rows = source_rows(global_table((1, 1), (2, 2), (10, 3)))
        assert _extract(engine, rows, 10, 20, in_force=True) == [(None, 2, 2), (None, 10, 3)]

    def test_rows_from_a_start_are_cut_before_the_interval(self, engine: OfflineEngine) -> None:
        view = view_table(("a", 1, 1), ("a", 2, 2), ("a", 5, 3), ("a", 10, 4))
        assert _extract(engine, replace(source_rows(view), start_us=5), None, 10) == [("a", 2, 2), ("a", 5, 3)]

    def test_a_row_without_key_is_told_so_that_a_contract_can_refuse_it(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1), (None, 11, 2)))
        assert sorted(_extract(engine, rows, 10, 20), key=str) == [("a", 10, 1), (None, 11, 2)]

    def test_a_timeless_view_gives_all_rows(self, engine: OfflineEngine) -> None:
        rows = source_rows(timeless_table(("b", 2), ("a", 1)))
        assert _extract(engine, rows, None, None) == [("a", None, 1), ("b", None, 2)]

    @pytest.mark.parametrize("size", [0, 1])
    def test_columns_stand_in_canonical_order_and_logical_types(self, engine: OfflineEngine, size: int) -> None:
        view = corrected_table(*[("a", 10, 11, 7)] * size, dtype=UInt64)
        extra = {"note": pa.array([1.5] * size, pa.float64()), "day": array([None] * size, Date)}
        rows = source_rows(view, frame_scan({**extra, **source_columns(view)}))
        table = read(engine.extract(ExtractPlan(replace(rows, extra=("note", "day")), 0, 20, in_force_at_start=True)))
        expected = {
            "k": array(["a"] * size, String),
            EVENT_TIMESTAMP: instants([10] * size),
            CREATED_TIMESTAMP: instants([11] * size),
            SEQUENCE: table.column(SEQUENCE).combine_chunks(),
            "x": array([7] * size, UInt64),
            **extra,
        }
        assert_same(table, pa.table(expected))
        assert table.column(SEQUENCE).type == pa.int64()
        assert table.column(SEQUENCE).null_count == 0

    def test_without_created_times_the_column_is_null(self, engine: OfflineEngine) -> None:
        table = read(engine.extract(ExtractPlan(source_rows(view_table(("a", 10, 1))), None, None)))
        assert_same(table.select([CREATED_TIMESTAMP]), pa.table({CREATED_TIMESTAMP: instants([None])}))

    def test_the_sequence_grows_with_ingestion(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("c", 30, 1), ("b", 20, 2), ("a", 10, 3)))
        sequence = read(engine.extract(ExtractPlan(rows, None, None))).column(SEQUENCE).to_pylist()
        assert sequence == sorted(sequence, reverse=True)
        assert len(set(sequence)) == 3


class CurrentRules(EngineSuite):
    """What is in force at an instant, and what will be by then-known rows alone."""

    def _current(self, engine: OfflineEngine, folder: Path, view: ViewTable, at: int, **rules: object) -> Told:
        plan = CurrentPlan(stored_rows(view, folder), at)
        return told(read(engine.current(replace(plan, **rules))))  # type: ignore[arg-type]  # fields of the plan

    def test_each_keys_last_row_is_current(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("b", 5, 9), ("a", 10, 1), ("a", 30, 3), ("a", 20, 2))
        assert self._current(engine, tmp_path, view, at=50) == [("a", 30, 3), ("b", 5, 9)]

    def test_rows_that_become_visible_later_are_pending(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2), ("a", 30, 3))
        assert self._current(engine, tmp_path, view, at=20) == [("a", 20, 2), ("a", 30, 3)]
        assert self._current(engine, tmp_path, view, at=19) == [("a", 10, 1), ("a", 20, 2), ("a", 30, 3)]

    def test_before_all_rows_every_step_is_pending(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2))
        assert self._current(engine, tmp_path, view, at=0) == [("a", 10, 1), ("a", 20, 2)]

    def test_a_delay_makes_steps_pending_until_its_very_end(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2), ("a", 30, 3))
        expected = [("a", 10, 1), ("a", 20, 2), ("a", 30, 3)]
        assert self._current(engine, tmp_path, view, at=34, delay_us=15) == expected
        assert self._current(engine, tmp_path, view, at=35, delay_us=15) == expected[1:]
        assert self._current(engine, tmp_path, view, at=45, delay_us=15) == expected[2:]

    def test_a_tie_leaves_one_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = corrected_table(("a", 10, 11, 1), ("a", 10, 13, 2), ("a", 10, None, 3), ("b", 10, 5, 4), ("b", 10, 5, 5))
        assert self._current(engine, tmp_path, view, at=10) == [("a", 10, 2), ("b", 10, 5)]
        assert self._current(engine, tmp_path, view, at=0) == [("a", 10, 2), ("b", 10, 5)]

    def test_by_default_a_created_time_hides_nothing(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = corrected_table(("a", 10, 11, 1), ("a", 20, 99, 2))
        assert self._current(engine, tmp_path, view, at=30) == [("a", 20, 2)]

    def test_with_visibility_created_a_late_correction_is_pending(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = corrected_table(("a", 10, 11, 1), ("a", 10, 50, 2))
        expected = [("a", 10, 1), ("a", 10, 2)]
        assert self._current(engine, tmp_path, view, at=49, visibility="created") == expected
        assert self._current(engine, tmp_path, view, at=50, visibility="created") == expected[1:]

    def test_a_row_known_late_and_already_superseded_is_never_in_force(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        view = corrected_table(("a", 10, 50, 1), ("a", 20, 21, 2))
        assert self._current(engine, tmp_path, view, at=30, visibility="created") == [("a", 20, 2)]
        assert self._current(engine, tmp_path, view, at=0, visibility="created") == [("a", 20, 2)]

    def test_pending_rows_that_overtake_each_other_leave_the_steps(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = corrected_table(
            ("a", 10, None, 1),  # in force at 30
            ("a", 20, 60, 2),  # known at 60, when 40 is in force already: never in force
            ("a", 25, 35, 3),  # in force from 35 to 39
            ("a", 40, 40, 4),  # in force from 40 on
        )
        expected = [("a", 10, 1), ("a", 25, 3), ("a", 40, 4)]
        assert self._current(engine, tmp_path, view, at=30, visibility="created") == expected

    def test_with_visibility_created_a_null_created_time_is_visible_at_once(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        view = corrected_table(("a", 10, None, 1), ("a", 20, 99, 2))
        assert self._current(engine, tmp_path, view, at=10, visibility="created") == [("a", 10, 1), ("a", 20, 2)]

    def test_a_step_is_pending_until_delay_and_created_time_are_over(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        view = corrected_table(("a", 10, 10, 1), ("a", 20, 22, 2))
        rules = {"visibility": "created", "delay_us": 5}
        assert self._current(engine, tmp_path, view, at=24, **rules) == [("a", 10, 1), ("a", 20, 2)]
        assert self._current(engine, tmp_path, view, at=25, **rules) == [("a", 20, 2)]

    def test_changed_since_leaves_out_keys_without_a_row_at_or_after_it(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        view = view_table(("a", 10, 1), ("b", 19, 2), ("c", 20, 3), ("d", 10, 4), ("d", 99, 5))
        found = self._current(engine, tmp_path, view, at=50, changed_since_us=20)
        assert found == [("c", 20, 3), ("d", 10, 4), ("d", 99, 5)]

    def test_changed_since_gives_what_is_in_force_even_if_older(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2))
        found = self._current(engine, tmp_path, view, at=30, delay_us=15, changed_since_us=20)
        assert found == [("a", 10, 1), ("a", 20, 2)]

    def test_a_timeless_view_publishes_every_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = timeless_table(("b", 2), ("a", 1), ("c", None))
        assert self._current(engine, tmp_path, view, at=0) == [("a", None, 1), ("b", None, 2), ("c", None, None)]

    def test_a_global_view_publishes_its_current_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = global_table((10, 1), (20, 2), (30, 3))
        assert self._current(engine, tmp_path, view, at=20) == [(None, 20, 2), (None, 30, 3)]

    @pytest.mark.parametrize("rows", [[], [("a", 10, 11, 2**64 - 1)]], ids=["empty", "one row"])
    def test_columns_are_keys_times_and_features_in_logical_types(
        self, engine: OfflineEngine, tmp_path: Path, rows: Sequence[tuple[object, ...]]
    ) -> None:
        view = corrected_table(*rows, dtype=UInt64)
        table = read(engine.current(CurrentPlan(stored_rows(view, tmp_path), at_us=50)))
        expected = {
            "k": array([row[0] for row in rows], String),
            EVENT_TIMESTAMP: instants(row[1] for row in rows),
            CREATED_TIMESTAMP: instants(row[2] for row in rows),
            "x": array([row[3] for row in rows], UInt64),
        }
        assert_same(table, pa.table(expected))
