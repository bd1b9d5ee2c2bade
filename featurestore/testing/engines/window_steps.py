"""Which steps of a windowed view are published, and which are the rows of a view on it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from featurestore.dtypes import Bool, Float64, Int64, String, Timestamp
from featurestore.engines.base import OfflineEngine
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Computed, Rows, SourceRows, ViewScan
from featurestore.plan.windows import CurrentWindowsPlan, WindowAggregate, WindowSteps
from featurestore.testing.engines.suite import ABSENT, EngineSuite, answers, ask, history, read, spine_of
from featurestore.testing.engines.tables import (
    INSTANT,
    Layout,
    ViewTable,
    array,
    assert_same,
    bits,
    corrected_table,
    global_table,
    python_list,
    source_rows,
    view_table,
    with_column,
)
from featurestore.testing.engines.windows import aggregate, ask_windows, at, present, total, windows_of
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP

Key = tuple[object, ...]


class PublishedSteps:
    """What the online store would answer from published steps: each key's last step at or before v.

    `gone` are the keys that were asked for and have no step.
    """

    def __init__(self, published: pa.Table, steps: WindowSteps) -> None:
        columns = [python_list(published.column(key.name)) for key in steps.rows.keys]
        times = published.column(EVENT_TIMESTAMP).cast(pa.int64()).to_pylist()
        values = [python_list(published.column(aggregate.name)) for aggregate in steps.aggregates]
        self._steps: dict[Key, dict[int, list[object]]] = {}
        self.gone: list[Key] = []
        for row, v in enumerate(times):
            key = tuple(column[row] for column in columns)
            if v is None:
                self.gone.append(key)
                continue
            self._steps.setdefault(key, {})[v] = [column[row] for column in values]

    @property
    def keys(self) -> set[Key]:
        """The keys that are published."""
        return set(self._steps)

    def at(self, key: Key, v: int) -> object:
        """The values at v in a form equal when all their bits are; None when the key is not found."""
        visible = [step for step in self._steps.get(key, {}) if step <= v]
        return bits(self._steps[key][max(visible)]) if visible else None


Told = list[tuple[str, int, object]]


def published(
    engine: OfflineEngine,
    rows: Rows,
    watermark_us: int,
    asked: WindowAggregate | None = None,
    changed_since_us: int | None = None,
    **rules: Any,
) -> PublishedSteps:
    """What is published at the watermark; by default the sums over five microseconds."""
    steps = WindowSteps(rows, (asked or total(5),), watermark_us=watermark_us, **rules)
    plan = CurrentWindowsPlan(steps, watermark_us, changed_since_us)
    return PublishedSteps(read(engine.current_windows(plan)), steps)


class CurrentWindowsRules(EngineSuite):
    """Each key's step at the watermark, and the later ones that a delay still hides."""

    def test_the_last_step_before_the_watermark_is_published(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1), ("a", 12, 2), ("b", 1, 4)))
        found = published(engine, rows, 14, every_us=5)
        assert [found.at(("a",), v) for v in (10, 99)] == [bits([1]), bits([1])]
        assert found.at(("b",), 10) == bits([None])

    def test_a_watermark_on_the_grid_is_a_step(self, engine: OfflineEngine, layout: Layout) -> None:
        found = published(engine, layout(view_table(("a", 7, 1), ("a", 12, 2))), 15, every_us=5)
        assert found.at(("a",), 15) == bits([2])

    def test_without_a_grid_the_watermark_is_the_step(self, engine: OfflineEngine, layout: Layout) -> None:
        found = published(engine, layout(view_table(("a", 7, 1), ("a", 12, 2))), 13)
        assert (found.at(("a",), 13), found.at(("a",), 12)) == (bits([2]), None)

    def test_steps_that_a_delay_hides_are_published_too(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 1, 1), ("a", 7, 2), ("a", 12, 4)))
        found = published(engine, rows, 20, every_us=5, delay_us=12)
        assert [found.at(("a",), v) for v in (5, 10, 15, 20)] == [bits([x]) for x in (1, 2, 4, None)]

    def test_a_key_is_published_from_its_first_step_on(self, engine: OfflineEngine, layout: Layout) -> None:
        found = published(engine, layout(view_table(("a", 12, 4))), 20, every_us=5, delay_us=12)
        assert [found.at(("a",), v) for v in (10, 15, 20)] == [None, bits([4]), bits([None])]

    def test_keys_without_an_event_before_the_last_step_are_not_published(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        rows = layout(view_table(("a", 15, 1), ("b", 14, 2), (None, 1, 4)))
        assert published(engine, rows, 17, every_us=5).keys == {("b",)}

    def test_steps_before_1970_are_published(self, engine: OfflineEngine, layout: Layout) -> None:
        found = published(engine, layout(view_table(("a", -8, 1))), -1, every_us=5, delay_us=5)
        assert [found.at(("a",), v) for v in (-10, -5)] == [None, bits([1])]

    def test_an_empty_view_publishes_nothing(self, engine: OfflineEngine, layout: Layout) -> None:
        assert published(engine, layout(view_table()), 20, every_us=5).keys == set()

    def test_a_view_without_keys_publishes_one(self, engine: OfflineEngine, layout: Layout) -> None:
        found = published(engine, layout(global_table((7, 1), (8, 2))), 10, every_us=5)
        assert (found.keys, found.at((), 10)) == ({()}, bits([3]))

    def test_with_visibility_created_each_step_holds_what_is_known_there(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        rows = layout(corrected_table(("a", 7, 13, 1), ("a", 8, 14, 2), ("b", 7, 99, 4)))
        found = published(engine, rows, 15, total(9), every_us=5, delay_us=3, visibility="created")
        assert found.keys == {("a",)}
        assert [found.at(("a",), v) for v in (10, 15)] == [bits([1]), bits([3])]

    def test_columns_and_order_are_those_of_the_records(self, engine: OfflineEngine, layout: Layout) -> None:
        view = view_table((2, 12, 1), (1, 1, 2), (2, 1, 4), dtype=Float64, key=Int64)
        asked = (
            aggregate("sum", 50, Float64),
            aggregate("mean", 50, Float64, name="mean"),
            aggregate("last_n", 50, Float64, name="l", n=1),
        )
        steps = WindowSteps(layout(view), asked, every_us=5, delay_us=10, watermark_us=16)
        found = read(engine.current_windows(CurrentWindowsPlan(steps, 16)))
        names = ["k", EVENT_TIMESTAMP, CREATED_TIMESTAMP, "y", "mean", "l"]
        assert found.column_names == names
        types = [pa.int64(), INSTANT, INSTANT, *(array([], each.dtype).type for each in asked)]
        assert [field.type for field in found.schema] == types
        order = list(zip(found.column("k").to_pylist(), python_list(found.column(EVENT_TIMESTAMP)), strict=True))
        assert order == sorted(order)
        assert found.column(CREATED_TIMESTAMP).null_count == found.num_rows > 0


class ChangedStepsRules(EngineSuite):
    """Since an instant only keys are published whose values may differ; none of them may be missing."""

    def test_keys_that_gained_events_are_published(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 1, 1), ("b", 1, 2), ("b", 12, 4)))
        found = published(engine, rows, 15, total(None), changed_since_us=10, every_us=5)
        assert found.keys == {("b",)}
        assert found.at(("b",), 15) == bits([6])

    def test_keys_that_lost_events_alone_are_published(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1), ("b", 1, 2)))
        assert published(engine, rows, 15, changed_since_us=10, every_us=5).at(("a",), 15) == bits([None])
        assert published(engine, rows, 20, changed_since_us=15, every_us=5).keys == set()

    def test_an_event_lost_by_an_offset_window_is_noticed(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        late = total(5, offset_us=10)
        assert published(engine, rows, 20, late, changed_since_us=15, every_us=5).at(("a",), 20) == bits([1])
        assert published(engine, rows, 25, late, changed_since_us=20, every_us=5).at(("a",), 25) == bits([None])

    def test_an_event_gained_by_a_lifetime_window_with_offset_is_noticed(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        rows = layout(view_table(("a", 7, 1)))
        late = total(None, offset_us=10)
        assert published(engine, rows, 20, late, changed_since_us=15, every_us=5).at(("a",), 20) == bits([1])

    def test_an_event_that_wanders_through_a_series_is_noticed(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1)))
        found = published(engine, rows, 20, total(5, series=3), changed_since_us=15, every_us=5)
        assert found.at(("a",), 20) == bits([[1, None, None]])

    def test_a_change_that_a_delay_still_hides_is_published(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1), ("a", 16, 2)))
        found = published(engine, rows, 20, changed_since_us=15, every_us=5, delay_us=7)
        assert [found.at(("a",), v) for v in (10, 15, 20)] == [bits([x]) for x in (1, None, 2)]

    def test_without_a_grid_every_instant_is_a_step(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 7, 1), ("b", 1, 2)))
        assert published(engine, rows, 13, changed_since_us=12).at(("a",), 13) == bits([None])

    def test_an_old_event_that_became_known_is_noticed(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 1, 1, 1), ("a", 2, 17, 2), ("b", 1, 1, 4)))
        found = published(engine, rows, 20, total(None), changed_since_us=15, every_us=5, visibility="created")
        assert found.at(("a",), 20) == bits([3])


def steps_as_rows(steps: WindowSteps, key: str = "k") -> SourceRows:
    """The rows of a view on the steps of another: `x` is its aggregate `y`."""
    scan, dtype = ViewScan("steps", steps), steps.aggregates[0].dtype
    keys, columns = (Computed(key, String, key),), (Computed("x", dtype, "y"),)
    return SourceRows("view", scan, keys, "event_timestamp", None, columns)


class ViewStepsRules(EngineSuite):
    """A view on a windowed view has a row for each key and step at which a window holds an event."""

    def _rows(self, engine: OfflineEngine, view: ViewTable, *asked: WindowAggregate, **rules: Any) -> Told:
        steps = WindowSteps(source_rows(view), asked or (total(5),), **{"every_us": 5, **rules})
        found = read(engine.extract(ExtractPlan(steps_as_rows(steps), None, None)))
        times: list[int] = found.column(EVENT_TIMESTAMP).cast(pa.int64()).to_pylist()
        return list(zip(found.column("k").to_pylist(), times, python_list(found.column("x")), strict=True))

    def test_a_step_is_a_row_while_a_window_holds_an_event(self, engine: OfflineEngine) -> None:
        view = view_table(("a", 7, 1), ("b", 11, 2), ("a", 21, 4))
        expected = [("a", 10, 1), ("a", 15, 1), ("a", 25, 4), ("a", 30, 4), ("b", 15, 2), ("b", 20, 2)]
        assert self._rows(engine, view, total(10)) == expected

    def test_an_event_at_a_step_is_in_the_next_ones(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table(("a", 10, 1))) == [("a", 15, 1)]

    def test_steps_before_1970_are_rows(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table(("a", -8, 1), ("a", -5, 2))) == [("a", -5, 1), ("a", 0, 2)]

    def test_the_delay_is_added_to_the_time_of_the_step(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table(("a", 7, 1)), delay_us=3) == [("a", 13, 1)]

    def test_an_offset_moves_the_steps(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table(("a", 7, 1)), total(5, offset_us=8)) == [("a", 20, 1)]

    def test_a_window_that_falls_between_two_steps_has_no_row(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table(("a", 7, 1), ("a", 9, 2)), total(2)) == [("a", 10, 2)]

    def test_any_window_of_several_makes_a_row(self, engine: OfflineEngine) -> None:
        asked = (total(5), total(5, offset_us=10, name="z"))
        assert self._rows(engine, view_table(("a", 7, 1)), *asked) == [("a", 10, 1), ("a", 20, None)]

    def test_a_series_makes_rows_as_far_as_it_reaches(self, engine: OfflineEngine) -> None:
        found = self._rows(engine, view_table(("a", 7, 1)), total(5, series=2))
        assert found == [("a", 10, [None, 1]), ("a", 15, [1, None])]

    def test_an_event_that_a_condition_leaves_out_makes_a_row(self, engine: OfflineEngine) -> None:
        view = with_column(view_table(("a", 7, 1)), "m", [False], Bool)
        assert self._rows(engine, view, aggregate("count", 5, None, mask="m")) == [("a", 10, 0)]

    def test_rows_without_key_make_no_steps(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table((None, 7, 1))) == []

    def test_with_visibility_created_only_known_events_make_rows(self, engine: OfflineEngine) -> None:
        view = corrected_table(("a", 7, 14, 1), ("b", 7, 99, 2))
        rules = {"visibility": "created", "delay_us": 1}
        assert self._rows(engine, view, total(10), **rules) == [("a", 16, 1)]

    def test_an_event_sent_again_makes_the_rows_of_the_last_one(self, engine: OfflineEngine) -> None:
        view = with_column(corrected_table(("a", 7, 7, 1), ("a", 12, 13, 2)), "id", ["x", "x"])
        assert self._rows(engine, view, event_id="id") == [("a", 15, 2)]

    def test_an_empty_view_has_no_steps(self, engine: OfflineEngine) -> None:
        assert self._rows(engine, view_table()) == []

    def test_values_keep_their_types(self, engine: OfflineEngine) -> None:
        steps = WindowSteps(
            source_rows(view_table(("a", 7, -1), dtype=Timestamp)), (aggregate("max", 5, Timestamp),), 5
        )
        found = read(engine.extract(ExtractPlan(steps_as_rows(steps), None, None)))
        assert_same(found.select(["x"]), pa.table({"x": array([-1], Timestamp)}))

    def test_a_plain_view_may_stand_on_steps(self, engine: OfflineEngine) -> None:
        counts = WindowSteps(source_rows(view_table(("a", 1, 1), ("a", 2, 2))), (aggregate("count", 5, None),), 5)
        assert ask(engine, steps_as_rows(counts), at("a", 4, 5, 99)) == [ABSENT, *present(2, 2)]

    def test_windows_over_the_steps_of_another_view(self, engine: OfflineEngine) -> None:
        """Counts per shop and day, then their mean per region: shop s at 5: 2, at 15: 1; shop t at 5: 3."""
        shops = [("s", 1, 0), ("s", 2, 0), ("s", 11, 0), ("t", 1, 0), ("t", 3, 0), ("t", 4, 0)]
        view = with_column(view_table(*shops), "region", ["n"] * 6, key=True)
        daily = WindowSteps(source_rows(view), (aggregate("count", 5, None),), every_us=5)
        regions = steps_as_rows(daily, "region")
        spine = spine_of(at("n", 5, 9, 10, 15, 20, 99)).rename_columns(["region", "t"])
        mean = windows_of(regions, aggregate("mean", 20, name="y"), every_us=5, watermark_us=90)
        assert answers(history(engine, spine, mean), "y") == [ABSENT, ABSENT, *present(2.5, 2.5, 2.0, None)]

    def test_views_may_stand_on_each_other_three_deep(self, engine: OfflineEngine) -> None:
        first = WindowSteps(source_rows(view_table(("a", 1, 7), ("a", 2, 8))), (total(5),), every_us=5)
        second = WindowSteps(steps_as_rows(first), (total(10),), every_us=5)  # 15 at the steps 10 and 15
        rows = steps_as_rows(second)
        assert ask_windows(engine, rows, total(10), at("a", 10, 11, 16, 21)) == [ABSENT, *present(15, 30, 15)]
