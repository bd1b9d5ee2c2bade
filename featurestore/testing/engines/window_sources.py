"""Events that were sent again, became known late or lie before a start; windowed views beside others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from featurestore.dtypes import Int64
from featurestore.engines.base import OfflineEngine
from featurestore.plan.nodes import Rows
from featurestore.testing.engines.suite import (
    ABSENT,
    PRESENT,
    TOO_OLD,
    EngineSuite,
    answers,
    history,
    join_of,
    spine_of,
)
from featurestore.testing.engines.tables import (
    Layout,
    corrected_table,
    source_rows,
    stored_rows,
    timeless_table,
    view_table,
    with_column,
)
from featurestore.testing.engines.windows import aggregate, ask_windows, at, present, total, windows_of


class EventIdRules(EngineSuite):
    """Rows of one event id are one event, sent again: the one created last counts."""

    def _total(self, engine: OfflineEngine, rows: Rows, *instants: int, **rules: int) -> list[object]:
        return [value for value, _ in ask_windows(engine, rows, total(5), at("a", *instants), event_id="id", **rules)]

    def test_of_rows_with_one_id_the_one_created_last_counts(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 10, 12, 1), ("a", 10, 14, 2), ("a", 10, 13, 4), ("a", 10, 11, 8))
        assert self._total(engine, layout(with_column(view, "id", [7, 7, 7, 9], Int64)), 11) == [10]

    def test_without_created_times_the_row_ingested_last_counts(self, engine: OfflineEngine, layout: Layout) -> None:
        view = view_table(("a", 10, 1), ("a", 10, 4), ("a", 10, 2))
        assert self._total(engine, layout(with_column(view, "id", ["x", "x", "x"])), 11) == [2]

    def test_of_rows_created_at_once_the_later_event_time_counts_then_the_greater_key(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        view = corrected_table(("a", 12, 12, 1), ("a", 11, 12, 2), ("b", 12, 12, 4), ("a", 12, 12, 8))
        rows = layout(with_column(view, "id", ["x", "x", "y", "y"]))
        asked = [("a", 13), ("b", 13)]
        assert ask_windows(engine, rows, total(5), asked, event_id="id") == [(1, PRESENT), (4, PRESENT)]

    def test_of_rows_with_one_id_a_null_created_time_is_the_lowest(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 10, -(10**15), 1), ("a", 10, None, 2))
        assert self._total(engine, layout(with_column(view, "id", ["x", "x"])), 11) == [1]

    def test_a_row_sent_again_with_another_time_moves(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 10, 10, 1), ("a", 20, 25, 2), ("a", 9, 9, 4))
        assert self._total(engine, layout(with_column(view, "id", ["x", "x", "y"])), 11, 21) == [4, 2]

    def test_a_row_sent_again_with_another_key_moves(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(with_column(corrected_table(("a", 10, 10, 1), ("b", 10, 11, 2)), "id", ["x", "x"]))
        asked = [("a", 11), ("b", 11)]
        assert ask_windows(engine, rows, total(5), asked, event_id="id") == [ABSENT, (2, PRESENT)]

    def test_rows_without_an_id_are_events_of_their_own(self, engine: OfflineEngine, layout: Layout) -> None:
        view = view_table(("a", 10, 1), ("a", 10, 2), ("a", 10, 4))
        assert self._total(engine, layout(with_column(view, "id", [None, "x", None])), 11) == [7]

    def test_a_row_at_the_watermark_replaces_none_before_it(self, engine: OfflineEngine, layout: Layout) -> None:
        view = corrected_table(("a", 10, 10, 1), ("a", 15, 16, 2))
        rows = layout(with_column(view, "id", ["x", "x"]))
        assert self._total(engine, rows, 11, 99, watermark_us=15) == [1, 1]
        assert self._total(engine, rows, 11, 99, watermark_us=16) == [None, 2]

    def test_a_row_before_the_start_replaces_none_after_it(self, engine: OfflineEngine) -> None:
        view = with_column(corrected_table(("a", 10, 10, 1), ("a", 9, 16, 2)), "id", ["x", "x"])
        rows = replace(source_rows(view), start_us=10, events=True)
        assert self._total(engine, rows, 11) == [1]


class KnownEventRules(EngineSuite):
    """With visibility "created" a value at v covers the events created by v + delay."""

    def test_by_default_a_created_time_hides_no_event(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 10, 99, 1)))
        assert ask_windows(engine, rows, total(5), at("a", 11)) == present(1)

    def test_an_event_counts_from_its_created_time_on(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 10, 10, 1), ("a", 11, 14, 2)))
        asked = at("a", 12, 13, 14, 15, 16, 17)
        assert ask_windows(engine, rows, total(5), asked, visibility="created") == present(1, 1, 3, 3, 2, None)

    def test_an_event_created_after_it_left_the_window_never_counts(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        rows = layout(corrected_table(("a", 10, 16, 1)))
        asked = at("a", 15, 16)
        assert ask_windows(engine, rows, total(5), asked, visibility="created") == [ABSENT, (None, PRESENT)]

    def test_a_key_is_known_from_its_first_known_event_on(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 10, 30, 1), ("a", 20, 22, 2)))
        asked = at("a", 11, 21, 22, 30)
        expected = [ABSENT, ABSENT, (2, PRESENT), (3, PRESENT)]
        assert ask_windows(engine, rows, total(None), asked, visibility="created") == expected

    def test_a_null_created_time_is_known_at_once(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 10, None, 1), ("a", 10, 14, 2)))
        assert ask_windows(engine, rows, total(5), at("a", 11, 14), visibility="created") == present(1, 3)

    def test_what_is_known_by_the_end_of_the_delay_counts(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 7, 13, 1), ("a", 8, 14, 2)))
        rules = {"every_us": 5, "delay_us": 3, "visibility": "created"}
        asked = at("a", 12, 13, 17, 18)  # the steps 5, 10, 10 and 15
        assert ask_windows(engine, rows, total(9), asked, **rules) == [ABSENT, *present(1, 1, 3)]

    def test_a_step_stands_whatever_becomes_known_until_the_next(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 7, 7, 1), ("a", 8, 12, 2)))
        rules = {"every_us": 5, "visibility": "created"}
        assert ask_windows(engine, rows, total(9), at("a", 10, 14, 15), **rules) == present(1, 1, 3)

    def test_after_the_watermark_nothing_becomes_known(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 7, 7, 1), ("a", 8, 12, 2)))
        rules = {"watermark_us": 11, "visibility": "created"}
        assert ask_windows(engine, rows, total(9), at("a", 10, 99), **rules) == present(1, 1)


class WindowStartRules(EngineSuite):
    """Rows from a start hold no event before it."""

    def test_events_before_the_start_do_not_exist(self, engine: OfflineEngine) -> None:
        rows = replace(source_rows(view_table(("a", 9, 1), ("a", 10, 2), ("b", 9, 4))), start_us=10, events=True)
        asked = [("a", 10), ("a", 11), ("b", 11)]
        assert ask_windows(engine, rows, total(None), asked) == [ABSENT, (2, PRESENT), ABSENT]


class WindowJoinRules(EngineSuite):
    """Windowed views beside others in one retrieval."""

    def test_several_windows_of_one_view_are_answered_at_once(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1), ("a", 12, 2), ("a", 14, 4)))
        asked = [
            total(2, name="two"),
            aggregate("count", 4, None, name="four"),
            aggregate("max", None, name="ever"),
            total(2, name="before", offset_us=2),
            aggregate("mean", 9, name="mean"),
        ]
        found = history(engine, spine_of(at("a", 15, 13, 10)), windows_of(rows, *asked))
        assert found.column_names == ["k", "t", "two", "four", "ever", "before", "mean", "view__status"]
        assert answers(found, "two") == [(4, PRESENT), (2, PRESENT), ABSENT]
        assert answers(found, "four") == [(2, PRESENT), (2, PRESENT), ABSENT]
        assert answers(found, "ever") == [(4, PRESENT), (2, PRESENT), ABSENT]
        assert answers(found, "before") == [(2, PRESENT), (1, PRESENT), ABSENT]
        assert answers(found, "mean") == [(7 / 3, PRESENT), (1.5, PRESENT), ABSENT]

    def test_one_aggregate_may_be_asked_under_two_names(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 1)))
        found = history(engine, spine_of(at("a", 11)), windows_of(rows, total(5), total(5, name="z")))
        assert (answers(found, "y"), answers(found, "z")) == (present(1), present(1))

    def test_aliases_and_plain_views_do_not_mix(self, engine: OfflineEngine, layout: Layout, tmp_path: Path) -> None:
        rows = layout(view_table(("a", 10, 1), ("a", 11, 2), ("b", 10, 8)))
        here = replace(windows_of(rows, total(5, name="here")), label="here", keys=(("k", "from"),))
        there = windows_of(rows, total(1, name="there"), watermark_us=12, ttl_us=3)
        there = replace(there, label="there", keys=(("k", "to"),))
        late = windows_of(rows, aggregate("count", None, name="late"), every_us=10, delay_us=2, watermark_us=20)
        plain = replace(join_of(rows, "plain", "plain__"), keys=(("k", "to"),))
        names = stored_rows(timeless_table(("a", 7)), tmp_path / "names")
        timeless = replace(join_of(names, "timeless", "t__"), keys=(("k", "from"),), timeless=True)
        spine = spine_of([("a", 12), ("b", 15), ("x", 99)]).rename_columns(["from", "t"])
        spine = spine.append_column("to", pa.array(["b", "a", "a"])).append_column("k", pa.array(["a", "b", "a"]))
        found = history(engine, spine, plain, here, timeless, there, replace(late, label="late"))
        assert answers(found, "here", "here") == [(3, PRESENT), (8, PRESENT), ABSENT]
        assert answers(found, "there", "there") == [(None, PRESENT), (2, PRESENT), TOO_OLD]
        assert answers(found, "late", "late") == [ABSENT, ABSENT, (2, PRESENT)]
        assert answers(found, "plain__x", "plain") == [(8, PRESENT), (2, PRESENT), (2, PRESENT)]
        assert answers(found, "t__x", "timeless") == [(7, PRESENT), ABSENT, ABSENT]
