"""What is special about reading files and Delta tables with DuckDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from featurestore.dtypes import Decimal, Int64, String, parse
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.engines.duckdb.files import list_files
from featurestore.errors import InputError, SourceError
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Computed, CsvScan, DeltaScan, ParquetScan, SqlScan
from featurestore.testing.engines.sources import rows_of, told, write_parquet
from featurestore.testing.engines.suite import read
from featurestore.testing.engines.tables import frame_scan, instants, source_columns, source_rows, view_table


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDbEngine]:
    engine = DuckDbEngine()
    yield engine
    engine.close()


def test_signs_of_a_glob_in_the_name_of_a_file_stand_for_themselves(engine: DuckDbEngine, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a[1]" / "x?.parquet", ("a", 10, 1))
    write_parquet(tmp_path / "a[1]" / "xy.parquet", ("a", 20, 2))
    assert told(engine, rows_of(ParquetScan("rows", str(tmp_path / "a[1]" / "x?.parquet")))) == [("a", 10, 1)]
    assert told(engine, rows_of(ParquetScan("rows", str(tmp_path / "a[1]")))) == [("a", 10, 1), ("a", 20, 2)]


def test_quotes_in_names_of_files_and_columns_are_harmless(engine: DuckDbEngine, tmp_path: Path) -> None:
    columns = {**source_columns(view_table(("a", 10, 1))), 'it"s': pa.array([7])}
    pq.write_table(pa.table(columns), tmp_path / "o'clock.parquet")
    rows = rows_of(ParquetScan("rows", str(tmp_path / "o'clock.parquet")))
    rows = replace(rows, columns=(Computed("x", Int64, 'it"s'),))
    assert told(engine, rows) == [("a", 10, 7)]


def test_files_are_sorted_by_path_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b/1.parquet", "a.parquet", "_delta_log/1.parquet", ".hidden.parquet", "b/_temporary.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = list_files(str(tmp_path), ".parquet", "Source 'rows'")
    assert [str(Path(file).relative_to(tmp_path)) for file in found] == ["a.parquet", "b/1.parquet"]


def test_a_column_that_only_later_files_have_is_null_before(engine: DuckDbEngine, tmp_path: Path) -> None:
    old = pa.table(source_columns(view_table(("a", 10, 1))))
    pq.write_table(old.drop_columns(["x"]), tmp_path / "1.parquet")
    pq.write_table(pa.table(source_columns(view_table(("a", 20, 2)))), tmp_path / "2.parquet")
    assert told(engine, rows_of(ParquetScan("rows", str(tmp_path)))) == [("a", 10, None), ("a", 20, 2)]


def test_a_column_with_the_name_of_a_place_in_a_file_is_refused(engine: DuckDbEngine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"file_row_number": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(SourceError, match=r"'file_row_number'.*rename"):
        engine.columns(ParquetScan("rows", str(tmp_path)))


def test_leading_zeros_of_a_folder_stay_when_text_is_declared(engine: DuckDbEngine, tmp_path: Path) -> None:
    write_parquet(tmp_path / "store=007" / "1.parquet", ("a", 10, 1))
    columns = (Computed("text", String, "store"), Computed("number", Int64, "x", "CAST(store AS BIGINT)"))
    rows = replace(rows_of(ParquetScan("rows", str(tmp_path), hive_partitions=True)), columns=columns)
    table = read(engine.extract(ExtractPlan(rows, None, None)))
    assert table.select(["text", "number"]).to_pylist() == [{"text": "007", "number": 7}]


@pytest.mark.parametrize(("text", "value"), [('""', ""), ("007", "007"), ("", None), ("NULL", "NULL")])
def test_text_in_csv_stays_as_it_stands(engine: DuckDbEngine, tmp_path: Path, text: str, value: str | None) -> None:
    (tmp_path / "rows.csv").write_text(f"k,happened,x\na,1970-01-01T00:00:01Z,{text}\n")
    rows = source_rows(view_table(dtype=String), CsvScan("rows", str(tmp_path)))
    assert told(engine, rows) == [("a", 1_000_000, value)]


def test_a_value_in_csv_that_is_no_number_is_named(engine: DuckDbEngine, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("k,happened,x\na,1970-01-01T00:00:01Z,1\na,1970-01-01T00:00:02Z,many\n")
    with pytest.raises(SourceError, match="'x' holds many, which Int64 cannot hold exactly"):
        told(engine, rows_of(CsvScan("rows", str(tmp_path))))


def test_times_in_csv_without_zone_are_refused_with_the_remedy(engine: DuckDbEngine, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("k,happened,x\na,1970-01-01 00:00:01,1\n")
    with pytest.raises(SourceError, match=r"'happened'.*happened AT TIME ZONE 'UTC'"):
        told(engine, rows_of(CsvScan("rows", str(tmp_path))))


def test_partition_values_of_every_type_come_from_the_delta_log(engine: DuckDbEngine, tmp_path: Path) -> None:
    partitions = {
        "p_text": pa.array(["a/b c", "é='x'", None]),
        "p_int": pa.array([-1, None, 2**31 - 1], pa.int32()),
        "p_bool": pa.array([True, False, None]),
        "p_date": pa.array([date(1969, 12, 31), None, date(2024, 2, 29)]),
        "p_decimal": pa.array([PyDecimal("1.50"), None, PyDecimal("0.01")], pa.decimal128(5, 2)),
        "p_instant": pa.array([datetime(2024, 1, 1, 1, 2, 3, 4, tzinfo=UTC), None, datetime(1960, 1, 1, tzinfo=UTC)]),
    }
    rows = pa.table({"n": pa.array([1, 2, 3]), **partitions})
    write_deltalake(str(tmp_path), rows, partition_by=list(partitions))
    table = read(engine.query("SELECT * FROM rows ORDER BY n", (DeltaScan("rows", str(tmp_path)),)))
    assert table.select(rows.column_names).to_pydict() == rows.to_pydict()


def test_a_delta_table_that_gained_a_column_is_read_with_nulls_before(engine: DuckDbEngine, tmp_path: Path) -> None:
    old = pa.table(source_columns(view_table(("a", 10, 1))))
    write_deltalake(str(tmp_path), old)
    write_deltalake(str(tmp_path), old.append_column("y", pa.array([2])), mode="append", schema_mode="merge")
    scan = DeltaScan("rows", str(tmp_path))
    assert read(engine.query("SELECT y FROM rows ORDER BY y", (scan,))).to_pydict() == {"y": [2, None]}
    assert dict(engine.columns(replace(scan, version=0))).keys() == set(old.column_names)


def test_a_delta_table_without_rows_has_its_columns(engine: DuckDbEngine, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), pa.table(source_columns(view_table())))
    scan = DeltaScan("rows", str(tmp_path))
    assert engine.columns(scan) == (("k", "VARCHAR"), ("x", "BIGINT"), ("happened", "TIMESTAMP WITH TIME ZONE"))
    assert told(engine, rows_of(scan)) == []


def test_a_delta_table_with_mapped_columns_is_refused(engine: DuckDbEngine, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), pa.table(source_columns(view_table(("a", 10, 1)))))
    log = tmp_path / "_delta_log" / "00000000000000000000.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "metaData" in line:
            line["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
    log.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(SourceError, match=r"'rows'.*column"):
        engine.columns(DeltaScan("rows", str(tmp_path)))


def test_names_of_queries_inputs_hold_within_each_query_alone(engine: DuckDbEngine) -> None:
    """Two sources of one name in different queries do not mix."""
    one, other = (frame_scan({"n": pa.array([n])}, "numbers") for n in (1, 2))
    with (
        engine.query("SELECT n FROM numbers", (one,)) as first,
        engine.query("SELECT n FROM numbers", (other,)) as second,
    ):
        assert (first.read_all().to_pydict(), second.read_all().to_pydict()) == ({"n": [1]}, {"n": [2]})


@pytest.mark.parametrize(
    ("column", "declared", "value"),
    [
        (pa.array([2**53 + 1]), "Float64", "9007199254740993"),
        (pa.array([2**24 + 1], pa.int32()), "Float32", "16777217"),
        (pa.array([PyDecimal("1.005")], pa.decimal128(4, 3)), Decimal(10, 2), "1.005"),
        (pa.array([0.3]), Decimal(10, 0), "0.3"),
        (pa.array([1e300]), "Float32", "1e+300"),
        (pa.array([[1, 300]]), "List(Int8)", "300"),
        (pa.array([[1e300]]), "List(Float32)", "1e+300"),
        (pa.array([[1.0, None]]), "Vector(Float64, 2)", "NULL"),
        (instants([1_001], "ns"), "Timestamp", "000001001"),
    ],
)
def test_a_value_the_declared_type_cannot_hold_is_named(
    engine: DuckDbEngine, column: pa.Array, declared: object, value: str
) -> None:
    dtype = parse(str(declared))
    scan = frame_scan({"k": pa.array(["a"]), "happened": instants([10]), "x": column})
    with pytest.raises(SourceError, match=f"View 'view', source 'rows': column 'x' holds .*{value.replace('+', '.')}"):
        told(engine, source_rows(view_table(dtype=dtype), scan))


def test_a_query_that_keeps_one_row_of_each_keeps_its_bits(engine: DuckDbEngine) -> None:
    """DuckDB's optimizer may turn such a query into an aggregate that makes 0.0 of -0.0."""
    scores = frame_scan({"k": pa.array(["a", "a"]), "n": pa.array([1, 2]), "x": pa.array([1.0, -0.0])}, "scores")
    sql = "SELECT x, n FROM scores QUALIFY row_number() OVER (PARTITION BY k ORDER BY n DESC) = 1"
    assert str(read(engine.query(sql, (scores,))).column("x").to_pylist()) == "[-0.0]"


def test_a_table_that_a_query_does_not_name_need_not_be_readable(engine: DuckDbEngine, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "numbers.parquet")
    good, gone = (ParquetScan(name, str(tmp_path / f"{name}.parquet")) for name in ("numbers", "gone"))
    assert read(engine.query("SELECT n FROM numbers", (gone, good))).to_pydict() == {"n": [1]}
    assert read(engine.query("SHOW TABLES", (gone, good))).to_pydict() == {"name": ["numbers"]}


def test_an_unknown_table_is_named_with_those_there_are(engine: DuckDbEngine) -> None:
    tables = tuple(frame_scan({"n": pa.array([1])}, name) for name in ("wings", "flights"))
    with pytest.raises(InputError, match=r"no table 'flight' in the query\. Available: flights, wings\."):
        read(engine.query("SELECT * FROM flight", tables))


def test_a_damaged_file_is_said_with_the_remedy(engine: DuckDbEngine, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("this is no Parquet file")
    with pytest.raises(SourceError, match=r"'rows': a file cannot be read \(.*rows.parquet'\)\. .*write it again"):
        engine.columns(ParquetScan("rows", str(tmp_path)))


def test_an_expression_that_fails_for_some_row_names_its_feature_alone(engine: DuckDbEngine) -> None:
    rows = source_rows(view_table(("a", 10, 0)))
    columns = (Computed("good", Int64, "x", "x + 1"), Computed("bad", Int64, "x", "1 // x"))
    with pytest.raises(SourceError, match=r"feature 'bad': Division by zero in expression \(.*\)\. Correct the value"):
        read(engine.extract(ExtractPlan(replace(rows, columns=columns), None, None)))


def test_a_missing_column_of_a_query_is_named_with_those_of_its_tables(engine: DuckDbEngine) -> None:
    scores = frame_scan({"points": pa.array([1]), "k": pa.array(["a"])}, "scores")
    with pytest.raises(InputError, match=r"no column 'point'\. Columns: points, k\."):
        read(engine.query("SELECT point FROM scores", (scores,)))


def test_what_stands_behind_a_semicolon_is_left_out(engine: DuckDbEngine) -> None:
    scores = frame_scan(source_columns(view_table(("a", 10, 1))), "scores")
    for end in ("; -- all", "-- all\n;", ";;", " /* ; */ ;"):
        assert told(engine, rows_of(SqlScan("rows", f"SELECT * FROM scores {end}", (scores,)))) == [("a", 10, 1)]
