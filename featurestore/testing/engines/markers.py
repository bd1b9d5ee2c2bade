"""Markers cancel the row of their key and event time, or the event of their id, and uncover what was before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.dtypes import Bool, Int64, String
from featurestore.engines.base import OfflineEngine
from featurestore.errors import SourceError
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import CsvScan, Rows
from featurestore.plan.windows import WindowSteps
from featurestore.testing.engines.materialization import Told, told
from featurestore.testing.engines.suite import ABSENT, PRESENT, TOO_OLD, EngineSuite, ask, read
from featurestore.testing.engines.tables import (
    Layout,
    ViewTable,
    array,
    assert_same,
    corrected_table,
    frame_scan,
    global_table,
    instants,
    marked_table,
    source_columns,
    source_rows,
    stored_rows,
    view_table,
    with_column,
)
from featurestore.testing.engines.window_steps import published, steps_as_rows
from featurestore.testing.engines.windows import aggregate, ask_windows, at, present, total
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE


def _marked(view: ViewTable, *marks: bool | None) -> ViewTable:
    """The view whose rows are markers where the mark is true."""
    return replace(view, deleted=marks)


class MarkerRules(EngineSuite):
    """By default a marker holds from the event time of what it cancels on."""

    def test_a_marker_uncovers_the_row_before(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 29)))
        spine = [("a", 9), ("a", 19), ("a", 20), ("a", 28), ("a", 99)]
        assert ask(engine, view, spine) == [ABSENT, *[(1, PRESENT)] * 4]

    def test_a_row_after_what_is_cancelled_is_untouched(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 30, 30, 3), ("a", 20, 40)))
        assert ask(engine, view, [("a", 25), ("a", 30)]) == [(1, PRESENT), (3, PRESENT)]

    def test_markers_of_several_rows_uncover_what_none_cancels(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 30, 31), ("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 30, 30, 3), ("a", 20, 21)))
        assert ask(engine, view, [("a", 99)]) == [(1, PRESENT)]

    def test_a_key_whose_rows_are_all_cancelled_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 10, 11), ("b", 10, 10, 2)))
        assert ask(engine, view, [("a", 20), ("b", 20)]) == [ABSENT, (2, PRESENT)]

    def test_a_marker_of_a_row_that_never_was_cancels_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 15, 20), ("b", 10, 20)))
        assert ask(engine, view, [("a", 20), ("b", 20)]) == [(1, PRESENT), ABSENT]

    def test_a_row_created_after_its_marker_stands(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 22, 2), ("a", 20, 21)))
        assert ask(engine, view, [("a", 20)]) == [(2, PRESENT)]

    def test_a_row_sent_again_after_its_marker_comes_back(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21), ("a", 20, 22, 3)))
        assert ask(engine, view, [("a", 19), ("a", 20)]) == [(1, PRESENT), (3, PRESENT)]

    @pytest.mark.parametrize("created", [None, 20])
    def test_of_a_row_and_a_marker_created_at_once_the_one_ingested_last_decides(
        self, engine: OfflineEngine, layout: Layout, created: int | None
    ) -> None:
        first, row, marker = ("a", 10, 10, 1), ("a", 20, created, 2), ("a", 20, created)
        assert ask(engine, layout(marked_table(first, row, marker)), [("a", 20)]) == [(1, PRESENT)]

    @pytest.mark.parametrize("created", [None, 20])
    def test_a_row_ingested_after_a_marker_created_at_once_stands(
        self, engine: OfflineEngine, layout: Layout, created: int | None
    ) -> None:
        first, row, marker = ("a", 10, 10, 1), ("a", 20, created, 2), ("a", 20, created)
        assert ask(engine, layout(marked_table(first, marker, row)), [("a", 20)]) == [(2, PRESENT)]

    def test_a_marker_without_created_time_is_the_lowest(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, -(10**15), 1), ("a", 10, None)))
        assert ask(engine, view, [("a", 20)]) == [(1, PRESENT)]

    def test_without_created_times_the_order_of_ingestion_decides(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = (("a", 10, 1), ("a", 20, None), ("a", 20, 2), ("a", 30, 3), ("a", 30, None))
        view = layout(_marked(view_table(*rows), False, True, False, False, True))
        assert ask(engine, view, [("a", 20), ("a", 99)]) == [(2, PRESENT), (2, PRESENT)]

    def test_a_marker_cancels_all_that_was_sent_of_a_row(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(
            marked_table(("a", 10, 10, 1), ("a", 20, 21, 2), ("a", 20, 22, 3), ("a", 20, 24), ("a", 20, 23, 4))
        )
        assert ask(engine, view, [("a", 20)]) == [(1, PRESENT)]

    def test_of_tied_rows_before_a_marked_one_the_greatest_is_uncovered(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(marked_table(("a", 10, 12, 2), ("a", 10, 11, 1), ("a", 20, 20, 3), ("a", 20, 21)))
        assert ask(engine, view, [("a", 20)]) == [(2, PRESENT)]

    def test_a_mark_that_is_null_or_false_marks_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(_marked(view_table(("a", 10, 1), ("a", 20, 2)), None, False))
        assert ask(engine, view, [("a", 10), ("a", 20)]) == [(1, PRESENT), (2, PRESENT)]

    def test_the_values_of_a_marker_are_never_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        view = _marked(corrected_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21, 9)), False, False, True)
        assert ask(engine, layout(view), [("a", 20)]) == [(1, PRESENT)]

    def test_the_row_that_is_uncovered_is_judged_by_its_own_age(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21)))
        assert ask(engine, view, [("a", 22), ("a", 23)], ttl_us=12) == [(1, PRESENT), TOO_OLD]

    def test_a_delay_counts_for_what_is_uncovered(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21), ("a", 30, 30, 3)))
        spine = [("a", 14), ("a", 15), ("a", 25), ("a", 35)]
        assert ask(engine, view, spine, delay_us=5) == [ABSENT, (1, PRESENT), (1, PRESENT), (3, PRESENT)]

    def test_a_marker_cancels_the_row_of_its_whole_key_alone(self, engine: OfflineEngine, layout: Layout) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 10, 10, 2), ("a", 10, 11))
        rows = layout(replace(view, cells={**view.cells, "k": array(["1", "12", "12"], String)}))
        assert ask(engine, rows, [("1", 10), ("12", 10)]) == [(1, PRESENT), ABSENT]

    def test_a_marker_cancels_a_row_of_a_global_view(self, engine: OfflineEngine, layout: Layout) -> None:
        view = _marked(global_table((10, 1), (20, 2), (20, None)), False, False, True)
        assert ask(engine, layout(view), [("a", 15), ("a", 25)]) == [(1, PRESENT), (1, PRESENT)]

    def test_text_in_csv_is_read_as_marks(self, engine: OfflineEngine, tmp_path: Path) -> None:
        day = "1970-01-01T00:00:0"
        text = f"k,happened,x,removed\na,{day}1Z,1,false\na,{day}2Z,2,\na,{day}2Z,,true\n"
        (tmp_path / "rows.csv").write_text(text)
        view = _marked(view_table())
        assert ask(engine, source_rows(view, CsvScan("rows", str(tmp_path))), [("a", 3_000_000)]) == [(1, PRESENT)]

    @pytest.mark.parametrize("marks", [pa.array([1]), pa.array(["true"])])
    def test_marks_that_are_not_true_or_false_are_refused(self, engine: OfflineEngine, marks: pa.Array) -> None:
        rows = source_rows(_marked(view_table()), frame_scan({**_one_row(), "removed": marks}))
        with pytest.raises(SourceError, match=r"source 'rows'.*column 'removed'"):
            read(engine.extract(ExtractPlan(rows, None, None)))

    def test_a_source_without_the_column_of_marks_is_refused(self, engine: OfflineEngine) -> None:
        with pytest.raises(SourceError, match="'removed'"):
            read(engine.extract(ExtractPlan(source_rows(_marked(view_table()), frame_scan(_one_row())), None, None)))


def _one_row() -> dict[str, pa.Array]:
    return source_columns(view_table(("a", 10, 1)))


class KnownMarkerRules(EngineSuite):
    """With visibility "created" a marker holds from its created time on: before, what was known answers."""

    def test_a_row_answers_until_its_marker_is_created(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 21, 2), ("a", 20, 50)))
        spine = [("a", 20), ("a", 21), ("a", 49), ("a", 50), ("a", 99)]
        expected = [(1, PRESENT), (2, PRESENT), (2, PRESENT), (1, PRESENT), (1, PRESENT)]
        assert ask(engine, view, spine, visibility="created") == expected

    def test_a_row_sent_again_comes_back_when_it_is_created(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 21, 2), ("a", 20, 50), ("a", 20, 60, 3)))
        spine = [("a", 49), ("a", 50), ("a", 59), ("a", 60)]
        expected = [(2, PRESENT), (1, PRESENT), (1, PRESENT), (3, PRESENT)]
        assert ask(engine, view, spine, visibility="created") == expected

    def test_a_marker_known_before_its_row_cancels_nothing_once_it_is_known(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(marked_table(("a", 10, 15), ("a", 10, 30, 1)))
        assert ask(engine, view, [("a", 29), ("a", 30)], visibility="created") == [ABSENT, (1, PRESENT)]

    def test_a_row_and_its_marker_created_at_once_are_never_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 21, 2), ("a", 20, 21)))
        assert ask(engine, view, [("a", 20), ("a", 21)], visibility="created") == [(1, PRESENT), (1, PRESENT)]

    def test_a_marker_without_created_time_is_known_at_once(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, None, 1), ("a", 10, None), ("a", 10, 12, 2)))
        assert ask(engine, view, [("a", 11), ("a", 12)], visibility="created") == [ABSENT, (2, PRESENT)]

    def test_a_marker_known_within_the_delay_hides_its_row_for_good(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 22), ("a", 30, 30, 3), ("a", 30, 40)))
        spine = [("a", 24), ("a", 25), ("a", 34), ("a", 35), ("a", 39), ("a", 40)]
        expected = [1, 1, 1, 3, 3, 1]
        assert ask(engine, view, spine, visibility="created", delay_us=5) == [(x, PRESENT) for x in expected]

    def test_rows_cancelled_one_after_the_other_uncover_each_other(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(
            marked_table(
                ("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 30, 40, 3), ("a", 20, 50), ("a", 30, 45), ("a", 5, 70, 0)
            )
        )
        spine = [("a", 39), ("a", 40), ("a", 45), ("a", 50), ("a", 70)]
        assert ask(engine, view, spine, visibility="created") == [(x, PRESENT) for x in (2, 3, 2, 1, 1)]

    def test_what_was_cancelled_meanwhile_is_not_uncovered(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 25), ("a", 30, 30, 3), ("a", 30, 40)))
        spine = [("a", 24), ("a", 25), ("a", 30), ("a", 40)]
        assert ask(engine, view, spine, visibility="created") == [(x, PRESENT) for x in (2, 1, 3, 1)]

    def test_a_correction_of_a_row_that_is_cancelled_later_answers_meanwhile(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 30, 3), ("a", 20, 40)))
        spine = [("a", 29), ("a", 30), ("a", 40)]
        assert ask(engine, view, spine, visibility="created") == [(x, PRESENT) for x in (2, 3, 1)]

    def test_the_age_of_what_is_uncovered_counts_from_its_event(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 25)))
        spine = [("a", 24), ("a", 25), ("a", 26)]
        expected = [(2, PRESENT), (1, PRESENT), TOO_OLD]
        assert ask(engine, view, spine, visibility="created", ttl_us=15) == expected


class MarkerStartRules(EngineSuite):
    """What is in force at a start: each key's rows from its last one that no marker cancels on."""

    VIEW = marked_table(
        ("a", 1, 1, 1), ("a", 2, 2, 2), ("a", 3, 3, 3), ("a", 3, 8), ("a", 10, 10, 4), ("b", 4, 4, 5), ("b", 4, 5)
    )

    def test_the_row_that_a_marker_uncovered_is_in_force(self, engine: OfflineEngine) -> None:
        rows = replace(source_rows(self.VIEW), start_us=5)
        spine = [("a", 1), ("a", 2), ("a", 7), ("a", 10), ("b", 7)]
        assert ask(engine, rows, spine) == [ABSENT, (2, PRESENT), (2, PRESENT), (4, PRESENT), ABSENT]

    def test_a_row_cancelled_after_the_start_answers_until_then(self, engine: OfflineEngine) -> None:
        rows = replace(source_rows(self.VIEW), start_us=5)
        spine = [("a", 7), ("a", 8), ("b", 4), ("b", 5)]
        expected = [(3, PRESENT), (2, PRESENT), (5, PRESENT), ABSENT]
        assert ask(engine, rows, spine, visibility="created") == expected

    def test_an_interval_takes_the_same_rows_with_their_markers(self, engine: OfflineEngine) -> None:
        table = read(engine.extract(ExtractPlan(source_rows(self.VIEW), 5, 20, in_force_at_start=True)))
        expected = [("a", 2, 2), ("a", 3, 3), ("a", 3, None), ("a", 10, 4), ("b", 4, 5), ("b", 4, None)]
        assert told(table) == expected
        assert table.column(DELETED).to_pylist() == [False, False, True, False, False, True]

    def test_an_interval_takes_the_markers_whose_event_time_lies_in_it(self, engine: OfflineEngine) -> None:
        found = told(read(engine.extract(ExtractPlan(source_rows(self.VIEW), 3, 4))))
        assert found == [("a", 3, 3), ("a", 3, None)]

    @pytest.mark.parametrize("size", [0, 1])
    def test_marks_stand_behind_the_sequence_and_are_never_null(self, engine: OfflineEngine, size: int) -> None:
        view = _marked(corrected_table(*[("a", 10, 11, 7)] * size), *[None] * size)
        table = read(engine.extract(ExtractPlan(source_rows(view), None, None)))
        assert table.column_names == ["k", EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE, DELETED, "x"]
        assert_same(table.select([DELETED]), pa.table({DELETED: array([False] * size, Bool)}))


class CurrentMarkerRules(EngineSuite):
    """Cancelled rows are not published; with visibility "created" they are until they are, and so is the marker."""

    def _current(self, engine: OfflineEngine, folder: Path, view: ViewTable, at: int, **rules: object) -> Told:
        plan = CurrentPlan(stored_rows(view, folder), at)
        return told(read(engine.current(replace(plan, **rules))))  # type: ignore[arg-type]  # fields of the plan

    def test_the_row_that_is_uncovered_is_current(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21), ("b", 5, 5, 9))
        assert self._current(engine, tmp_path, view, at=50) == [("a", 10, 1), ("b", 5, 9)]

    def test_a_key_whose_rows_are_all_cancelled_is_not_published(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 10, 11), ("b", 5, 5, 9), ("c", 5, 5))
        assert self._current(engine, tmp_path, view, at=50) == [("b", 5, 9)]

    def test_a_row_cancelled_before_it_is_seen_is_no_step(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21), ("a", 25, 25, 3))
        assert self._current(engine, tmp_path, view, at=30, delay_us=15) == [("a", 10, 1), ("a", 25, 3)]

    def test_a_row_to_be_cancelled_is_followed_by_its_marker_and_what_it_uncovers(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        view = marked_table(("a", 5, 5, 0), ("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 50))
        expected = [("a", 10, 1), ("a", 20, 2), ("a", 20, None)]
        assert self._current(engine, tmp_path, view, at=49, visibility="created") == expected
        assert self._current(engine, tmp_path, view, at=50, visibility="created") == expected[:1]

    def test_a_row_to_come_back_is_pending(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 50), ("a", 20, 60, 3))
        expected = [("a", 10, 1), ("a", 20, 2), ("a", 20, None), ("a", 20, 3)]
        assert self._current(engine, tmp_path, view, at=30, visibility="created") == expected
        assert self._current(engine, tmp_path, view, at=50, visibility="created") == [expected[0], expected[3]]
        assert self._current(engine, tmp_path, view, at=60, visibility="created") == expected[3:]

    def test_a_marker_of_what_never_answers_again_is_left_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 10, 50), ("b", 10, 60), ("c", 10, 10, 3))
        expected = [("a", 20, 2), ("c", 10, 3)]
        assert self._current(engine, tmp_path, view, at=30, visibility="created") == expected

    def test_a_marker_that_its_row_came_after_is_left_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 21), ("a", 20, 22, 2), ("a", 20, 30))
        expected = [("a", 10, 1), ("a", 20, 2), ("a", 20, None)]
        assert self._current(engine, tmp_path, view, at=15, visibility="created") == expected
        assert self._current(engine, tmp_path, marked_table(("a", 20, 21), ("a", 20, 22, 2)), at=15) == [("a", 20, 2)]

    def test_changed_since_takes_a_marker_for_a_change(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 20, 20, 2), ("a", 20, 21), ("b", 10, 10, 4))
        assert self._current(engine, tmp_path, view, at=50, changed_since_us=20) == [("a", 10, 1)]

    def test_a_global_view_publishes_what_is_uncovered(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = _marked(global_table((10, 1), (20, 2), (20, None)), False, False, True)
        assert self._current(engine, tmp_path, view, at=30) == [(None, 10, 1)]

    @pytest.mark.parametrize("size", [0, 1])
    def test_marks_stand_behind_the_times(self, engine: OfflineEngine, tmp_path: Path, size: int) -> None:
        view = _marked(corrected_table(*[("a", 10, 11, 7)] * size), *[None] * size)
        table = read(engine.current(CurrentPlan(stored_rows(view, tmp_path), at_us=50)))
        expected = {
            "k": array(["a"] * size, String),
            EVENT_TIMESTAMP: instants([10] * size),
            CREATED_TIMESTAMP: instants([11] * size),
            DELETED: array([False] * size, Bool),
            "x": array([7] * size, Int64),
        }
        assert_same(table, pa.table(expected))


class EventMarkerRules(EngineSuite):
    """In windows a marker cancels the event of its id, wherever that lies."""

    def _total(self, engine: OfflineEngine, rows: Rows, *instants: int, **rules: int) -> list[object]:
        return [value for value, _ in ask_windows(engine, rows, total(5), at("a", *instants), event_id="id", **rules)]

    def test_a_cancelled_event_does_not_count(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(marked_table(("a", 10, 10, 1), ("a", 11, 11, 2), ("a", 10, 12)), "id", ["x", "y", "x"])
        assert self._total(engine, layout(view), 11, 12, 16, 17) == [None, 2, 2, None]
        rows = aggregate("count", 5, None)
        expected = present(1, 1, 0)
        assert ask_windows(engine, layout(view), rows, at("a", 12, 16, 17), event_id="id") == expected

    def test_a_key_whose_events_are_all_cancelled_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(marked_table(("a", 10, 10, 1), ("a", 10, 11), ("b", 10, 10, 2)), "id", ["x", "x", "y"])
        asked = [("a", 12), ("b", 12)]
        assert ask_windows(engine, layout(view), total(5), asked, event_id="id") == [ABSENT, (2, PRESENT)]

    def test_an_event_sent_again_after_its_marker_counts(self, engine: OfflineEngine, layout: Layout) -> None:
        view = marked_table(("a", 10, 10, 1), ("a", 10, 11), ("a", 10, 12, 4))
        assert self._total(engine, layout(with_column(view, "id", ["x"] * 3)), 12) == [4]

    def test_a_marker_created_before_its_event_cancels_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(marked_table(("a", 10, 11), ("a", 10, 12, 1)), "id", ["x", "x"])
        assert self._total(engine, layout(view), 12) == [1]

    def test_of_an_event_and_a_marker_created_at_once_the_one_ingested_last_decides(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        event, marker, other = ("a", 10, 11, 1), ("a", 10, 11), ("a", 10, 11, 2)
        cancelled = with_column(marked_table(event, marker, other), "id", ["x", "x", "y"])
        sent_again = with_column(marked_table(marker, event, other), "id", ["x", "x", "y"])
        assert self._total(engine, layout(cancelled), 12) == [2]
        assert self._total(engine, layout(sent_again), 12) == [3]

    def test_a_marker_finds_its_event_by_the_id_alone(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(marked_table(("a", 10, 10, 1), ("b", 13, 20), ("a", 10, 10, 2)), "id", ["x", "x", "y"])
        assert self._total(engine, layout(view), 12) == [2]
        assert ask_windows(engine, layout(view), total(5), at("b", 14), event_id="id") == [ABSENT]

    def test_a_marker_without_id_cancels_nothing_and_is_no_event(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(marked_table(("a", 10, 10, 1), ("a", 10, 11)), "id", [None, None], Int64)
        counted = aggregate("count", 5, None)
        assert ask_windows(engine, layout(view), counted, at("a", 12), event_id="id") == present(1)

    def test_a_marker_at_the_watermark_cancels_nothing_before_it(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(with_column(marked_table(("a", 10, 10, 1), ("a", 15, 16), ("a", 9, 9, 2)), "id", ["x", "x", "y"]))
        assert self._total(engine, rows, 11, watermark_us=15) == [3]
        assert self._total(engine, rows, 11, watermark_us=16) == [2]

    def test_cancelled_events_are_not_published(self, engine: OfflineEngine, layout: Layout) -> None:
        view = marked_table(("a", 7, 7, 1), ("a", 7, 8), ("b", 7, 7, 2), ("b", 8, 8, 4), ("b", 8, 9))
        rows = layout(with_column(view, "id", ["x", "x", "y", "z", "z"]))
        found = published(engine, rows, 10, every_us=5, event_id="id")
        assert (found.keys, found.at(("b",), 10)) == ({("b",)}, published(engine, rows, 8, event_id="id").at(("b",), 8))

    def test_cancelled_events_make_no_rows_of_a_view(self, engine: OfflineEngine) -> None:
        view = with_column(marked_table(("a", 7, 7, 1), ("a", 12, 12, 2), ("a", 7, 8)), "id", ["x", "y", "x"])
        steps = WindowSteps(source_rows(view), (total(5),), every_us=5, event_id="id")
        assert told(read(engine.extract(ExtractPlan(steps_as_rows(steps), None, None)))) == [("a", 15, 2)]
