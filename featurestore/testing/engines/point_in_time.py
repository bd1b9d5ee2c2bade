"""Which row answers at an instant: bounds, ages, delays, ties, corrections."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from featurestore.engines.base import OfflineEngine
from featurestore.testing.engines.suite import (
    ABSENT,
    NOT_FOUND,
    PRESENT,
    TOO_OLD,
    EngineSuite,
    answers,
    ask,
    history,
    join_of,
    spine_of,
)
from featurestore.testing.engines.tables import (
    Layout,
    corrected_table,
    source_rows,
    timeless_table,
    view_table,
)


class PointInTimeRules(EngineSuite):
    """Bounds, time to live, delay."""

    def test_the_latest_row_at_or_before_the_instant_answers(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("a", 20, 2), ("a", 30, 3)))
        assert ask(engine, view, [("a", 25), ("a", 30), ("a", 99)]) == [(2, PRESENT), (3, PRESENT), (3, PRESENT)]

    def test_a_row_at_the_very_instant_is_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table(("a", 10, 1))), [("a", 10)]) == [(1, PRESENT)]

    def test_a_row_one_microsecond_later_is_never_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table(("a", 10, 1))), [("a", 9)]) == [ABSENT]

    def test_the_order_of_the_source_decides_nothing_but_ties(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 30, 3), ("b", 20, 7), ("a", 10, 1), ("a", 20, 2)))
        assert ask(engine, view, [("a", 25), ("b", 25)]) == [(2, PRESENT), (7, PRESENT)]

    def test_an_instant_before_1970_is_as_good_as_any(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", -20, 1), ("a", -10, 2), ("a", 0, 3)))
        expected = [ABSENT, (1, PRESENT), (2, PRESENT), (3, PRESENT)]
        assert ask(engine, view, [("a", -21), ("a", -11), ("a", -1), ("a", 0)]) == expected

    def test_instants_centuries_apart_keep_their_microseconds(self, engine: OfflineEngine, layout: Layout) -> None:
        year_1700, year_2300 = -8_520_336_000_000_001, 10_413_792_000_000_001
        view = layout(view_table(("a", year_1700, 1), ("a", year_2300, 2)))
        spine = [("a", year_1700 - 1), ("a", year_1700), ("a", year_2300 - 1), ("a", year_2300)]
        assert ask(engine, view, spine) == [ABSENT, (1, PRESENT), (1, PRESENT), (2, PRESENT)]

    def test_a_spine_row_without_instant_finds_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1)))
        assert ask(engine, view, [("a", None), ("a", 10)], ttl_us=5) == [ABSENT, (1, PRESENT)]

    def test_a_source_row_without_event_time_is_never_seen(self, engine: OfflineEngine) -> None:
        view = source_rows(view_table(("a", None, 9), ("a", 10, 1)))
        assert ask(engine, view, [("a", 9), ("a", 10)]) == [ABSENT, (1, PRESENT)]

    def test_both_ends_of_the_ttl_are_included(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1)))
        expected = [ABSENT, (1, PRESENT), (1, PRESENT), TOO_OLD]
        assert ask(engine, view, [("a", 9), ("a", 10), ("a", 15), ("a", 16)], ttl_us=5) == expected

    def test_without_ttl_a_row_answers_forever(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table(("a", 10, 1))), [("a", 10**15)]) == [(1, PRESENT)]

    def test_a_ttl_longer_than_all_time_is_no_error(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", -(10**15), 1)))
        assert ask(engine, view, [("a", 10**15)], ttl_us=9 * 10**18) == [(1, PRESENT)]

    def test_a_newer_row_is_judged_by_its_own_age(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("a", 20, 2)))
        expected = [TOO_OLD, (2, PRESENT), (2, PRESENT), TOO_OLD]
        assert ask(engine, view, [("a", 19), ("a", 20), ("a", 25), ("a", 26)], ttl_us=5) == expected

    def test_a_delay_hides_a_row_until_its_very_end(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("a", 20, 2)))
        expected = [ABSENT, (1, PRESENT), (1, PRESENT), (2, PRESENT)]
        assert ask(engine, view, [("a", 12), ("a", 13), ("a", 22), ("a", 23)], delay_us=3) == expected

    def test_a_delay_leaves_the_age_counted_from_the_event(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1)))
        expected = [ABSENT, (1, PRESENT), (1, PRESENT), TOO_OLD]
        assert ask(engine, view, [("a", 12), ("a", 13), ("a", 15), ("a", 16)], delay_us=3, ttl_us=5) == expected

    def test_a_delay_longer_than_the_ttl_shows_a_row_only_when_too_old(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(view_table(("a", 10, 1)))
        assert ask(engine, view, [("a", 16), ("a", 17)], delay_us=7, ttl_us=5) == [ABSENT, TOO_OLD]

    def test_a_null_in_the_row_in_force_is_a_value(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("a", 20, None)))
        assert ask(engine, view, [("a", 20), ("b", 20)]) == [(None, PRESENT), ABSENT]

    def test_an_empty_view_answers_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table()), [("a", 10), ("b", 20)]) == [ABSENT, ABSENT]

    def test_an_empty_timeless_view_answers_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(timeless_table()), [("a", 10)], timeless=True) == [ABSENT]

    def test_a_timeless_row_is_seen_at_all_times(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(timeless_table(("a", 1), ("b", 2)))
        spine = [("a", -(10**15)), ("b", 0), ("a", 10**15), ("c", 0)]
        assert ask(engine, view, spine, timeless=True) == [(1, PRESENT), (2, PRESENT), (1, PRESENT), ABSENT]


class TieRules(EngineSuite):
    """Rows of one key and one event time, and rows that correct others."""

    def test_the_later_created_time_wins_at_equal_event_time(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(corrected_table(("a", 10, 13, 2), ("a", 10, 15, 3), ("a", 10, 11, 1)))
        assert ask(engine, view, [("a", 20)]) == [(3, PRESENT)]

    def test_a_later_event_time_wins_over_a_later_created_time(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(corrected_table(("a", 10, 99, 1), ("a", 11, 12, 2)))
        assert ask(engine, view, [("a", 20)]) == [(2, PRESENT)]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_null_created_time_is_the_lowest(
        self, engine: OfflineEngine, layout: Layout, order: tuple[int, int]
    ) -> None:
        rows = [("a", 10, None, 1), ("a", 10, -(10**15), 2)]
        assert ask(engine, layout(corrected_table(*(rows[i] for i in order))), [("a", 20)]) == [(2, PRESENT)]

    @pytest.mark.parametrize("created", [None, 12])
    def test_the_row_ingested_last_wins_when_all_times_are_equal(
        self, engine: OfflineEngine, layout: Layout, created: int | None
    ) -> None:
        view = layout(corrected_table(("a", 10, created, 3), ("a", 10, created, 1), ("a", 10, created, 2)))
        assert ask(engine, view, [("a", 10)]) == [(2, PRESENT)]

    def test_without_created_times_the_row_ingested_last_wins(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table(("a", 10, 2), ("a", 10, 1))), [("a", 10)]) == [(1, PRESENT)]

    def test_the_winner_of_a_tie_answers_even_when_its_value_is_null(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(view_table(("a", 10, 5), ("a", 10, None)))
        assert ask(engine, view, [("a", 10)]) == [(None, PRESENT)]

    def test_three_equal_rows_answer_as_one(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(corrected_table(*[("a", 10, 11, 7)] * 3))
        assert ask(engine, view, [("a", 20), ("a", 9)]) == [(7, PRESENT), ABSENT]

    def test_a_created_time_after_the_instant_hides_nothing_by_default(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 10, 11, 1), ("a", 10, 50, 2)))
        assert ask(engine, view, [("a", 20)]) == [(2, PRESENT)]

    def test_with_visibility_created_a_row_hides_until_its_created_time(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 10, 11, 1), ("a", 10, 50, 2)))
        expected = [ABSENT, (1, PRESENT), (1, PRESENT), (2, PRESENT)]
        assert ask(engine, view, [("a", 10), ("a", 11), ("a", 49), ("a", 50)], visibility="created") == expected

    def test_with_visibility_created_an_older_event_seen_late_stays_older(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 20, 21, 2), ("a", 10, 50, 1)))
        assert ask(engine, view, [("a", 60)], visibility="created") == [(2, PRESENT)]

    def test_with_visibility_created_a_newer_event_not_yet_known_leaves_the_older_one(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 10, 10, 1), ("a", 20, 40, 2), ("a", 30, 35, 3)))
        expected = [(1, PRESENT), (3, PRESENT), (3, PRESENT)]
        assert ask(engine, view, [("a", 34), ("a", 35), ("a", 45)], visibility="created") == expected

    def test_with_visibility_created_a_null_created_time_hides_nothing(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 10, None, 1), ("a", 20, 30, 2)))
        assert ask(engine, view, [("a", 9), ("a", 10)], visibility="created") == [ABSENT, (1, PRESENT)]

    def test_with_visibility_created_the_delay_holds_as_well(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(corrected_table(("a", 10, 12, 1), ("b", 10, 19, 2)))
        spine = [("a", 14), ("a", 15), ("b", 18), ("b", 19)]
        expected = [ABSENT, (1, PRESENT), ABSENT, (2, PRESENT)]
        assert ask(engine, view, spine, visibility="created", delay_us=5) == expected

    def test_with_visibility_created_the_age_is_counted_from_the_event(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = layout(corrected_table(("a", 10, 14, 1)))
        expected = [ABSENT, (1, PRESENT), (1, PRESENT), TOO_OLD]
        spine = [("a", 13), ("a", 14), ("a", 15), ("a", 16)]
        assert ask(engine, view, spine, visibility="created", ttl_us=5) == expected

    def test_rows_from_a_start_keep_each_keys_last_row_before_it(self, engine: OfflineEngine) -> None:
        view = view_table(("a", 1, 1), ("a", 2, 2), ("a", 10, 3), ("b", 3, 4))
        rows = replace(source_rows(view), start_us=5)
        spine = [("a", 1), ("a", 2), ("a", 7), ("a", 10), ("b", 4)]
        expected = [ABSENT, (2, PRESENT), (2, PRESENT), (3, PRESENT), (4, PRESENT)]
        assert ask(engine, rows, spine) == expected

    def test_the_last_row_before_a_start_is_decided_as_every_tie(self, engine: OfflineEngine) -> None:
        view = corrected_table(("a", 2, 8, 1), ("a", 2, 9, 2), ("a", 2, None, 3), ("a", 5, 5, 4))
        rows = replace(source_rows(view), start_us=5)
        assert ask(engine, rows, [("a", 4), ("a", 5)]) == [(2, PRESENT), (4, PRESENT)]


class JoinRules(EngineSuite):
    """Several joins in one retrieval."""

    def test_two_joins_of_one_view_under_different_aliases_do_not_mix(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        rows = layout(view_table(("a", 10, 1), ("b", 10, 2)))
        here = replace(join_of(rows, "here", "here__"), keys=(("k", "from"),))
        there = replace(join_of(rows, "there", "there__"), keys=(("k", "to"),))
        spine = spine_of([("a", 10), ("b", 10)]).rename_columns(["from", "t"]).append_column("to", pa.array(["b", "x"]))
        table = history(engine, spine, here, there)
        assert answers(table, "here__x", "here") == [(1, PRESENT), (2, PRESENT)]
        assert answers(table, "there__x", "there") == [(2, PRESENT), ABSENT]

    def test_each_join_has_its_own_rules_and_status(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        strict = replace(join_of(rows, "strict", "strict_"), ttl_us=5)
        late = replace(join_of(rows, "late", "late_"), delay_us=50)
        table = history(engine, spine_of([("a", 20)]), strict, late, join_of(rows, "plain"))
        assert answers(table, "strict_x", "strict") == [TOO_OLD]
        assert answers(table, "late_x", "late") == [ABSENT]
        assert answers(table, "x", "plain") == [(1, PRESENT)]

    def test_columns_stand_in_the_order_spine_joins_statuses(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        table = history(engine, spine_of([("a", 20)]), join_of(rows, "z", "z_"), join_of(rows, "a", "a_"))
        assert table.column_names == ["k", "t", "z_x", "a_x", "z__status", "a__status"]

    def test_a_join_without_columns_still_tells_its_status(self, engine: OfflineEngine, layout: Layout) -> None:
        join = replace(join_of(layout(view_table(("a", 10, 1)))), columns=())
        table = history(engine, spine_of([("a", 10), ("b", 10)]), join)
        assert table.column("view__status").to_pylist() == [PRESENT, NOT_FOUND]

    def test_a_column_may_be_asked_for_twice_under_two_names(self, engine: OfflineEngine, layout: Layout) -> None:
        join = join_of(layout(view_table(("a", 10, 1))))
        twice = replace(join, columns=(*join.columns, replace(join.columns[0], name="y")))
        table = history(engine, spine_of([("a", 10)]), twice)
        assert (table.column("x").to_pylist(), table.column("y").to_pylist()) == ([1], [1])

    def test_a_retrieval_without_joins_is_the_spine(self, engine: OfflineEngine) -> None:
        spine = spine_of([("a", 10), ("b", 5)])
        assert history(engine, spine).equals(spine)
