"""Sources that cannot be read, or do not look as declared: one clear sentence that names what is wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from decimal import Decimal as PyDecimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from featurestore.dtypes import (
    Bool,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int8,
    Int64,
    List,
    String,
    Timestamp,
    UInt8,
    Vector,
)
from featurestore.engines.base import OfflineEngine
from featurestore.errors import SourceError
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Computed, CsvScan, DeltaScan, ParquetScan, Scan, SourceRows, SqlScan
from featurestore.testing.engines.sources import rows_of, write_parquet
from featurestore.testing.engines.suite import EngineSuite, ask, read
from featurestore.testing.engines.tables import (
    array,
    corrected_table,
    frame_scan,
    instants,
    source_columns,
    source_rows,
    view_table,
)

_UNFIT: tuple[tuple[pa.Array, DType], ...] = (
    (pa.array(["7"]), Int64),
    (pa.array(["7"]), Float64),
    (pa.array(["2024-02-29"]), Date),
    (pa.array(["true"]), Bool),
    (pa.array(["1970-01-01T00:00:00Z"]), Timestamp),
    (pa.array([7]), String),
    (pa.array([b"7"]), String),
    (pa.array([1]), Bool),
    (pa.array([True]), Int64),
    (array([date(1970, 1, 1)], Date), Timestamp),
    (pa.array([300]), Int8),
    (pa.array([-1]), UInt8),
    (pa.array([2**63], pa.uint64()), Int64),
    (pa.array([1.5]), Int64),
    (pa.array([float("nan")]), Int64),
    (pa.array([float("inf")]), Int64),
    (pa.array([12345]), Decimal(4, 0)),
    (pa.array([PyDecimal("1.25")]), Decimal(4, 1)),
    (pa.array([PyDecimal("1.5")]), Int64),
    (pa.array([2**53 + 1]), Float64),
    (pa.array([2**24 + 1]), Float32),
    (pa.array([1e39]), Float32),
    (pa.array([[1.5]]), List(Int64)),
    (pa.array([{"a": 1}]), Int64),
    (pa.array([[1.0, 2.0]]), Vector(Float64, 3)),
    (pa.array([[1.0, None, 2.0]]), Vector(Float64, 3)),
    (pa.array([7]), Timestamp),
    (instants([7], zone=None), Timestamp),
    (instants([7_001], unit="ns"), Timestamp),
)


def _extract(engine: OfflineEngine, rows: SourceRows) -> pa.Table:
    return read(engine.extract(ExtractPlan(rows, None, None)))


class SourceFaultRules(EngineSuite):
    """SourceError, and only that, whichever way the source is met."""

    def _refuses(self, engine: OfflineEngine, scan: Scan, what: str) -> None:
        with pytest.raises(SourceError, match=what):
            engine.columns(scan)
        with pytest.raises(SourceError, match=what):
            engine.check(rows_of(scan))
        with pytest.raises(SourceError, match=what):
            _extract(engine, rows_of(scan))
        with pytest.raises(SourceError, match=what):
            ask(engine, rows_of(scan), [("a", 10)])
        with pytest.raises(SourceError, match=what):
            engine.event_bounds(scan, "happened")

    def test_a_missing_file_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        self._refuses(engine, ParquetScan("rows", str(tmp_path / "gone.parquet")), r"'rows'.*gone\.parquet")
        self._refuses(engine, CsvScan("rows", str(tmp_path / "gone.csv")), r"'rows'.*gone\.csv")
        self._refuses(engine, DeltaScan("rows", str(tmp_path / "gone")), r"'rows'.*gone")

    def test_a_glob_that_matches_nothing_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        self._refuses(engine, ParquetScan("rows", str(tmp_path / "x*.parquet")), r"'rows'.*x\*\.parquet")

    def test_an_empty_directory_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        self._refuses(engine, ParquetScan("rows", str(tmp_path / "empty")), r"'rows'.*empty")
        self._refuses(engine, CsvScan("rows", str(tmp_path / "empty")), r"'rows'.*empty")

    def test_a_file_that_is_no_parquet_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        (tmp_path / "rows.parquet").write_text("k,happened,x\n")
        self._refuses(engine, ParquetScan("rows", str(tmp_path / "rows.parquet")), r"'rows'.*rows\.parquet")

    def test_an_empty_file_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        (tmp_path / "rows.parquet").write_bytes(b"")
        self._refuses(engine, ParquetScan("rows", str(tmp_path / "rows.parquet")), r"'rows'.*rows\.parquet")

    def test_a_truncated_file_among_good_ones_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "1.parquet", ("a", 10, 1))
        write_parquet(tmp_path / "2.parquet", ("a", 20, 2))
        (tmp_path / "2.parquet").write_bytes((tmp_path / "2.parquet").read_bytes()[:-20])
        with pytest.raises(SourceError, match=r"'rows'.*2\.parquet"):
            _extract(engine, rows_of(ParquetScan("rows", str(tmp_path))))

    def test_a_file_whose_pages_are_damaged_is_refused(self, engine: OfflineEngine, tmp_path: Path) -> None:
        file = tmp_path / "rows.parquet"
        write_parquet(file, *((f"key {n}", n, n) for n in range(1_000)))
        whole = file.read_bytes()
        file.write_bytes(whole[:4] + b"\xff" * 4_000 + whole[4_004:])
        rows = rows_of(ParquetScan("rows", str(file)))
        with pytest.raises(SourceError, match="'rows'"):
            _extract(engine, rows)
        with pytest.raises(SourceError, match="'rows'"):
            ask(engine, rows, [("key 7", 10)])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_directory_without_rights_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_parquet(tmp_path / "locked" / "rows.parquet", ("a", 10, 1))
        (tmp_path / "locked").chmod(0)
        try:
            self._refuses(engine, ParquetScan("rows", str(tmp_path / "locked")), r"'rows'.*locked")
        finally:
            (tmp_path / "locked").chmod(0o700)

    def test_a_delta_version_that_does_not_exist_is_named(self, engine: OfflineEngine, tmp_path: Path) -> None:
        write_deltalake(str(tmp_path), pa.table(source_columns(view_table(("a", 10, 1)))))
        self._refuses(engine, DeltaScan("rows", str(tmp_path), version=9), "'rows'")

    @pytest.mark.parametrize(
        "sql", ["SELECT * FROM nowhere", "SELEKT 1", "SELECT nothing FROM scores", "SELECT * FROM scores LIMIT 1"]
    )
    def test_a_query_that_fails_is_named(self, engine: OfflineEngine, sql: str) -> None:
        scores = frame_scan(source_columns(view_table(("a", 10, 1))), "scores")
        self._refuses(engine, SqlScan("rows", sql, (scores,)), "'rows'")

    def test_a_query_that_fails_only_when_it_runs_is_named(self, engine: OfflineEngine) -> None:
        scores = frame_scan(source_columns(view_table(("a", 10, 1))), "scores")
        rows = rows_of(SqlScan("rows", "SELECT k, happened, CAST(k AS BIGINT) AS x FROM scores", (scores,)))
        with pytest.raises(SourceError, match="'rows'"):
            _extract(engine, rows)

    def test_a_missing_column_is_named_with_those_there_are(self, engine: OfflineEngine) -> None:
        columns = source_columns(view_table(("a", 10, 1)))
        for name, renamed in (("k", "key"), ("x", "xx"), ("happened", "at")):
            scan = frame_scan({renamed if n == name else n: column for n, column in columns.items()})
            with pytest.raises(SourceError, match=f"'{name}'.*{renamed}"):
                _extract(engine, rows_of(scan))
            with pytest.raises(SourceError, match=f"'{name}'.*{renamed}"):
                ask(engine, rows_of(scan), [("a", 10)])

    def test_a_missing_created_time_is_named(self, engine: OfflineEngine) -> None:
        scan = frame_scan(source_columns(view_table(("a", 10, 1))))
        with pytest.raises(SourceError, match="'recorded'"):
            _extract(engine, source_rows(corrected_table(), scan))

    def test_a_missing_extra_column_is_named(self, engine: OfflineEngine) -> None:
        rows = replace(source_rows(view_table(("a", 10, 1))), extra=("other",))
        with pytest.raises(SourceError, match="'other'"):
            _extract(engine, rows)

    @pytest.mark.parametrize(("column", "dtype"), _UNFIT, ids=[f"{c.to_pylist()} as {d}" for c, d in _UNFIT])
    def test_values_that_do_not_fit_the_declared_type_are_refused(
        self, engine: OfflineEngine, column: pa.Array, dtype: DType
    ) -> None:
        scan = frame_scan({"k": pa.array(["a"]), "happened": instants([10]), "x": column})
        rows = source_rows(view_table(dtype=dtype), scan)
        with pytest.raises(SourceError, match="'x'"):
            _extract(engine, rows)
        with pytest.raises(SourceError, match="'x'"):
            ask(engine, rows, [("a", 10)])

    def test_keys_that_do_not_fit_the_declared_type_are_refused(self, engine: OfflineEngine) -> None:
        scan = frame_scan(source_columns(view_table(("a", 10, 1))))
        with pytest.raises(SourceError, match="'k'"):
            _extract(engine, source_rows(view_table(key=Int64), scan))

    @pytest.mark.parametrize("name", ["happened", "recorded"])
    @pytest.mark.parametrize(
        ("times", "what"),
        [
            (instants([10], zone=None), "without a time zone; "),
            (instants([10_001], "ns"), "round"),
            (pa.array([10]), "timestamps"),
            (pa.array(["1970-01-01"]), "timestamps"),
        ],
        ids=["naive", "nanoseconds", "integers", "text"],
    )
    def test_times_that_are_no_instants_are_refused_with_the_remedy(
        self, engine: OfflineEngine, name: str, times: pa.Array, what: str
    ) -> None:
        view = corrected_table(("a", 10, 11, 1))
        rows = source_rows(view, frame_scan({**source_columns(view), name: times}))
        with pytest.raises(SourceError, match=f"'{name}'.*{what}"):
            _extract(engine, rows)
        with pytest.raises(SourceError, match=f"'{name}'.*{what}"):
            ask(engine, rows, [("a", 10)])

    def test_types_that_do_not_fit_are_refused_before_anything_is_read(self, engine: OfflineEngine) -> None:
        fits = source_rows(view_table(("a", 10, 1)))
        engine.check(fits)
        engine.check(replace(fits, columns=(Computed("x", Float64, "x"),)))
        for wrong in (
            replace(fits, columns=(Computed("x", String, "x"),)),
            replace(fits, columns=(Computed("x", Bool, "x", "x + 1"),)),
            replace(fits, columns=(Computed("x", Int64, "y"),)),
            replace(fits, keys=(Computed("k", Int64, "k"),)),
            replace(fits, event_timestamp="x"),
        ):
            with pytest.raises(SourceError) as checked:
                engine.check(wrong)
            with pytest.raises(SourceError) as read_too:
                _extract(engine, wrong)
            assert str(checked.value) == str(read_too.value)

    def test_naive_times_in_parquet_are_refused_with_the_remedy(self, engine: OfflineEngine, tmp_path: Path) -> None:
        columns = {**source_columns(view_table(("a", 10, 1))), "happened": instants([10], zone=None)}
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
        with pytest.raises(SourceError, match=r"'happened'.*without a time zone; "):
            _extract(engine, rows_of(ParquetScan("rows", str(tmp_path / "rows.parquet"))))

    @pytest.mark.parametrize(
        "expression",
        [
            "CAST(k AS BIGINT)",
            "nothing + 1",
            "x +",
            "'text'",
            "x / 2",
            "k",
            "sum(x)",
            "row_number() OVER ()",
            "epoch_us(now())",
        ],
    )
    def test_an_expression_that_fails_or_does_not_fit_is_refused(self, engine: OfflineEngine, expression: str) -> None:
        rows = source_rows(view_table(("a", 10, 1)))
        rows = replace(rows, columns=(Computed("x", Int64, "x", expression),))
        with pytest.raises(SourceError, match="'x'"):
            _extract(engine, rows)

    def test_a_fault_leaves_the_engine_usable(self, engine: OfflineEngine) -> None:
        wrong = source_rows(
            view_table(dtype=Int64), frame_scan(source_columns(view_table(("a", 10, "?"), dtype=String)))
        )
        with pytest.raises(SourceError):
            _extract(engine, wrong)
        assert _extract(engine, source_rows(view_table(("a", 10, 1)))).num_rows == 1
