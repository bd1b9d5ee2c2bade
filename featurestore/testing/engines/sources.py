"""Every kind of scan: what it reads, and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal as PyDecimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from featurestore.dtypes import Bool, Date, Decimal, Float64, Int64, String
from featurestore.engines.base import OfflineEngine
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Computed, CsvScan, DeltaScan, FrameScan, ParquetScan, Scan, SourceRows, SqlScan
from featurestore.testing.engines.suite import PRESENT, EngineSuite, ask, read
from featurestore.testing.engines.tables import (
    array,
    assert_same,
    corrected_table,
    frame_scan,
    instants,
    source_columns,
    source_rows,
    view_table,
)


def write_parquet(path: Path, *rows: tuple[object, ...], row_group_size: int | None = None) -> None:
    """A Parquet file of (key, event time, value) rows; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(source_columns(view_table(*rows))), path, row_group_size=row_group_size)


def rows_of(scan: Scan) -> SourceRows:
    """The rows of a scan with key `k`, event time `happened` and value `x`."""
    return source_rows(view_table(), scan)


def told(engine: OfflineEngine, rows: SourceRows) -> list[tuple[object, ...]]:
    """Key, event time and value of all rows, ordered by key and rank."""
    table = read(engine.extract(ExtractPlan(rows, None, None)))
    times = table.column("__event_timestamp").cast(pa.int64()).to_pylist()
    return list(zip(table.column("k").to_pylist(), times, table.column("x").to_pylist(), strict=True))


class FileRules(EngineSuite):
    """Parquet, CSV and Delta."""

    def test_a_parquet_file_is_read(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "rows.parquet", ("a", 10, 1), ("b", 20, None))
        rows = rows_of(ParquetScan("rows", str(tmp_path / "rows.parquet")))
        assert told(engine, rows) == [("a", 10, 1), ("b", 20, None)]

    def test_a_directory_is_read_with_all_parquet_files_below(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "2.parquet", ("a", 20, 2))
        write_parquet(tmp_path / "deep" / "er" / "1.parquet", ("a", 10, 1))
        (tmp_path / "notes.txt").write_text("no rows")
        assert told(engine, rows_of(ParquetScan("rows", str(tmp_path)))) == [("a", 10, 1), ("a", 20, 2)]

    def test_a_glob_reads_the_files_that_match(self, engine: OfflineEngine, tmp_path: Path) -> None:
        for name, row in {"one": ("a", 10, 1), "two": ("a", 20, 2), "other": ("a", 30, 3)}.items():
            write_parquet(tmp_path / f"{name}.parquet", row)
        assert told(engine, rows_of(ParquetScan("rows", str(tmp_path / "o*.parquet")))) == [("a", 10, 1), ("a", 30, 3)]
        assert len(told(engine, rows_of(ParquetScan("rows", str(tmp_path / "**" / "*.parquet"))))) == 3

    def test_hidden_files_and_folders_below_a_directory_are_left_out(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        for place in ("1.parquet", ".2.parquet", "_3.parquet", ".tmp/4.parquet", "_tmp/5.parquet"):
            write_parquet(tmp_path / place, ("a", 10, 1))
        assert told(engine, rows_of(ParquetScan("rows", str(tmp_path)))) == [("a", 10, 1)]

    def test_signs_of_a_glob_in_the_name_of_a_file_are_its_name(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "rows[1].parquet", ("a", 10, 1))
        write_parquet(tmp_path / "rows1.parquet", ("a", 10, 2))
        for path, expected in ((tmp_path / "rows[1].parquet", [1]), (tmp_path, [2, 1])):
            assert [x for _, _, x in told(engine, rows_of(ParquetScan("rows", str(path))))] == expected

    def test_a_column_that_only_some_files_have_is_null_in_the_others(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        write_parquet(tmp_path / "2.parquet", ("a", 20, 2))
        old = pa.table(source_columns(view_table(("a", 10, 1)))).drop_columns(["x"])
        pq.write_table(old, tmp_path / "1.parquet")
        assert told(engine, rows_of(ParquetScan("rows", str(tmp_path)))) == [("a", 10, None), ("a", 20, 2)]

    def test_parquet_rows_without_any_row_are_an_empty_source(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "rows.parquet")
        assert told(engine, rows_of(ParquetScan("rows", str(tmp_path)))) == []

    def test_a_tie_across_files_goes_to_the_greatest_path(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "b" / "1.parquet", ("a", 10, 2))
        write_parquet(tmp_path / "a" / "9.parquet", ("a", 10, 1))
        write_parquet(tmp_path / "b" / "0.parquet", ("a", 10, 3))
        rows = rows_of(ParquetScan("rows", str(tmp_path)))
        assert ask(engine, rows, [("a", 10)]) == [(2, PRESENT)]
        assert told(engine, rows) == [("a", 10, 1), ("a", 10, 3), ("a", 10, 2)]

    def test_a_tie_within_a_file_goes_to_the_last_row(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "rows.parquet", *(("a", 10, value) for value in range(50, 0, -1)), row_group_size=7)
        assert ask(engine, rows_of(ParquetScan("rows", str(tmp_path))), [("a", 10)]) == [(1, PRESENT)]

    def test_hive_folders_are_columns_when_asked_for(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "month=01" / "country=New%20Zealand" / "1.parquet", ("a", 10, 1))
        write_parquet(tmp_path / "month=12" / "country=Chile" / "1.parquet", ("a", 20, 2))
        columns = (Computed("month", Int64, "month"), Computed("country", String, "country"))
        rows = replace(rows_of(ParquetScan("rows", str(tmp_path), hive_partitions=True)), columns=columns)
        table = read(engine.extract(ExtractPlan(rows, None, None))).select(["month", "country"])
        assert_same(table, pa.table({"month": [1, 12], "country": ["New Zealand", "Chile"]}))

    def test_hive_folders_are_not_columns_unless_asked_for(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "month=01" / "1.parquet", ("a", 10, 1))
        names = [name for name, _ in engine.columns(ParquetScan("rows", str(tmp_path)))]
        assert names == ["k", "x", "happened"]

    def test_a_csv_file_is_read(self, engine: OfflineEngine, tmp_path: Path) -> None:
        text = 'k,happened,x\na,1970-01-01T00:00:01Z,1\n"b,c",1970-01-01T02:00:00+02:00,\n'
        (tmp_path / "rows.csv").write_text(text)
        rows = rows_of(CsvScan("rows", str(tmp_path / "rows.csv")))
        assert told(engine, rows) == [("a", 1_000_000, 1), ("b,c", 0, None)]

    def test_text_in_csv_and_folder_names_keeps_its_digits(self, engine: OfflineEngine, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text('k,happened,x\n007,1970-01-01T00:00:00Z,1.50\n"",1970-01-01T00:00:00Z,\n')
        view = view_table(dtype=String)
        assert told(engine, source_rows(view, CsvScan("rows", str(tmp_path)))) == [("", 0, None), ("007", 0, "1.50")]
        write_parquet(tmp_path / "month=01" / "1.parquet", ("a", 10, 1))
        rows = source_rows(view, ParquetScan("rows", str(tmp_path), hive_partitions=True))
        month = replace(rows, columns=(Computed("x", String, "month"),))
        assert told(engine, month) == [("a", 10, "01")]

    def test_text_in_csv_is_read_as_the_declared_type(self, engine: OfflineEngine, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("k,happened,x,y\n7,1970-01-01T00:00:00Z,2024-02-29,1.5\n")
        rows = source_rows(view_table(dtype=Date, key=Int64), CsvScan("rows", str(tmp_path)))
        assert told(engine, rows) == [(7, 0, date(2024, 2, 29))]
        price = replace(rows, columns=(Computed("x", Decimal(5, 2), "y"),))
        assert told(engine, price) == [(7, 0, PyDecimal("1.50"))]

    def test_a_csv_directory_with_another_delimiter_is_read(self, engine: OfflineEngine, tmp_path: Path) -> None:
        for name in ("2", "1"):
            (tmp_path / f"{name}.csv").write_text(f"happened;x;k\n1970-01-01T00:00:01.000001Z;{name};a\n")
        rows = rows_of(CsvScan("rows", str(tmp_path), delimiter=";"))
        assert told(engine, rows) == [("a", 1_000_001, 1), ("a", 1_000_001, 2)]
        assert ask(engine, rows, [("a", 1_000_001)]) == [(2, PRESENT)]

    def test_a_delta_table_is_read_at_its_newest_or_a_named_version(
        self, engine: OfflineEngine, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "table")
        write_deltalake(path, pa.table(source_columns(view_table(("a", 10, 1)))))
        write_deltalake(path, pa.table(source_columns(view_table(("b", 20, 2)))), mode="append")
        write_deltalake(path, pa.table(source_columns(view_table(("c", 30, 3)))), mode="overwrite")
        assert told(engine, rows_of(DeltaScan("rows", path))) == [("c", 30, 3)]
        assert told(engine, rows_of(DeltaScan("rows", path, version=1))) == [("a", 10, 1), ("b", 20, 2)]
        assert told(engine, rows_of(DeltaScan("rows", path, version=0))) == [("a", 10, 1)]

    def test_the_partition_columns_of_a_delta_table_are_columns(self, engine: OfflineEngine, tmp_path: Path) -> None:
        table = pa.table(source_columns(view_table(("a", 10, 1), ("b", 20, 2), ("a", 30, None))))
        write_deltalake(str(tmp_path), table, partition_by=["k"])
        rows = rows_of(DeltaScan("rows", str(tmp_path)))
        assert told(engine, rows) == [("a", 10, 1), ("a", 30, None), ("b", 20, 2)]


class FrameRules(EngineSuite):
    """Literal rows and computed columns."""

    def test_a_literal_table_in_several_pieces_is_read_in_order(self, engine: OfflineEngine) -> None:
        pieces = [pa.table(source_columns(view_table(("a", 10, value)))) for value in (3, 1, 2)]
        rows = rows_of(frame_scan(pa.concat_tables(pieces)))
        assert told(engine, rows) == [("a", 10, 3), ("a", 10, 1), ("a", 10, 2)]

    def test_event_times_in_another_zone_and_unit_are_the_same_instants(self, engine: OfflineEngine) -> None:
        columns = source_columns(view_table(("a", 0, 1)))
        for times in (instants([7], "s", "Asia/Kathmandu"), instants([7_000_000_000], "ns")):
            rows = rows_of(frame_scan({**columns, "happened": times}))
            assert told(engine, rows) == [("a", 7_000_000, 1)]

    def test_created_times_in_another_zone_and_unit_are_the_same_instants(self, engine: OfflineEngine) -> None:
        view = corrected_table(("a", 0, 0, 1), ("a", 0, 0, 2))
        columns = {**source_columns(view), "recorded": instants([8, 7], "s", "Asia/Kathmandu")}
        rows = source_rows(view, frame_scan(columns))
        expected = [(1, PRESENT), (2, PRESENT), (1, PRESENT)]
        spine = [("a", 9_000_000), ("a", 7_999_999), ("a", 8_000_000)]
        assert ask(engine, rows, spine, visibility="created") == expected

    def test_an_expression_is_computed_for_every_row(self, engine: OfflineEngine) -> None:
        computed = (
            Computed("double", Int64, "x", "x * 2"),
            Computed("high", Bool, "x", "x > 1"),
            Computed("loud", String, "k", "upper(k) || '!'"),
            Computed("half", Float64, "x", "x / 2"),
            Computed("count", Int64, "x", "CAST(x > 1 AS BIGINT)"),
        )
        rows = replace(source_rows(view_table(("a", 10, 1), ("b", 10, 3), ("c", 10, None))), columns=computed)
        table = read(engine.extract(ExtractPlan(rows, None, None)))
        expected = {
            "double": array([2, 6, None], Int64),
            "high": array([False, True, None], Bool),
            "loud": array(["A!", "B!", "C!"], String),
            "half": array([0.5, 1.5, None], Float64),
            "count": array([0, 1, None], Int64),
        }
        assert_same(table.select(list(expected)), pa.table(expected))

    def test_an_expression_may_read_any_source_column(self, engine: OfflineEngine) -> None:
        columns = {**source_columns(view_table(("a", 10, 1))), "odd name": pa.array([5])}
        rows = replace(rows_of(frame_scan(columns)), columns=(Computed("x", Int64, "x", '"odd name" + x'),))
        assert told(engine, rows) == [("a", 10, 6)]

    def test_a_comment_in_an_expression_hides_nothing_behind_it(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1)))
        rows = replace(rows, columns=(Computed("x", Int64, "x", "x + 1 -- one more"), Computed("y", Int64, "x")))
        assert told(engine, rows) == [("a", 10, 2)]

    def test_a_key_may_be_an_expression(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1), ("B", 10, 2)))
        rows = replace(rows, keys=(Computed("k", String, "k", "lower(k)"),))
        assert ask(engine, rows, [("b", 10)]) == [(2, PRESENT)]

    def test_a_feature_and_a_key_may_read_one_column(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1)))
        rows = replace(rows, columns=(Computed("x", String, "k"),))
        assert ask(engine, rows, [("a", 10)]) == [("a", PRESENT)]

    def test_a_feature_may_read_the_event_time(self, engine: OfflineEngine) -> None:
        rows = source_rows(view_table(("a", 10, 1)))
        rows = replace(rows, columns=(Computed("x", Int64, "happened", "epoch_us(happened)"),))
        assert told(engine, rows) == [("a", 10, 10)]


def _scores(*rows: tuple[str, int, int]) -> FrameScan:
    columns = source_columns(view_table(*rows))
    return frame_scan(columns, "scores")


class QueryRules(EngineSuite):
    """Sources that are queries over others."""

    def test_a_query_sees_its_inputs_under_their_names(self, engine: OfflineEngine) -> None:
        weights = frame_scan({"k": pa.array(["a", "b"]), "weight": pa.array([10, 100])}, "weights")
        sql = "SELECT k, happened, x * weight AS x FROM scores JOIN weights USING (k)"
        rows = rows_of(SqlScan("weighted", sql, (_scores(("a", 10, 1), ("b", 20, 2), ("c", 30, 3)), weights)))
        assert told(engine, rows) == [("a", 10, 10), ("b", 20, 200)]

    def test_a_query_may_read_another_query(self, engine: OfflineEngine) -> None:
        inner = SqlScan("inner_rows", "SELECT k, happened, x + 1 AS x FROM scores", (_scores(("a", 10, 1)),))
        rows = rows_of(SqlScan("outer_rows", "SELECT * REPLACE (x * 10 AS x) FROM inner_rows", (inner,)))
        assert told(engine, rows) == [("a", 10, 20)]

    def test_a_query_may_end_with_a_semicolon_or_a_comment(self, engine: OfflineEngine) -> None:
        for end in (";", " -- all of it", ";\n"):
            rows = rows_of(SqlScan("again", f"SELECT * FROM scores{end}", (_scores(("a", 10, 1)),)))
            assert told(engine, rows) == [("a", 10, 1)]

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
    def test_a_tie_in_a_query_goes_to_the_greatest_content(
        self, engine: OfflineEngine, order: tuple[int, int, int]
    ) -> None:
        tied = [("a", 10, 1), ("a", 10, 3), ("a", 10, 2)]
        rows = rows_of(SqlScan("again", "SELECT * FROM scores", (_scores(*(tied[i] for i in order)),)))
        assert ask(engine, rows, [("a", 10)]) == [(3, PRESENT)]
        assert told(engine, rows) == [("a", 10, 1), ("a", 10, 2), ("a", 10, 3)]

    def test_a_query_reads_whole_inputs_whatever_the_start(self, engine: OfflineEngine) -> None:
        sql = "SELECT k, happened, lag(x) OVER (PARTITION BY k ORDER BY happened) AS x FROM scores"
        scan = SqlScan("lagged", sql, (_scores(("a", 10, 1), ("a", 20, 2), ("a", 30, 3)),))
        table = read(engine.extract(ExtractPlan(rows_of(scan), 30, 40)))
        assert table.column("x").to_pylist() == [2]
