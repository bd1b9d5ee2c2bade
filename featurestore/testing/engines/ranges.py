"""The steps of a view in a range: where each begins and ends, and which are one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from featurestore.dtypes import Float64, Int64, String
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError
from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.ranges import STOOD_SINCE, VALID_FROM, VALID_TO, RangePlan
from featurestore.plan.windows import WindowJoin
from featurestore.testing.engines.suite import EngineSuite, join_of, read
from featurestore.testing.engines.tables import (
    Layout,
    array,
    corrected_table,
    global_table,
    marked_table,
    python_list,
    timeless_table,
    view_table,
    with_column,
)
from featurestore.testing.engines.windows import total, windows_of

Step = tuple[object, ...]


def steps(
    engine: OfflineEngine, join: PointInTimeJoin | WindowJoin, start: int, end: int, entities: pa.Table | None = None
) -> list[Step]:
    """Keys, values, beginning and end of each step in [start, end)."""
    found = read(engine.in_range(RangePlan(join, start, end), entities))
    return list(
        zip(*(python_list(found.column(name)) for name in found.column_names if name != STOOD_SINCE), strict=True)
    )


def rows_of(layout: Layout, *rows: Any, **rules: Any) -> PointInTimeJoin:
    """A join of a view with rows (key, event time, value); `rules` are fields of the join."""
    return replace(join_of(layout(view_table(*rows))), **rules)


class RangeRules(EngineSuite):
    """Steps of plain views: rows, while they answer."""

    def test_a_step_lasts_until_the_next_one_of_its_key(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("b", 4, 3), ("a", 2, 1), ("a", 5, 2))
        assert steps(engine, join, 0, 9) == [("a", 1, 2, 5), ("a", 2, 5, None), ("b", 3, 4, None)]

    def test_the_columns_are_keys_event_time_features_and_bounds(self, engine: OfflineEngine, layout: Layout) -> None:
        found = read(engine.in_range(RangePlan(rows_of(layout, ("a", 2, 1)), 4, 9)))
        assert found.column_names == ["k", STOOD_SINCE, "x", VALID_FROM, VALID_TO]
        assert found.column(STOOD_SINCE).cast(pa.int64()).to_pylist() == [2]
        assert {str(found.column(name).type) for name in (STOOD_SINCE, VALID_FROM, VALID_TO)} == {
            "timestamp[us, tz=UTC]"
        }

    def test_a_step_in_force_at_the_start_begins_there_and_one_at_the_end_stays_open(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        join = rows_of(layout, ("a", 1, 1), ("a", 2, 2), ("a", 6, 3))
        assert steps(engine, join, 4, 6) == [("a", 2, 4, None)]
        assert steps(engine, join, 4, 7) == [("a", 2, 4, 6), ("a", 3, 6, None)]
        assert steps(engine, join, 2, 6) == [("a", 2, 2, None)]
        assert steps(engine, join, 0, 1) == []

    def test_a_step_begins_when_it_is_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("a", 1, 1), ("a", 4, 2), delay_us=3)
        assert steps(engine, join, 0, 99) == [("a", 1, 4, 7), ("a", 2, 7, None)]

    def test_a_step_ends_after_its_last_moment_to_live(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("a", 1, 1), ("a", 9, 2), ttl_us=2)
        assert steps(engine, join, 0, 12) == [("a", 1, 1, 4), ("a", 2, 9, None)]
        assert steps(engine, join, 0, 13) == [("a", 1, 1, 4), ("a", 2, 9, 12)]
        assert steps(engine, join, 4, 9) == []
        assert steps(engine, join, 3, 9) == [("a", 1, 3, 4)]

    def test_equal_rows_at_two_times_are_two_steps(self, engine: OfflineEngine, layout: Layout) -> None:
        assert steps(engine, rows_of(layout, ("a", 1, 7), ("a", 2, 7)), 0, 9) == [("a", 7, 1, 2), ("a", 7, 2, None)]

    def test_of_ties_the_greatest_is_the_step(self, engine: OfflineEngine, layout: Layout) -> None:
        assert steps(engine, rows_of(layout, ("a", 1, 1), ("a", 1, 2)), 0, 9) == [("a", 2, 1, None)]

    def test_null_is_a_value_and_a_null_key_has_no_step(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("a", 1, 1), ("a", 2, None), (None, 1, 5))
        assert steps(engine, join, 0, 9) == [("a", 1, 1, 2), ("a", None, 2, None)]

    def test_a_correction_is_a_step_from_when_it_was_created(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 1, 1, 10), ("a", 1, 5, 11), ("a", 3, None, 12), ("a", 2, 7, 13)))
        join = replace(join_of(rows), visibility="created")
        # what becomes known at 5 and 7 is older than what answers from 3 on
        assert steps(engine, join, 0, 9) == [("a", 10, 1, 3), ("a", 12, 3, None)]
        assert steps(engine, join_of(rows), 0, 9) == [("a", 11, 1, 2), ("a", 13, 2, 3), ("a", 12, 3, None)]

    def test_a_correction_of_what_answers_is_a_step_of_its_own(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 1, 1, 10), ("a", 1, 5, 10)))
        join = replace(join_of(rows), visibility="created")
        assert steps(engine, join, 0, 9) == [("a", 10, 1, 5), ("a", 10, 5, None)]

    def test_a_marker_uncovers_the_step_before(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(marked_table(("a", 1, 1, 10), ("a", 3, 3, 11), ("a", 3, 6)))
        join = replace(join_of(rows), visibility="created")
        assert steps(engine, join, 0, 9) == [("a", 10, 1, 3), ("a", 11, 3, 6), ("a", 10, 6, None)]
        assert steps(engine, join_of(rows), 0, 9) == [("a", 10, 1, None)]

    def test_a_marker_of_all_there_was_leaves_no_step(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(marked_table(("a", 3, 3, 11), ("a", 3, 6)))
        assert steps(engine, replace(join_of(rows), visibility="created"), 0, 9) == [("a", 11, 3, 6)]

    def test_timeless_rows_last_through_the_range(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(timeless_table(("b", 2), ("a", 1), (None, 3)))
        assert steps(engine, replace(join_of(rows), timeless=True), 4, 9) == [("a", 1, 4, None), ("b", 2, 4, None)]

    def test_a_view_without_keys_has_one_line_of_steps(self, engine: OfflineEngine, layout: Layout) -> None:
        assert steps(engine, join_of(layout(global_table((1, 10), (3, 11)))), 2, 9) == [(10, 2, 3), (11, 3, None)]

    def test_only_asked_entities_answer_in_the_order_of_keys(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("a", 1, 1), ("b", 1, 2), ("c", 1, 3))
        asked = pa.table({"k": array(["c", "nobody", None, "a", "c"], String)})
        assert steps(engine, join, 0, 9, asked) == [("a", 1, 1, None), ("c", 3, 1, None)]
        assert steps(engine, join, 0, 9, asked[:0]) == []
        timeless = replace(join_of(layout(timeless_table(("a", 1), ("b", 2)))), timeless=True)
        assert steps(engine, timeless, 0, 9, asked) == [("a", 1, 0, None)]

    def test_entities_without_a_key_or_of_another_type_are_refused(self, engine: OfflineEngine, layout: Layout) -> None:
        join = rows_of(layout, ("a", 1, 1))
        with pytest.raises(InputError, match=r"Entities: .*'k'"):
            steps(engine, join, 0, 9, pa.table({"q": ["a"]}))
        with pytest.raises(InputError, match=r"Entities: column 'k' .* must hold String, found int64"):
            steps(engine, join, 0, 9, pa.table({"k": [1]}))


class WindowRangeRules(EngineSuite):
    """Steps of windowed views: values, for as long as they are equal."""

    def test_values_change_where_an_event_enters_and_leaves(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 3, 10), ("a", 8, 5)))
        join = windows_of(rows, total(10), every_us=5)
        # v = 5: [-5, 5) has 10; v = 10: [0, 10) has both; v = 15: [5, 15) has 5; v = 20: nothing
        assert steps(engine, join, 0, 99) == [
            ("a", 10, 5, 10), ("a", 15, 10, 15), ("a", 5, 15, 20), ("a", None, 20, None),
        ]  # fmt: skip

    def test_equal_successive_values_are_one_step(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 1, 10), ("a", 6, 10), ("a", 11, 10)))
        assert steps(engine, windows_of(rows, total(5), every_us=5), 0, 15) == [("a", 10, 5, None)]
        assert steps(engine, windows_of(rows, total(5), every_us=5), 7, 99) == [("a", 10, 7, 20), ("a", None, 20, None)]

    def test_nan_equals_nan(self, engine: OfflineEngine, layout: Layout) -> None:
        nan = float("nan")
        rows = layout(view_table(("a", 1, nan), ("a", 6, nan), dtype=Float64))
        [first, last] = steps(engine, windows_of(rows, replace(total(5), dtype=Float64), every_us=5), 0, 99)
        assert (str(first[1]), *first[2:]) == ("nan", 5, 15)
        assert last == ("a", None, 15, None)

    def test_a_windowed_step_begins_when_it_is_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        join = windows_of(layout(view_table(("a", 3, 10))), total(5), every_us=5, delay_us=2)
        assert steps(engine, join, 0, 99) == [("a", 10, 7, 12), ("a", None, 12, None)]
        found = read(engine.in_range(RangePlan(join, 9, 99)))
        assert found.column(STOOD_SINCE).cast(pa.int64()).to_pylist() == [5, 10]

    def test_after_the_watermark_the_last_value_stands(self, engine: OfflineEngine, layout: Layout) -> None:
        join = windows_of(layout(view_table(("a", 3, 10))), total(5), every_us=5, watermark_us=9)
        assert steps(engine, join, 0, 99) == [("a", 10, 5, None)]
        assert steps(engine, replace(join, ttl_us=6), 0, 99) == [("a", 10, 5, 12)]
        assert steps(engine, replace(join, ttl_us=6), 12, 99) == []

    def test_a_value_that_ages_before_the_next_leaves_a_gap(self, engine: OfflineEngine, layout: Layout) -> None:
        join = windows_of(layout(view_table(("a", 3, 10))), total(None), every_us=5, ttl_us=2)
        assert steps(engine, join, 0, 13) == [("a", 10, 5, 8), ("a", 10, 10, None)]
        assert steps(engine, replace(join, ttl_us=4), 0, 13) == [("a", 10, 5, None)]

    def test_continuous_values_change_just_after_an_event(self, engine: OfflineEngine, layout: Layout) -> None:
        join = windows_of(layout(view_table(("a", 3, 10), ("a", 5, 1))), total(4, offset_us=1))
        # at t the window is [t - 5, t - 1)
        assert steps(engine, join, 0, 99) == [
            ("a", None, 4, 5), ("a", 10, 5, 7), ("a", 11, 7, 9), ("a", 1, 9, 11), ("a", None, 11, None),
        ]  # fmt: skip

    def test_an_event_counts_from_when_it_was_created(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 1, None, 1), ("a", 2, 17, 10)))
        join = windows_of(rows, total(None), every_us=5, visibility="created")
        assert steps(engine, join, 0, 99) == [("a", 1, 5, 20), ("a", 11, 20, None)]
        late = windows_of(rows, total(None), every_us=5, visibility="created", delay_us=2)
        assert steps(engine, late, 0, 99) == [("a", 1, 7, 17), ("a", 11, 17, None)]

    def test_several_aggregates_change_together(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(with_column(view_table(("b", 2, 5), ("a", 3, 1)), "z", [7, 8], Int64))
        join = windows_of(rows, total(5), replace(total(None), name="all", value="z"), every_us=5)
        assert steps(engine, join, 6, 99) == [
            ("a", 1, 8, 6, 10), ("a", None, 8, 10, None), ("b", 5, 7, 6, 10), ("b", None, 7, 10, None),
        ]  # fmt: skip
        asked = pa.table({"k": array(["b"], String)})
        assert [step[0] for step in steps(engine, join, 6, 99, asked)] == ["b", "b"]
