"""Which events a windowed value covers, when it changes, and what it answers where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from featurestore.definitions.functions import result_type
from featurestore.dtypes import Bool, DType, Int64, python_micros
from featurestore.engines.base import OfflineEngine
from featurestore.plan.nodes import Rows
from featurestore.plan.windows import WindowAggregate, WindowJoin, WindowSteps
from featurestore.testing.engines.suite import (
    ABSENT,
    PRESENT,
    TOO_OLD,
    Answer,
    EngineSuite,
    answers,
    history,
    spine_of,
)
from featurestore.testing.engines.tables import Layout, global_table, view_table, with_column

DAY_US = 86_400_000_000
EMPTY = (None, PRESENT)


def aggregate(function: str, window_us: int | None, of: DType | None = Int64, **fields: Any) -> WindowAggregate:
    """An aggregate named `y` of the column `x`, whose type is `of` (None: of rows); `fields` are its other fields."""
    params = {"series": fields["series"]} if "series" in fields else {}
    named = {"name": "y", "value": None if of is None else "x", **fields}
    return WindowAggregate(dtype=result_type(function, of, params), function=function, window_us=window_us, **named)


def total(window_us: int | None, **fields: Any) -> WindowAggregate:
    """The sum of `x`, named `y`."""
    return aggregate("sum", window_us, **fields)


def windows_of(rows: Rows, *aggregates: WindowAggregate, ttl_us: int | None = None, **rules: Any) -> WindowJoin:
    """A join labelled `view`, keys looked up by columns of the same names; `rules` are fields of its steps."""
    keys = tuple((key.name, key.name) for key in rows.keys)
    return WindowJoin("view", WindowSteps(rows, aggregates, **rules), keys, ttl_us)


def ask_windows(
    engine: OfflineEngine,
    rows: Rows,
    asked: WindowAggregate,
    spine: Sequence[tuple[str | None, int | None]],
    **rules: Any,
) -> list[Answer]:
    """Value of `y` and status at each (key, instant)."""
    return answers(history(engine, spine_of(spine), windows_of(rows, asked, **rules)), "y")


def at(key: str, *instants: int) -> list[tuple[str | None, int | None]]:
    """A spine that asks one key at several instants."""
    return [(key, instant) for instant in instants]


def present(*values: object) -> list[Answer]:
    """Values that are there, or null because the window is empty."""
    return [(value, PRESENT) for value in values]


def day_us(text: str) -> int:
    """The midnight of a day."""
    return python_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


class WindowRules(EngineSuite):
    """The window [v - offset - window, v - offset), and the grid that v lies on."""

    def test_an_event_at_the_start_of_the_window_counts(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 15, 16)) == present(1, None)

    def test_an_event_at_the_end_of_the_window_does_not_count(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 6, 1), ("a", 10, 2)))
        assert ask_windows(engine, rows, total(5), at("a", 10, 11)) == present(1, 3)

    def test_an_event_at_v_is_not_before_it(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 10, 11)) == [ABSENT, (1, PRESENT)]

    def test_an_offset_moves_both_ends_back(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        asked = at("a", 13, 14, 18, 19)
        assert ask_windows(engine, rows, total(5, offset_us=3), asked) == present(None, 1, 1, None)

    def test_an_offset_hides_no_key(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5, offset_us=100), at("a", 10, 11)) == [ABSENT, EMPTY]

    def test_a_lifetime_window_covers_all_events_before_v(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", -(10**15), 1), ("a", 10, 2), ("a", 20, 4)))
        asked = at("a", -(10**15), 10, 20, 21, 10**15)
        assert ask_windows(engine, rows, total(None), asked) == [ABSENT, *present(1, 3, 7, 7)]

    def test_a_lifetime_window_may_have_an_offset(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1), ("a", 20, 2)))
        assert ask_windows(engine, rows, total(None, offset_us=5), at("a", 15, 16, 25, 26)) == present(None, 1, 1, 3)

    def test_values_change_at_the_steps_of_the_grid_alone(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        asked = at("a", 5, 9, 10, 14, 15, 19, 20)
        expected = [ABSENT, ABSENT, *present(1, 1, 1, 1, None)]
        assert ask_windows(engine, rows, total(10), asked, every_us=5) == expected

    def test_an_event_at_a_step_counts_from_the_next_one_on(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        asked = at("a", 10, 14, 15, 19, 20)
        assert ask_windows(engine, rows, total(5), asked, every_us=5) == [ABSENT, ABSENT, *present(1, 1, None)]

    def test_the_grid_goes_through_1970_whatever_the_first_event(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", -8, 1)))
        asked = at("a", -8, -7, -1, 0, 6, 7)
        expected = [ABSENT, *present(1, 1, 1, 1, None)]
        assert ask_windows(engine, rows, total(8), asked, every_us=7) == expected

    def test_steps_need_not_divide_the_window(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 1, 1), ("a", 3, 2), ("a", 5, 4)))
        asked = at("a", 3, 6, 9, 12)
        assert ask_windows(engine, rows, total(4), asked, every_us=3) == present(1, 6, 4, None)

    def test_a_delay_shows_a_step_so_much_later(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        asked = at("a", 12, 13, 17, 18, 22, 23)
        expected = [ABSENT, *present(1, 1, None, None, None)]
        assert ask_windows(engine, rows, total(5), asked, every_us=5, delay_us=3) == expected

    def test_a_delay_longer_than_the_step_keeps_the_grid(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 21, 22), every_us=5, delay_us=12) == [ABSENT, (1, PRESENT)]

    def test_after_the_watermark_the_last_step_before_it_stands(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        asked = at("a", 10, 15, 99)
        assert ask_windows(engine, rows, total(5), asked, every_us=5, watermark_us=14) == present(1, 1, 1)
        assert ask_windows(engine, rows, total(5), asked, every_us=5, watermark_us=15) == present(1, None, None)

    def test_a_delay_does_not_move_the_watermark(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1), ("a", 12, 2)))
        rules = {"every_us": 5, "delay_us": 4, "watermark_us": 14}
        assert ask_windows(engine, rows, total(9), at("a", 13, 14, 19, 99), **rules) == [ABSENT, *present(1, 1, 1)]

    def test_without_a_grid_the_window_ends_at_the_asked_instant(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1), ("a", 12, 2)))
        asked = at("a", 10, 11, 12, 13, 15, 16, 17, 18)
        expected = [ABSENT, *present(1, 1, 3, 3, 2, 2, None)]
        assert ask_windows(engine, rows, total(5), asked) == expected

    def test_without_a_grid_the_watermark_is_the_last_instant(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 15, 16, 99), watermark_us=15) == present(1, 1, 1)

    def test_two_rows_at_one_instant_are_two_events(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1), ("a", 10, 1), ("a", 10, 4)))
        assert ask_windows(engine, rows, total(5), at("a", 11)) == present(6)

    def test_windows_longer_than_all_time_are_no_error(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", -(10**15), 1), ("a", 10**15, 2)))
        asked = at("a", -(10**15) + 1, 10**15 + 1)
        assert ask_windows(engine, rows, total(10**17), asked) == present(1, 3)

    def test_the_order_of_the_source_decides_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 12, 2), ("b", 10, 8), ("a", 10, 1), ("b", 14, 16), ("a", 14, 4)))
        assert ask_windows(engine, rows, total(5), [("b", 15), ("a", 15), ("a", 13)]) == present(24, 7, 3)

    def test_daily_sums_over_1_7_and_30_days(self, engine: OfflineEngine, layout: Layout) -> None:
        events = (("2012-12-31", 10), ("2013-01-09", 20), ("2013-01-14", 30))
        rows = layout(view_table(*(("a", day_us(day) + DAY_US // 2, value) for day, value in events)))
        sums = [total(days * DAY_US, name=f"over_{days}") for days in (1, 7, 30)]
        days = ("2013-01-02", "2013-01-10", "2013-01-15", "2013-01-17", "2013-01-31")
        spine = spine_of(at("a", *(day_us(day) for day in days)))
        found = history(engine, spine, windows_of(rows, *sums, every_us=DAY_US))
        assert found.column("over_1").to_pylist() == [None, 20, 30, None, None]
        assert found.column("over_7").to_pylist() == [10, 20, 50, 30, None]
        assert found.column("over_30").to_pylist() == [10, 30, 60, 60, 50]

    def test_maxima_over_ten_minutes_in_steps_of_five(self, engine: OfflineEngine, layout: Layout) -> None:
        minute = 60_000_000
        events = ((1, 100), (6, 1), (11, 2), (16, 4))
        rows = layout(view_table(*(("a", time * minute, value) for time, value in events)))
        asked = at("a", *(time * minute for time in (5, 10, 15, 20)))
        found = ask_windows(engine, rows, aggregate("max", 10 * minute), asked, every_us=5 * minute)
        assert found == present(100, 100, 2, 4)


class WindowStatusRules(EngineSuite):
    """What stands where there is no event: NOT_FOUND, OUTSIDE_MAX_AGE, or an empty window."""

    def test_an_empty_window_counts_zero_and_is_null_otherwise(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 99)) == [EMPTY]
        assert ask_windows(engine, rows, aggregate("count", 5), at("a", 99)) == present(0)
        assert ask_windows(engine, rows, aggregate("count", 5, None), at("a", 99)) == present(0)

    def test_before_the_first_event_even_a_count_is_null(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, aggregate("count", 5), [("a", 10), ("b", 99), (None, 99)]) == [ABSENT] * 3

    def test_without_an_instant_there_is_no_step(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), [("a", None), ("a", 11)], every_us=1) == [ABSENT, (1, PRESENT)]

    def test_an_empty_windowed_view_answers_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask_windows(engine, layout(view_table()), total(5), at("a", 10, 20)) == [ABSENT, ABSENT]

    def test_an_empty_spine_has_no_answers(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask_windows(engine, layout(view_table(("a", 10, 1))), total(5), []) == []

    def test_the_age_is_counted_from_v_and_both_ends_are_included(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        asked = at("a", 10, 13, 14, 20, 24)
        expected = [*present(1, 1), TOO_OLD, EMPTY, TOO_OLD]
        assert ask_windows(engine, rows, total(10), asked, every_us=10, ttl_us=3) == expected

    def test_a_step_grows_old_after_the_watermark(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        rules = {"every_us": 5, "watermark_us": 11, "ttl_us": 5}
        assert ask_windows(engine, rows, total(10), at("a", 15, 16), **rules) == [(1, PRESENT), TOO_OLD]

    def test_a_delay_makes_every_step_older(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        rules = {"every_us": 5, "delay_us": 3, "ttl_us": 5}
        assert ask_windows(engine, rows, total(10), at("a", 15, 16, 18), **rules) == [
            (1, PRESENT),
            TOO_OLD,
            (1, PRESENT),
        ]

    def test_a_key_that_was_never_seen_is_never_too_old(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), [("b", 99)], watermark_us=20, ttl_us=0) == [ABSENT]

    def test_an_overflow_that_is_too_old_to_answer_is_no_error(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 2**63 - 1), ("a", 10, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 20), watermark_us=11, ttl_us=8) == [TOO_OLD]

    def test_each_spine_row_is_answered_in_its_place(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1), ("b", 10, 2)))
        spine = [("b", 11), ("c", 11), ("a", 12), ("b", 11), ("a", 10), ("a", 11)]
        expected = [(2, PRESENT), ABSENT, (1, PRESENT), (2, PRESENT), ABSENT, (1, PRESENT)]
        assert ask_windows(engine, rows, total(5), spine) == expected

    def test_keys_of_several_columns_do_not_run_together(self, engine: OfflineEngine, layout: Layout) -> None:
        view = with_column(view_table(("1", 10, 1), ("12", 10, 2)), "l", ["23", "3"], key=True)
        spine = pa.table(
            {"k": ["1", "12", "12"], "l": ["23", "3", "23"], "t": spine_of(at("", 11, 11, 11)).column("t")}
        )
        found = history(engine, spine, windows_of(layout(view), total(5)))
        assert answers(found, "y") == [(1, PRESENT), (2, PRESENT), ABSENT]

    def test_a_view_without_keys_has_one_row_for_all(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(global_table((10, 1), (12, 2)))
        assert ask_windows(engine, rows, total(5), [("a", 11), (None, 13), ("b", 10)]) == [*present(1, 3), ABSENT]

    @pytest.mark.parametrize("key", ["a", None])
    def test_a_row_without_key_is_of_no_key(self, engine: OfflineEngine, layout: Layout, key: str | None) -> None:
        rows = layout(view_table((None, 10, 1)))
        assert ask_windows(engine, rows, aggregate("count", 5), [(key, 11)]) == [ABSENT]


class MaskRules(EngineSuite):
    """Events that a condition leaves out."""

    @pytest.fixture
    def masked(self, layout: Layout) -> Rows:
        """Five events with the conditions `m` and `u`."""
        view = view_table(("a", 10, 1), ("a", 11, 2), ("a", 12, 4), ("a", 13, None), ("b", 10, 8))
        view = with_column(view, "m", [True, False, None, True, False], Bool)
        return layout(with_column(view, "u", [True, True, None, True, False], Bool))

    def test_a_condition_that_is_false_or_null_leaves_an_event_out(self, engine: OfflineEngine, masked: Rows) -> None:
        assert ask_windows(engine, masked, total(5, mask="m"), at("a", 14)) == present(1)
        assert ask_windows(engine, masked, aggregate("count", 5, None, mask="m"), at("a", 14)) == present(2)
        assert ask_windows(engine, masked, aggregate("count", 5, mask="m"), at("a", 14)) == present(1)

    def test_an_event_that_is_left_out_still_makes_its_key_known(self, engine: OfflineEngine, masked: Rows) -> None:
        assert ask_windows(engine, masked, aggregate("count", 5, mask="m"), at("b", 10, 11)) == [ABSENT, (0, PRESENT)]

    def test_a_ratio_is_the_count_of_one_condition_over_another(self, engine: OfflineEngine, masked: Rows) -> None:
        ratio = aggregate("ratio", 5, None, mask="m", under="u")
        assert ask_windows(engine, masked, ratio, [("a", 11), ("a", 14), ("a", 18), ("a", 19)]) == present(
            1.0, 2 / 3, 1.0, None
        )

    def test_a_ratio_may_be_of_all_events_on_either_side(self, engine: OfflineEngine, masked: Rows) -> None:
        assert ask_windows(engine, masked, aggregate("ratio", 5, None, mask="m"), at("a", 14)) == present(0.5)
        assert ask_windows(engine, masked, aggregate("ratio", 5, None, under="m"), at("a", 14)) == present(2.0)

    def test_a_ratio_of_a_column_skips_its_nulls(self, engine: OfflineEngine, masked: Rows) -> None:
        assert ask_windows(engine, masked, aggregate("ratio", 5, mask="m"), at("a", 14)) == present(1 / 3)

    def test_a_ratio_over_nothing_is_null(self, engine: OfflineEngine, masked: Rows) -> None:
        assert ask_windows(engine, masked, aggregate("ratio", 5, None, under="m"), at("b", 11)) == [EMPTY]
