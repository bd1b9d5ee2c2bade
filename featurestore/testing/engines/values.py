"""Values of every type come back bit for bit, absent ones beside them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal as PyDecimal
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.arrow import arrow_type
from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    String,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Vector,
)
from featurestore.engines.base import OfflineEngine
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import SourceRows
from featurestore.testing.engines.suite import EngineSuite, history, join_of, read
from featurestore.testing.engines.tables import (
    Layout,
    array,
    assert_same,
    frame_scan,
    instants,
    source_rows,
    stored_rows,
    timeless_table,
    view_table,
)

_NAN, _INFINITY = float("nan"), float("inf")
_DAWN, _DUSK = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 and 9999, first and last microsecond
_NINES = "9" * 38

EXTREMES: tuple[tuple[DType, list[object]], ...] = (
    (Int8, [-128, 127, 0]),
    (Int16, [-(2**15), 2**15 - 1]),
    (Int32, [-(2**31), 2**31 - 1]),
    (Int64, [-(2**63), 2**63 - 1, 2**53 + 1, -(2**53) - 1]),
    (UInt8, [0, 255]),
    (UInt16, [0, 2**16 - 1]),
    (UInt32, [0, 2**32 - 1]),
    (UInt64, [0, 2**64 - 1, 2**63, 2**53 + 1]),
    (Float32, [_NAN, _INFINITY, -_INFINITY, -0.0, 0.0, 2.0**-149, 3.4028234663852886e38, 0.10000000149011612]),
    (Float64, [_NAN, _INFINITY, -_INFINITY, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1, 2.0**53]),
    (Bool, [True, False]),
    (String, ["", " ", "null", "NaN", "Zürich", "日本🛫", "e\u0301", "a\x00b", "line\nbreak", "'\"\\", "x" * 5_000]),
    (Bytes, [b"", b"\x00", b"\xff\xfe\x00", bytes(range(256))]),
    (Date, [date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31)]),
    (Timestamp, [_DAWN, -1, 0, 1, 1_700_000_000_123_456, _DUSK]),
    (Decimal(38, 0), [PyDecimal(_NINES), PyDecimal(f"-{_NINES}"), PyDecimal(0)]),
    (Decimal(38, 38), [PyDecimal(f"0.{_NINES}"), PyDecimal(f"-0.{_NINES}")]),
    (Decimal(20, 0), [PyDecimal(2**64 - 1)]),
    (Decimal(5, 2), [PyDecimal("-999.99"), PyDecimal("0.01")]),
    (List(Int64), [[], [None], [2**63 - 1, None, -(2**63)]]),
    (List(UInt64), [[2**64 - 1, None], []]),
    (List(Float64), [[_NAN, -0.0, None, _INFINITY]]),
    (List(String), [["", None, "日本"], []]),
    (List(Bytes), [[b"\x00", b"", None]]),
    (List(Bool), [[True, None, False]]),
    (List(Date), [[date(1969, 12, 31), None]]),
    (List(Timestamp), [[-1, None, 1_700_000_000_123_456]]),
    (List(Decimal(38, 10)), [[PyDecimal(f"{_NINES[10:]}.{_NINES[:10]}"), None]]),
    (Vector(Float32, 3), [[_NAN, -0.0, 2.0**-149], [1.0, _INFINITY, -_INFINITY]]),
    (Vector(Float64, 1), [[0.1], [_NAN]]),
)

_every_type = pytest.mark.parametrize(("dtype", "values"), EXTREMES, ids=[str(dtype) for dtype, _ in EXTREMES])


class ValueRules(EngineSuite):
    """Each value at its own instant, null in between, and nothing at all after."""

    @_every_type
    def test_history_gives_every_value_back(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, values: list[object]
    ) -> None:
        told = [*values, None]
        view = layout(view_table(*(("a", 10 * place, value) for place, value in enumerate(told)), dtype=dtype))
        times = [10 * place + 5 for place in range(len(told))]
        spine = pa.table({"k": pa.array(["a"] * len(told) + ["b"]), "t": instants([*times, 0])})
        table = history(engine, spine, join_of(view))
        assert_same(table.select(["x"]), pa.table({"x": array([*told, None], dtype)}))

    @_every_type
    def test_extraction_gives_every_value_back(self, engine: OfflineEngine, dtype: DType, values: list[object]) -> None:
        told = [*values, None]
        rows = source_rows(view_table(*(("a", place, value) for place, value in enumerate(told)), dtype=dtype))
        table = read(engine.extract(ExtractPlan(rows, None, None)))
        assert_same(table.select(["x"]), pa.table({"x": array(told, dtype)}))

    @_every_type
    def test_the_current_rows_give_every_value_back(
        self, engine: OfflineEngine, tmp_path: Path, dtype: DType, values: list[object]
    ) -> None:
        told = [*values, None]
        view = view_table(*((place, 10, value) for place, value in enumerate(told)), dtype=dtype, key=Int64)
        table = read(engine.current(CurrentPlan(stored_rows(view, tmp_path), at_us=10)))
        assert_same(table.select(["x"]), pa.table({"x": array(told, dtype)}))

    @_every_type
    def test_a_timeless_view_gives_every_value_back(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, values: list[object]
    ) -> None:
        view = layout(timeless_table(*enumerate(values), dtype=dtype, key=Int64))
        spine = pa.table({"k": pa.array(range(len(values) + 1)), "t": instants([0] * (len(values) + 1))})
        table = history(engine, spine, replace(join_of(view), timeless=True))
        assert_same(table.select(["x"]), pa.table({"x": array([*values, None], dtype)}))

    @pytest.mark.parametrize("dtype", [dtype for dtype, _ in EXTREMES], ids=str)
    def test_an_empty_view_answers_in_the_declared_type(
        self, engine: OfflineEngine, layout: Layout, dtype: DType
    ) -> None:
        spine = pa.table({"k": ["a"], "t": instants([10])})
        table = history(engine, spine, join_of(layout(view_table(dtype=dtype))))
        assert_same(table.select(["x"]), pa.table({"x": array([None], dtype)}))

    def test_a_column_of_nothing_but_nulls_has_the_declared_type(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, None), ("b", 10, None)))
        table = history(engine, pa.table({"k": ["a"], "t": instants([10])}), join_of(view))
        assert_same(table.select(["x"]), pa.table({"x": array([None], Int64)}))

    def test_a_null_vector_is_null_among_rows_that_are_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, None), dtype=Vector(Float64, 2)))
        spine = pa.table({"k": ["a", "b", "a", "c"], "t": instants([10, 10, 9, 5])})
        table = history(engine, spine, join_of(view))
        assert_same(table.select(["x"]), pa.table({"x": array([None] * 4, Vector(Float64, 2))}))


_WIDENED: tuple[tuple[pa.Array, DType, list[object]], ...] = (
    (pa.array([7, None], pa.int8()), Int64, [7, None]),
    (pa.array([7, None], pa.uint32()), Int64, [7, None]),
    (pa.array([7, None], pa.int64()), Int8, [7, None]),
    (pa.array([2**63], pa.uint64()), UInt64, [2**63]),
    (pa.array([7, None], pa.int32()), Float64, [7.0, None]),
    (pa.array([7.0, None]), Int64, [7, None]),
    (pa.array([0.5, None], pa.float32()), Float64, [0.5, None]),
    (pa.array([0.5, _NAN]), Float32, [0.5, _NAN]),
    (pa.array([7, None], pa.int32()), Decimal(10, 2), [PyDecimal("7.00"), None]),
    (pa.array([PyDecimal("1.5"), None], pa.decimal128(3, 1)), Decimal(10, 2), [PyDecimal("1.50"), None]),
    (pa.array(["x", "", None], pa.large_string()), String, ["x", "", None]),
    (pa.array(["x", "", None], pa.string_view()), String, ["x", "", None]),
    (pa.array(["x", "y", "x", None]).dictionary_encode(), String, ["x", "y", "x", None]),
    (pa.array([b"\xff", None], pa.large_binary()), Bytes, [b"\xff", None]),
    (pa.array([b"ab", None], pa.binary(2)), Bytes, [b"ab", None]),
    (pa.array([86_400_000, None], pa.date64()), Date, [date(1970, 1, 2), None]),
    (pa.array([7, None], pa.timestamp("s", tz="UTC")), Timestamp, [7_000_000, None]),
    (pa.array([7, None], pa.timestamp("ms", tz="Asia/Kathmandu")), Timestamp, [7_000, None]),
    (pa.array([-7_000, None], pa.timestamp("ns", tz="UTC")), Timestamp, [-7, None]),
    (pa.array([2**53, -(2**53)]), Float64, [2.0**53, -(2.0**53)]),
    (pa.array([2**60]), Float64, [2.0**60]),
    (pa.array([0.1, 1e-60, 16_777_217.0]), Float32, [0.10000000149011612, 0.0, 16_777_216.0]),
    (pa.array([PyDecimal("1.50"), PyDecimal("2.00")]), Decimal(5, 1), [PyDecimal("1.5"), PyDecimal("2.0")]),
    (pa.array([PyDecimal("7.00")]), Int64, [7]),
    (pa.array([PyDecimal("0.1")]), Float64, [0.1]),
    (pa.array([[1, None], None], pa.large_list(pa.int32())), List(Int64), [[1, None], None]),
    (pa.array([[1.0, 2.0], None], pa.list_(pa.float64())), Vector(Float32, 2), [[1.0, 2.0], None]),
    (pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)), List(Float64), [[1.0, 2.0], None]),
    (pa.nulls(2), String, [None, None]),
)


class DeclaredTypeRules(EngineSuite):
    """A source column takes the declared type when each value is held exactly; floats alone may round."""

    @pytest.mark.parametrize(
        ("column", "dtype", "expected"), _WIDENED, ids=[f"{column.type} as {dtype}" for column, dtype, _ in _WIDENED]
    )
    def test_a_source_column_takes_the_declared_type(
        self, engine: OfflineEngine, column: pa.Array, dtype: DType, expected: list[object]
    ) -> None:
        table = read(engine.extract(ExtractPlan(_rows_of(column, dtype), None, None)))
        assert table.column("x").type == arrow_type(dtype)
        assert_same(table.select(["x"]), pa.table({"x": array(expected, dtype)}))


def _rows_of(column: pa.Array, dtype: DType) -> SourceRows:
    size = len(column)
    columns = {"k": pa.array(["a"] * size), "happened": instants(range(size)), "x": column}
    return source_rows(view_table(dtype=dtype), frame_scan(columns))
