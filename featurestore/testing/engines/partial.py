"""Some keys only, and rows that stand nowhere else: what a push, a late row and a correction need of an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.dtypes import Float64, Int64, List, String, Vector
from featurestore.engines.base import OfflineEngine
from featurestore.errors import SourceError
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import Computed, FrameScan, SourceRows, StoredRows
from featurestore.plan.windows import CurrentWindowsPlan, WindowSteps
from featurestore.testing.engines.materialization import Told, told
from featurestore.testing.engines.suite import (
    ABSENT,
    PRESENT,
    TOO_OLD,
    EngineSuite,
    answers,
    ask,
    history,
    read,
    spine_of,
)
from featurestore.testing.engines.tables import (
    Layout,
    ViewTable,
    array,
    corrected_table,
    frame_scan,
    global_table,
    instants,
    marked_table,
    python_list,
    source_rows,
    stored_rows,
    view_table,
    with_column,
)
from featurestore.testing.engines.windows import total, windows_of
from featurestore.timeline import EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

NAN, OTHER_NAN = float("nan"), -float("nan")


def only(*keys: str) -> FrameScan:
    """A frame of keys `k`, beside a column that no key has."""
    return frame_scan({"k": array(keys, String), "else": array([None] * len(keys), Int64)})


class OnlyRules(EngineSuite):
    """Each key that a partial plan asks for comes, with its steps or, when it has none, with nulls at the end."""

    def _some(self, engine: OfflineEngine, rows: StoredRows, **rules: object) -> Told:
        return told(read(engine.current(replace(CurrentPlan(rows, 50), **rules))))  # type: ignore[arg-type]  # its fields

    def test_keys_that_are_not_asked_for_are_left_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = stored_rows(view_table(("a", 10, 1), ("b", 20, 2), ("a", 30, 3), ("c", 60, 4), ("c", 40, 5)), tmp_path)
        assert self._some(engine, rows, only=only("c", "a", "a")) == [("a", 30, 3), ("c", 40, 5), ("c", 60, 4)]

    def test_keys_without_a_row_come_last_with_nulls(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = stored_rows(view_table(("b", 10, 1)), tmp_path)
        assert self._some(engine, rows, only=only("z", "b", "a")) == [
            ("b", 10, 1),
            ("a", None, None),
            ("z", None, None),
        ]

    def test_no_key_is_no_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        assert self._some(engine, stored_rows(view_table(("b", 10, 1)), tmp_path), only=only()) == []

    def test_keys_asked_for_or_changed_come_each_once(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = stored_rows(view_table(("a", 10, 1), ("b", 20, 2), ("c", 30, 3), ("d", 5, 4)), tmp_path)
        found = self._some(engine, rows, only=only("a", "c", "x"), changed_since_us=20)
        assert found == [("a", 10, 1), ("b", 20, 2), ("c", 30, 3), ("x", None, None)]

    @pytest.mark.parametrize("at", [19, 20, 90])
    def test_by_created_time_all_rows_of_a_key_that_is_asked_for_count(
        self, engine: OfflineEngine, tmp_path: Path, at: int
    ) -> None:
        rows = stored_rows(corrected_table(("a", 10, 10, 1), ("a", 10, 20, 2), ("b", 10, 10, 3)), tmp_path)
        found = self._some(engine, rows, at_us=at, visibility="created", only=only("a", "x"))
        assert found == [*([("a", 10, 1)] if at == 19 else []), ("a", 10, 2), ("x", None, None)]

    def test_a_key_whose_rows_are_all_cancelled_has_none(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = stored_rows(marked_table(("a", 10, 10, 1), ("a", 10, 20), ("b", 10, 10, 2)), tmp_path)
        assert self._some(engine, rows, only=only("a", "b")) == [("b", 10, 2), ("a", None, None)]
        assert self._some(engine, rows, changed_since_us=10) == [("b", 10, 2), ("a", None, None)]
        assert self._some(engine, rows) == [("b", 10, 2)]

    def test_a_global_view_is_asked_for_by_any_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        any_row = frame_scan({EVENT_TIMESTAMP: instants([1, 2])})
        rows = stored_rows(global_table((10, 1), (20, 2)), tmp_path)
        assert self._some(engine, rows, only=any_row) == [(None, 20, 2)]
        assert self._some(engine, rows, only=frame_scan({EVENT_TIMESTAMP: instants([])})) == []
        assert self._some(engine, stored_rows(global_table(), tmp_path / "none"), only=any_row) == [(None, None, None)]

    def test_every_part_of_a_key_counts(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = with_column(view_table(("a", 10, 1), ("a", 10, 2), ("b", 10, 3)), "l", ["x", "y", "x"], key=True)
        asked = frame_scan({"k": array(["a", "b"], String), "l": array(["y", "y"], String)})
        found = read(engine.current(CurrentPlan(stored_rows(view, tmp_path), 50, only=asked)))
        assert [python_list(found.column(name)) for name in ("k", "l", "x")] == [["a", "b"], ["y", "y"], [2, None]]


class OnlyWindowsRules(EngineSuite):
    """The same of windows, where an event that is sent again concerns every key that sent it."""

    def _some_windows(
        self, engine: OfflineEngine, steps: WindowSteps, asked: FrameScan, since: int | None = None
    ) -> Told:
        found = read(engine.current_windows(CurrentWindowsPlan(steps, 20, since, asked)))
        keys, times, values = (python_list(found.column(name)) for name in ("k", EVENT_TIMESTAMP, "y"))
        return list(zip(keys, times, values, strict=True))

    def test_windows_of_keys_that_are_not_asked_for_are_left_out(self, engine: OfflineEngine, layout: Layout) -> None:
        steps = WindowSteps(layout(view_table(("a", 3, 1), ("b", 4, 2), ("a", 5, 3))), (total(None),), watermark_us=20)
        assert self._some_windows(engine, steps, only("a")) == [("a", 20, 4)]
        assert self._some_windows(engine, steps, only()) == []

    def test_windows_of_keys_without_an_event_come_last_with_nulls(self, engine: OfflineEngine, layout: Layout) -> None:
        steps = WindowSteps(layout(view_table(("b", 3, 1), ("c", 20, 2))), (total(None),), watermark_us=20)
        found = self._some_windows(engine, steps, only("c", "b", "a"))
        assert found == [("b", 20, 1), ("a", None, None), ("c", None, None)]

    def test_windows_of_keys_asked_for_or_changed_come_each_once(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 3, 1), ("b", 4, 2), ("c", 16, 3), ("d", 17, 4)))
        steps = WindowSteps(rows, (total(5),), watermark_us=20)
        found = self._some_windows(engine, steps, only("a", "c"), since=15)
        assert found == [("a", 20, None), ("c", 20, 3), ("d", 20, 4)]

    def test_who_sent_an_event_that_is_sent_again_is_asked_for_too(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 3, 3, 1), ("b", 4, 9, 2), ("c", 5, 5, 4), ("a", 6, 6, 8))
        rows = layout(with_column(view, "id", ["one", "one", "two", "three"]))
        steps = WindowSteps(rows, (total(None),), watermark_us=20, event_id="id")
        asked = frame_scan({"k": array(["b"], String), "id": array(["one"], String)})
        assert self._some_windows(engine, steps, asked) == [("a", 20, 8), ("b", 20, 2)]
        gone = replace(steps, rows=layout(with_column(corrected_table(*_SENT_TWICE), "id", ["one", "one"])))
        assert self._some_windows(engine, gone, asked) == [("b", 20, 2), ("a", None, None)]

    def test_a_null_event_id_concerns_nobody_else(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 3, 3, 1), ("b", 4, 9, 2))
        steps = WindowSteps(
            layout(with_column(view, "id", [None, None])), (total(None),), watermark_us=20, event_id="id"
        )
        asked = frame_scan({"k": array(["b"], String), "id": array([None], String)})
        assert self._some_windows(engine, steps, asked) == [("b", 20, 2)]


_SENT_TWICE = (("a", 3, 3, 1), ("b", 4, 9, 2))


class ExcludingRules(EngineSuite):
    """Rows that stand elsewhere as well are left out, as many as stand there; bits decide what is equal."""

    def _left(
        self, engine: OfflineEngine, view: ViewTable, folder: Path, *there: object, **rules: object
    ) -> list[object]:
        stored = stored_rows(replace(view, cells={**view.cells, "x": array(there, view.columns[0].dtype)}), folder)
        plan = ExtractPlan(source_rows(view), None, None, excluding=stored)
        return python_list(read(engine.extract(replace(plan, **rules))).column("x"))  # type: ignore[arg-type]  # its fields

    def test_rows_that_stand_there_are_left_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2), ("b", 10, None), ("b", 20, 4))
        assert self._left(engine, view, tmp_path, 1, 9, None, 9) == [2, 4]

    def test_of_equal_rows_as_many_are_left_out_as_stand_there(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(*[("a", 10, 1)] * 3)
        assert self._left(engine, view, tmp_path, 1, 1, 9) == [1]
        left = read(engine.extract(ExtractPlan(source_rows(view), None, None, excluding=_one_row(tmp_path / "one"))))
        kept = left.column(SEQUENCE).to_pylist()
        everything = read(engine.extract(ExtractPlan(source_rows(view), None, None))).column(SEQUENCE).to_pylist()
        assert kept == everything[1:]

    @pytest.mark.parametrize("other", [("b", 10, 11, 1), ("a", 11, 11, 1), ("a", 10, 12, 1), ("a", 10, None, 1)])
    def test_key_and_times_count(self, engine: OfflineEngine, tmp_path: Path, other: tuple[object, ...]) -> None:
        stored = stored_rows(corrected_table(other), tmp_path)
        plan = ExtractPlan(source_rows(corrected_table(("a", 10, 11, 1))), None, None, excluding=stored)
        assert told(read(engine.extract(plan))) == [("a", 10, 1)]

    def test_a_marker_is_no_row_without_values(self, engine: OfflineEngine, tmp_path: Path) -> None:
        stored = stored_rows(marked_table(("a", 10, 10)), tmp_path)
        plan = ExtractPlan(source_rows(marked_table(("a", 10, 10, None))), None, None, excluding=stored)
        assert told(read(engine.extract(plan))) == [("a", 10, None)]

    def test_bits_of_floats_count_but_all_nan_are_one(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 1, 0.0), ("a", 2, -0.0), ("a", 3, NAN), ("a", 4, None), ("a", 5, -0.0), dtype=Float64)
        left = self._left(engine, view, tmp_path, -0.0, 0.0, OTHER_NAN, NAN, -0.0)
        assert [repr(value) for value in left] == ["0.0", "-0.0", "None"]

    @pytest.mark.parametrize("dtype", [List(Float64), Vector(Float64, 2)], ids=str)
    def test_bits_count_inside_lists(self, engine: OfflineEngine, tmp_path: Path, dtype: List | Vector) -> None:
        view = view_table(
            ("a", 1, [0.0, NAN]), ("a", 2, [1.0, -0.0]), ("a", 3, [1.0, 2.0]), ("a", 4, None), dtype=dtype
        )
        left = self._left(engine, view, tmp_path, [0.0, OTHER_NAN], [1.0, 0.0], [2.0, 1.0], None)
        assert repr(left) == "[[1.0, -0.0], [1.0, 2.0]]"

    def test_bounds_hold_before_anything_is_left_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = view_table(("a", 10, 1), ("a", 20, 2), ("a", 30, 3), ("b", 20, 2))
        assert self._left(engine, view, tmp_path, 1, 9, 9, 2, start_us=20, end_us=30) == [2]

    def test_rows_created_later_are_asked_for(self, engine: OfflineEngine, tmp_path: Path) -> None:
        view = corrected_table(("a", 10, 11, 1), ("a", 20, 12, 2), ("a", 30, None, 3), ("a", 40, 13, 4))
        assert self._left(engine, view, tmp_path, 1, 9, 9, 9, created_after_us=11) == [2, 4]
        assert self._left(engine, view, tmp_path / "again", 1, 2, 3, 9, created_after_us=11) == [4]
        assert self._left(engine, view, tmp_path / "all", *[9] * 4, created_after_us=-(2**63)) == [1, 2, 4]


class OriginRules(EngineSuite):
    """Sequences tell rows that were pushed from those that came from the source."""

    def test_each_origin_has_its_rows(self, engine: OfflineEngine, tmp_path: Path) -> None:
        stored = stored_rows(view_table(("a", 10, 1), ("a", 20, 2), ("a", 30, 3)), tmp_path, first=FIRST_PUSHED - 2)
        found = {
            origin: told(read(engine.extract(ExtractPlan(replace(stored, origin=origin), None, None))))
            for origin in ("all", "source", "pushed")
        }
        assert found == {
            "all": [("a", 10, 1), ("a", 20, 2), ("a", 30, 3)],
            "source": [("a", 10, 1), ("a", 20, 2)],
            "pushed": [("a", 30, 3)],
        }


class PushedRules(EngineSuite):
    """Rows computed from a source answer together with rows that were pushed."""

    def _beside(self, source: ViewTable, pushed: ViewTable, folder: Path, **rules: object) -> SourceRows:
        stored = stored_rows(pushed, folder, first=FIRST_PUSHED)
        rows = replace(source_rows(source), pushed=stored)
        return replace(rows, **rules)  # type: ignore[arg-type]  # its fields

    def test_pushed_rows_take_their_place_among_the_sources(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = self._beside(view_table(("a", 10, 1), ("a", 30, 3)), view_table(("a", 20, 2), ("b", 5, 9)), tmp_path)
        spine = [("a", 10), ("a", 20), ("a", 30), ("b", 5), ("b", 4)]
        assert ask(engine, rows, spine) == [(1, PRESENT), (2, PRESENT), (3, PRESENT), (9, PRESENT), ABSENT]

    def test_of_equal_times_the_pushed_row_counts(self, engine: OfflineEngine, tmp_path: Path) -> None:
        source = corrected_table(("a", 10, 11, 1), ("b", 10, 12, 2))
        rows = self._beside(source, corrected_table(("a", 10, 11, 3), ("b", 10, 11, 4)), tmp_path)
        assert ask(engine, rows, [("a", 20), ("b", 20)]) == [(3, PRESENT), (2, PRESENT)]

    def test_no_start_leaves_pushed_rows_out(self, engine: OfflineEngine, tmp_path: Path) -> None:
        source = view_table(("a", 10, 1), ("a", 20, 2), ("a", 40, 4), ("b", 10, 8))
        rows = self._beside(source, view_table(("a", 15, 5), ("b", 25, 9), ("b", 12, 7)), tmp_path, start_us=30)
        spine = [("a", 15), ("a", 20), ("a", 40), ("b", 10), ("b", 12), ("b", 30)]
        expected = [(5, PRESENT), (2, PRESENT), (4, PRESENT), (8, PRESENT), (7, PRESENT), (9, PRESENT)]
        assert ask(engine, rows, spine) == expected

    def test_windows_cover_pushed_events(self, engine: OfflineEngine, tmp_path: Path) -> None:
        source, pushed = view_table(("a", 3, 1), ("a", 8, 2)), view_table(("a", 2, 4), ("a", 9, 8))
        rows = self._beside(source, pushed, tmp_path, start_us=5, events=True)
        join = windows_of(rows, total(None))
        assert answers(history(engine, spine_of([("a", 5), ("a", 10)]), join), "y") == [(4, PRESENT), (14, PRESENT)]

    def test_a_pushed_marker_cancels_a_row_of_the_source(self, engine: OfflineEngine, tmp_path: Path) -> None:
        rows = self._beside(marked_table(("a", 10, 10, 1), ("a", 20, 20, 2)), marked_table(("a", 20, 30)), tmp_path)
        assert ask(engine, rows, [("a", 25)]) == [(1, PRESENT)]

    def test_vectors_keep_their_nulls_where_nothing_was_pushed(self, engine: OfflineEngine, tmp_path: Path) -> None:
        vector = Vector(Float64, 2)
        source = view_table(("a", 10, None), ("a", 20, [0.5, 1.5]), dtype=vector)
        rows = self._beside(source, view_table(dtype=vector), tmp_path)
        spine = [("a", 5), ("a", 15), ("a", 25), ("b", 5), ("a", 9), ("a", 35)]
        expected = [ABSENT, (None, PRESENT), ([0.5, 1.5], PRESENT), ABSENT, ABSENT, TOO_OLD]
        assert ask(engine, rows, spine, ttl_us=9) == expected

    def test_an_expression_that_fails_names_its_feature(self, engine: OfflineEngine, tmp_path: Path) -> None:
        source = view_table(("a", 10, 0))
        rows = self._beside(source, view_table(("a", 20, 2)), tmp_path)
        failing = replace(rows, columns=(Computed("x", Int64, "", "CAST('many' || x AS BIGINT)"),))
        with pytest.raises(SourceError, match="'x'"):
            ask(engine, failing, [("a", 25)])


def _one_row(folder: Path) -> StoredRows:
    return stored_rows(view_table(("a", 10, 1)), folder)
