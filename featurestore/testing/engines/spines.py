"""What becomes of a spine: its rows, order, columns and types, wherever it comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.dtypes import Int64, String
from featurestore.engines.base import FileSpine, FrameSpine, OfflineEngine, QuerySpine
from featurestore.errors import InputError, SourceError
from featurestore.plan.nodes import ParquetScan
from featurestore.testing.engines.suite import (
    ABSENT,
    PRESENT,
    EngineSuite,
    answers,
    ask,
    history,
    join_of,
    plan_of,
    read,
    spine_of,
)
from featurestore.testing.engines.tables import (
    Layout,
    array,
    assert_same,
    frame_scan,
    instants,
    view_table,
)

_ONE_ROW = view_table(("a", 10, 1))


def _carried_columns() -> dict[str, pa.Array]:
    """Columns of the types that engines like to change, two rows each."""
    return {
        "dictionary": pa.array(["x", None]).dictionary_encode(),
        "large_string": pa.array(["x", None], pa.large_string()),
        "string_view": pa.array(["x", None], pa.string_view()),
        "large_binary": pa.array([b"\x00", None], pa.large_binary()),
        "fixed_binary": pa.array([b"ab", None], pa.binary(2)),
        "int8": pa.array([1, None], pa.int8()),
        "int32": pa.array([1, None], pa.int32()),
        "int64": pa.array([2**53 + 1, None]),
        "uint64": pa.array([2**64 - 1, None], pa.uint64()),
        "float32": pa.array([float("nan"), None], pa.float32()),
        "float64": pa.array([-0.0, float("inf")]),
        "naive_time": pa.array([datetime(2024, 1, 1), None], pa.timestamp("us")),  # noqa: DTZ001  the point
        "nanoseconds": pa.array([1, None], pa.timestamp("ns")),
        "zoned": pa.array([1, None], pa.timestamp("ms", tz="Europe/Paris")),
        "seconds": pa.array([1, None], pa.timestamp("s", tz="UTC")),
        "duration": pa.array([1, None], pa.duration("ms")),
        "time": pa.array([1, None], pa.time64("ns")),
        "date64": pa.array([86_400_000, None], pa.date64()),
        "decimal": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
        "nulls": pa.nulls(2),
        "struct": pa.array([{"a": 1, "b": [None, "x"]}, None]),
        "large_list": pa.array([[1, None], None], pa.large_list(pa.int16())),
        "vector": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
        "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    }


class SpineRules(EngineSuite):
    """One row per spine row, in its order, its columns untouched."""

    def test_rows_that_share_key_and_instant_are_all_answered(self, engine: OfflineEngine, layout: Layout) -> None:
        spine = spine_of([("a", 10), ("a", 10), ("b", 10), ("a", 10)]).append_column("label", pa.array([1, 2, 3, 4]))
        table = history(engine, spine, join_of(layout(_ONE_ROW)))
        assert table.column("label").to_pylist() == [1, 2, 3, 4]
        assert answers(table) == [(1, PRESENT), (1, PRESENT), ABSENT, (1, PRESENT)]

    def test_the_order_of_the_spine_is_kept(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("a", 20, 2), ("b", 15, 3)))
        spine = [("b", 30), ("a", 30), (None, 5), ("a", 10), ("b", 14), ("a", 19)]
        expected = [(3, PRESENT), (2, PRESENT), ABSENT, (1, PRESENT), ABSENT, (1, PRESENT)]
        assert ask(engine, view, spine) == expected

    def test_the_order_of_many_rows_is_kept(self, engine: OfflineEngine, layout: Layout) -> None:
        size = 10_000
        times = [(place * 7_919) % size for place in range(size)]  # every instant once, far from sorted
        view = layout(view_table(("a", 0, 0), ("a", size // 2, 1)))
        spine = pa.table({"k": pa.array(["a"] * size), "t": instants(times), "row": pa.array(range(size))})
        table = history(engine, spine, join_of(view))
        assert table.column("row").to_pylist() == list(range(size))
        assert table.column("x").to_pylist() == [int(t >= size // 2) for t in times]

    @pytest.mark.parametrize("name", list(_carried_columns()))
    def test_a_carried_column_keeps_its_type_and_values(self, engine: OfflineEngine, layout: Layout, name: str) -> None:
        spine = spine_of([("a", 10), ("b", 10)]).append_column(name, _carried_columns()[name])
        table = history(engine, spine, join_of(layout(_ONE_ROW)))
        assert_same(table.select(spine.column_names), spine)

    def test_a_spine_in_several_pieces_stays_whole(self, engine: OfflineEngine, layout: Layout) -> None:
        pieces = [spine_of([("a", 10)]), spine_of([]), spine_of([("b", 10), ("a", 9)])]
        table = history(engine, pa.concat_tables(pieces), join_of(layout(_ONE_ROW)))
        assert answers(table) == [(1, PRESENT), ABSENT, ABSENT]

    @pytest.mark.parametrize("name", ["X", "K", 'a "quoted" name', "two words", "select", "", "日本", "row_number"])
    def test_a_carried_column_may_have_any_name(self, engine: OfflineEngine, layout: Layout, name: str) -> None:
        spine = spine_of([("a", 10)]).append_column(name, pa.array([5]))
        table = history(engine, spine, join_of(layout(_ONE_ROW)))
        assert_same(table.select(spine.column_names), spine)
        assert answers(table) == [(1, PRESENT)]

    @pytest.mark.parametrize("name", ["x", "view__status"])
    def test_a_spine_column_with_the_name_of_an_answer_is_refused(
        self, engine: OfflineEngine, layout: Layout, name: str
    ) -> None:
        spine = spine_of([("a", 10)]).append_column(name, pa.array([5]))
        with pytest.raises(InputError, match=f"'{name}'"):
            history(engine, spine, join_of(layout(_ONE_ROW)))

    def test_two_spine_columns_of_one_name_are_refused(self, engine: OfflineEngine, layout: Layout) -> None:
        spine = spine_of([("a", 10)]).append_column("t", pa.array([5]))
        with pytest.raises(InputError, match="'t'"):
            history(engine, spine, join_of(layout(_ONE_ROW)))

    def test_an_empty_spine_gives_an_empty_answer_with_all_columns(self, engine: OfflineEngine, layout: Layout) -> None:
        table = history(engine, spine_of([]), join_of(layout(_ONE_ROW)))
        expected = {"k": array([], String), "t": instants([]), "x": array([], Int64), "view__status": _no_status()}
        assert_same(table, pa.table(expected))

    def test_an_empty_spine_over_an_empty_view_gives_an_empty_answer(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        assert history(engine, spine_of([]), join_of(layout(view_table()))).num_rows == 0

    def test_one_engine_answers_many_times(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(_ONE_ROW)
        for t, expected in ((10, (1, PRESENT)), (9, ABSENT), (10, (1, PRESENT))):
            assert ask(engine, view, [("a", t)]) == [expected]

    def test_an_answer_left_half_read_blocks_no_other(self, engine: OfflineEngine, layout: Layout) -> None:
        plan = QuerySpine("SELECT 'a' AS k, make_timestamptz(range) AS t FROM range(300000)", ())
        with engine.historical(plan_of(join_of(layout(_ONE_ROW))), plan) as reader:
            assert reader.read_next_batch().num_rows > 0
        assert ask(engine, layout(_ONE_ROW), [("a", 10)]) == [(1, PRESENT)]

    def test_two_answers_may_be_read_at_once(self, engine: OfflineEngine, layout: Layout) -> None:
        join = join_of(layout(_ONE_ROW))
        with engine.historical(plan_of(join), QuerySpine("SELECT 'a' AS k, make_timestamptz(10) AS t", ())) as reader:
            assert ask(engine, join, [("a", 9)]) == [ABSENT]
            assert answers(reader.read_all()) == [(1, PRESENT)]


class InstantRules(EngineSuite):
    """What may stand in the spine's timestamp column."""

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "+05:30"])
    def test_another_zone_is_the_same_instant(self, engine: OfflineEngine, layout: Layout, zone: str) -> None:
        spine = pa.table({"k": ["a", "a"], "t": instants([9, 10], zone=zone)})
        table = history(engine, spine, join_of(layout(_ONE_ROW)))
        assert answers(table) == [ABSENT, (1, PRESENT)]
        assert_same(table.select(["k", "t"]), spine)

    @pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
    def test_every_unit_of_time_is_understood(
        self, engine: OfflineEngine, layout: Layout, unit: str, per_second: int
    ) -> None:
        view = layout(view_table(("a", 2 * 10**6, 1), ("a", -(10**6), 2)))
        spine = pa.table({"k": ["a", "a", "a"], "t": instants([-2 * per_second, per_second, 2 * per_second], unit)})
        table = history(engine, spine, join_of(view))
        assert answers(table) == [ABSENT, (2, PRESENT), (1, PRESENT)]
        assert_same(table.select(["k", "t"]), spine)

    @pytest.mark.parametrize("nanos", [10_001, -10_001, 10_999])
    def test_instants_finer_than_microseconds_are_refused(
        self, engine: OfflineEngine, layout: Layout, nanos: int
    ) -> None:
        spine = pa.table({"k": ["a", "a"], "t": instants([10_000, nanos], "ns")})
        with pytest.raises(InputError, match=r"'t'.*round"):
            history(engine, spine, join_of(layout(_ONE_ROW)))

    def test_naive_times_are_refused_with_the_remedy(self, engine: OfflineEngine, layout: Layout) -> None:
        spine = pa.table({"k": ["a"], "t": instants([10], zone=None)})
        with pytest.raises(InputError, match=r"'t'.*without a time zone; "):
            history(engine, spine, join_of(layout(_ONE_ROW)))

    @pytest.mark.parametrize(
        "times",
        [pa.array([10]), pa.array(["1970-01-01"]), pa.array([0], pa.date32()), pa.nulls(1)],
        ids=lambda a: a.type,
    )
    def test_what_is_no_timestamp_is_refused(self, engine: OfflineEngine, layout: Layout, times: pa.Array) -> None:
        with pytest.raises(InputError, match=r"'t'.*timestamp"):
            history(engine, pa.table({"k": ["a"], "t": times}), join_of(layout(_ONE_ROW)))

    def test_a_missing_timestamp_column_is_named_with_those_there_are(
        self, engine: OfflineEngine, layout: Layout
    ) -> None:
        spine = pa.table({"k": ["a"], "tt": instants([10])})
        with pytest.raises(InputError, match=r"'t'.*k, tt|'t'.*tt, k"):
            history(engine, spine, join_of(layout(_ONE_ROW)))

    def test_the_timestamp_column_is_the_one_the_plan_names(self, engine: OfflineEngine, layout: Layout) -> None:
        spine = pa.table({"k": ["a"], "t": instants([99]), "other": instants([9])})
        plan = replace(plan_of(join_of(layout(_ONE_ROW))), timestamp="other")
        assert answers(read(engine.historical(plan, FrameSpine(spine)))) == [ABSENT]


class SpineOriginRules(EngineSuite):
    """Spines in files and from queries."""

    def test_a_spine_may_be_a_parquet_file(self, engine: OfflineEngine, layout: Layout, tmp_path: Path) -> None:
        rows = [("b", 30), ("a", 30), ("a", 10), (None, 10), ("a", 9)] * 50
        spine = spine_of(rows).append_column("row", pa.array(range(len(rows)), pa.int32()))
        pq.write_table(spine, tmp_path / "spine.parquet", row_group_size=7)
        table = history(engine, FileSpine(tmp_path / "spine.parquet"), join_of(layout(_ONE_ROW)))
        assert_same(table.select(spine.column_names), spine)
        assert answers(table) == [ABSENT, (1, PRESENT), (1, PRESENT), ABSENT, ABSENT] * 50

    def test_folders_on_the_way_to_a_spine_file_add_no_columns(
        self, engine: OfflineEngine, layout: Layout, tmp_path: Path
    ) -> None:
        folder = tmp_path / "year=2024"
        folder.mkdir()
        pq.write_table(spine_of([("a", 10)]), folder / "spine.parquet")
        table = history(engine, FileSpine(folder / "spine.parquet"), join_of(layout(_ONE_ROW)))
        assert table.column_names == ["k", "t", "x", "view__status"]

    def test_naive_times_in_a_file_are_refused_too(self, engine: OfflineEngine, layout: Layout, tmp_path: Path) -> None:
        pq.write_table(pa.table({"k": ["a"], "t": instants([10], zone=None)}), tmp_path / "spine.parquet")
        with pytest.raises(InputError, match=r"'t'.*without a time zone; "):
            history(engine, FileSpine(tmp_path / "spine.parquet"), join_of(layout(_ONE_ROW)))

    def test_a_spine_file_that_is_missing_is_named(self, engine: OfflineEngine, layout: Layout, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"nowhere\.parquet"):
            history(engine, FileSpine(tmp_path / "nowhere.parquet"), join_of(layout(_ONE_ROW)))

    def test_a_spine_file_that_is_no_parquet_is_named(
        self, engine: OfflineEngine, layout: Layout, tmp_path: Path
    ) -> None:
        (tmp_path / "spine.parquet").write_text("k,t\na,1970-01-01\n")
        with pytest.raises(InputError, match=r"spine\.parquet"):
            history(engine, FileSpine(tmp_path / "spine.parquet"), join_of(layout(_ONE_ROW)))

    def test_a_spine_may_be_a_query_over_sources(self, engine: OfflineEngine, layout: Layout) -> None:
        events = frame_scan(
            {"k": pa.array(["a", "b", "c"]), "t": instants([10, 20, 30]), "n": pa.array([1, 2, 3])}, "events"
        )
        names = frame_scan({"k": pa.array(["a", "b"]), "name": pa.array(["A", "B"])}, "names")
        sql = "SELECT k, t, name, n FROM events JOIN names USING (k) ORDER BY n DESC"
        table = history(engine, QuerySpine(sql, (events, names)), join_of(layout(_ONE_ROW)))
        expected = pa.table({"k": ["b", "a"], "t": instants([20, 10]), "name": ["B", "A"], "n": [2, 1]})
        assert_same(table.select(["k", "t", "name", "n"]), expected)
        assert answers(table) == [ABSENT, (1, PRESENT)]

    def test_the_order_of_a_long_query_is_kept(self, engine: OfflineEngine, layout: Layout) -> None:
        columns = "'a' AS k, make_timestamptz(range) AS t, range AS row"
        sql = f"SELECT {columns} FROM range(5000) ORDER BY (range * 7919) % 5000"
        table = history(engine, QuerySpine(sql, ()), join_of(layout(_ONE_ROW)))
        order = sorted(range(5_000), key=lambda row: row * 7_919 % 5_000)
        assert table.column("row").to_pylist() == order
        assert table.column("x").to_pylist() == [1 if row >= 10 else None for row in order]

    @pytest.mark.parametrize(
        "sql", ["SELECT nonsense FROM events", "SELEKT 1", "SELECT * FROM unknown", "DROP TABLE events"]
    )
    def test_a_wrong_query_is_refused(self, engine: OfflineEngine, layout: Layout, sql: str) -> None:
        events = frame_scan({"k": pa.array(["a"]), "t": instants([10])}, "events")
        with pytest.raises(InputError):
            history(engine, QuerySpine(sql, (events,)), join_of(layout(_ONE_ROW)))

    def test_an_unreadable_source_under_a_query_is_the_sources_fault(
        self, engine: OfflineEngine, layout: Layout, tmp_path: Path
    ) -> None:
        gone = ParquetScan("events", str(tmp_path / "gone.parquet"))
        with pytest.raises(SourceError, match="events"):
            history(engine, QuerySpine("SELECT * FROM events", (gone,)), join_of(layout(_ONE_ROW)))


def _no_status() -> pa.Array:
    return pa.array([], pa.int8())
