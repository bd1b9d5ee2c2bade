"""What an engine tells about sources, and the queries it answers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.dtypes import Bool, Date, Decimal, DType, Float64, Int32, Int64, List, String, Timestamp
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError, SourceError
from featurestore.plan.nodes import Column, FrameScan, ParquetScan, SqlScan
from featurestore.testing.engines.suite import EngineSuite, read
from featurestore.testing.engines.tables import array, assert_same, frame_scan, instants, source_columns, view_table


def _scores(*values: int) -> FrameScan:
    return frame_scan(source_columns(view_table(*(("a", value, value) for value in values))), "scores")


class DescriptionRules(EngineSuite):
    """Columns, types of expressions, bounds."""

    def test_columns_are_told_in_order_with_their_types(self, engine: OfflineEngine) -> None:
        columns = {
            "text": array([], String),
            "whole": array([], Int64),
            "small": array([], Int32),
            "real": array([], Float64),
            "flag": array([], Bool),
            "day": array([], Date),
            "at": instants([]),
            "naive": instants([], zone=None),
            "price": array([], Decimal(10, 2)),
            "many": array([], List(Int64)),
        }
        assert engine.columns(frame_scan(columns)) == (
            ("text", "VARCHAR"),
            ("whole", "BIGINT"),
            ("small", "INTEGER"),
            ("real", "DOUBLE"),
            ("flag", "BOOLEAN"),
            ("day", "DATE"),
            ("at", "TIMESTAMP WITH TIME ZONE"),
            ("naive", "TIMESTAMP"),
            ("price", "DECIMAL(10,2)"),
            ("many", "BIGINT[]"),
        )

    def test_columns_of_a_file_and_of_a_query_are_told(self, engine: OfflineEngine, tmp_path: Path) -> None:
        pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "rows.parquet")
        file = ParquetScan("file", str(tmp_path / "rows.parquet"))
        assert engine.columns(file) == (("a", "BIGINT"), ("b", "VARCHAR"))
        query = SqlScan("query", "SELECT b, a > 1 AS big FROM file", (file,))
        assert engine.columns(query) == (("b", "VARCHAR"), ("big", "BOOLEAN"))

    @pytest.mark.parametrize(
        ("expression", "dtype"),
        [
            ("x", Int64),
            ("x > 1", Bool),
            ("x / 2", Float64),
            ("upper(k)", String),
            ("CAST(x AS INTEGER)", Int32),
            ("CAST(x AS DECIMAL(10, 2))", Decimal(10, 2)),
            ("CAST(happened AS DATE)", Date),
            ("happened + INTERVAL 1 HOUR", Timestamp),
            ("[x, x]", List(Int64)),
            ("CASE WHEN x > 1 THEN k END", String),
        ],
    )
    @pytest.mark.parametrize("values", [(1, 2), ()], ids=["rows", "no rows"])
    def test_an_expression_has_a_logical_type(
        self, engine: OfflineEngine, expression: str, dtype: DType, values: tuple[int, ...]
    ) -> None:
        (found,) = engine.expression_types(_scores(*values), (expression,))
        assert isinstance(found, Column)
        assert found.dtype == dtype

    @pytest.mark.parametrize(
        "expression", ["nothing", "x +", "nosuch(x)", "x; DROP TABLE scores", "{'a': x}", "k + 1 2"]
    )
    def test_an_expression_without_type_gets_a_message(self, engine: OfflineEngine, expression: str) -> None:
        (found,) = engine.expression_types(_scores(1), (expression,))
        assert isinstance(found, str)
        assert found

    def test_expressions_are_answered_in_order(self, engine: OfflineEngine) -> None:
        found = engine.expression_types(_scores(1), ("x > 1", "nothing", "x"))
        assert [type(each) for each in found] == [Column, str, Column]
        assert engine.expression_types(_scores(1), ()) == ()

    def test_event_bounds_are_the_first_and_the_last_instant(self, engine: OfflineEngine) -> None:
        times = [30, None, -(10**15), 10]
        scan = frame_scan({"happened": instants(times)})
        assert engine.event_bounds(scan, "happened") == (-(10**15), 30)

    def test_event_bounds_of_no_instants_are_none(self, engine: OfflineEngine) -> None:
        assert engine.event_bounds(frame_scan({"happened": instants([])}), "happened") is None
        assert engine.event_bounds(frame_scan({"happened": instants([None])}), "happened") is None

    def test_event_bounds_of_a_missing_column_name_it(self, engine: OfflineEngine) -> None:
        with pytest.raises(SourceError, match="'at'"):
            engine.event_bounds(frame_scan({"happened": instants([10])}), "at")

    def test_event_bounds_of_naive_times_are_refused(self, engine: OfflineEngine) -> None:
        with pytest.raises(SourceError, match=r"'happened'.*without a time zone; "):
            engine.event_bounds(frame_scan({"happened": instants([10], zone=None)}), "happened")


class SqlRules(EngineSuite):
    """One read-only query over the given tables, and over nothing else."""

    def test_a_query_reads_the_tables_by_name(self, engine: OfflineEngine, tmp_path: Path) -> None:
        pq.write_table(pa.table({"x": [1, 2], "name": ["one", "two"]}), tmp_path / "names.parquet")
        names = ParquetScan("names", str(tmp_path / "names.parquet"))
        sql = "SELECT name, x FROM scores JOIN names USING (x) ORDER BY x DESC"
        table = read(engine.query(sql, (_scores(1, 2, 3), names)))
        assert_same(table, pa.table({"name": ["two", "one"], "x": [2, 1]}))

    def test_a_table_may_have_any_name(self, engine: OfflineEngine) -> None:
        odd = frame_scan({"x": pa.array([1])}, 'odd "name"')
        assert read(engine.query('SELECT x FROM "odd ""name"""', (odd,))).column("x").to_pylist() == [1]

    def test_instants_leave_in_utc(self, engine: OfflineEngine) -> None:
        table = read(engine.query("SELECT happened FROM scores", (_scores(10),)))
        assert_same(table, pa.table({"happened": instants([10])}))

    def test_a_query_without_rows_has_columns(self, engine: OfflineEngine) -> None:
        table = read(engine.query("SELECT x FROM scores WHERE x > 5", (_scores(1),)))
        assert_same(table, pa.table({"x": array([], Int64)}))

    def test_the_order_of_a_long_result_is_kept(self, engine: OfflineEngine) -> None:
        sql = "SELECT range AS n FROM range(200000) ORDER BY n DESC"
        assert read(engine.query(sql, ())).column("n").to_pylist() == list(range(199_999, -1, -1))

    @pytest.mark.parametrize(
        "sql", ["SELEKT 1", "SELECT nothing FROM scores", "SELECT * FROM unknown", "", "-- nothing"]
    )
    def test_a_wrong_query_is_the_callers_fault(self, engine: OfflineEngine, sql: str) -> None:
        with pytest.raises(InputError):
            read(engine.query(sql, (_scores(1),)))

    def test_a_query_that_fails_only_when_it_runs_is_refused(self, engine: OfflineEngine) -> None:
        with pytest.raises(InputError):
            read(engine.query("SELECT CAST(k AS BIGINT) FROM scores", (_scores(1),)))

    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE TABLE t AS SELECT 1",
            "DROP VIEW scores",
            "COPY scores TO '{folder}/out.parquet'",
            "ATTACH '{folder}/out.db'",
            "SET threads = 1",
            "SELECT 1; SELECT 2",
            "SELECT 1; COPY scores TO '{folder}/out.parquet'",
        ],
    )
    def test_what_is_not_one_query_is_refused_and_does_nothing(
        self, engine: OfflineEngine, tmp_path: Path, sql: str
    ) -> None:
        with pytest.raises(InputError):
            read(engine.query(sql.format(folder=tmp_path), (_scores(1),)))
        assert list(tmp_path.iterdir()) == []
        assert read(engine.query("SELECT x FROM scores", (_scores(1),))).column("x").to_pylist() == [1]

    def test_tables_of_one_query_are_unknown_to_the_next(self, engine: OfflineEngine) -> None:
        read(engine.query("SELECT x FROM scores", (_scores(1),)))
        with pytest.raises(InputError, match="scores"):
            read(engine.query("SELECT x FROM scores", ()))

    def test_variables_of_the_program_are_no_tables(self, engine: OfflineEngine) -> None:
        secret = pa.table({"x": [1]})
        with pytest.raises(InputError, match="secret"):
            read(engine.query("SELECT x FROM secret", ()))
        assert secret.num_rows == 1

    def test_an_unreadable_table_is_the_sources_fault(self, engine: OfflineEngine, tmp_path: Path) -> None:
        gone = ParquetScan("gone", str(tmp_path / "gone.parquet"))
        with pytest.raises(SourceError, match="'gone'"):
            read(engine.query("SELECT * FROM gone", (gone,)))
