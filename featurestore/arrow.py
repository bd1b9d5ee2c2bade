"""Logical types as pyarrow and polars types, and the conversions at the seams."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore import dtypes
from featurestore.dtypes import Decimal, DType, List, Vector
from featurestore.errors import InputError

_POLARS = {
    "Int8": pl.Int8, "Int16": pl.Int16, "Int32": pl.Int32, "Int64": pl.Int64,
    "UInt8": pl.UInt8, "UInt16": pl.UInt16, "UInt32": pl.UInt32, "UInt64": pl.UInt64,
    "Float32": pl.Float32, "Float64": pl.Float64, "Bool": pl.Boolean, "String": pl.String,
    "Bytes": pl.Binary, "Date": pl.Date,
}  # fmt: skip
_FROM_POLARS = {polars: name for name, polars in _POLARS.items()}


def arrow_type(dtype: DType) -> pa.DataType:
    """The Arrow type of a logical type."""
    match dtype:
        case Decimal():
            return pa.decimal128(dtype.precision, dtype.scale)
        case List():
            return pa.list_(arrow_type(dtype.inner))
        case Vector():
            return pa.list_(arrow_type(dtype.inner), dtype.size)
        case DType(name="Timestamp"):
            return pa.timestamp("us", tz="UTC")
        case _:
            return pa.type_for_alias(dtypes.arrow_name(dtype))


def polars_type(dtype: DType) -> pl.DataType:
    """The polars type of a logical type."""
    match dtype:
        case Decimal():
            return pl.Decimal(dtype.precision, dtype.scale)
        case List():
            return pl.List(polars_type(dtype.inner))
        case Vector():
            return pl.Array(polars_type(dtype.inner), dtype.size)
        case DType(name="Timestamp"):
            return pl.Datetime("us", "UTC")
        case _:
            return _POLARS[dtype.name]()


def logical_type(arrow: pa.DataType) -> DType | None:
    """The logical type of an Arrow type; None when there is none (structs, maps, nanoseconds, naive timestamps)."""
    if pa.types.is_dictionary(arrow):
        return logical_type(arrow.value_type)
    if pa.types.is_decimal(arrow) and arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision:
        return Decimal(arrow.precision, arrow.scale)
    if pa.types.is_fixed_size_list(arrow) and pa.types.is_floating(arrow.value_type):
        inner = logical_type(arrow.value_type)
        return Vector(inner, arrow.list_size) if inner else None
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        inner = logical_type(arrow.value_type)
        return List(inner) if inner and not isinstance(inner, List | Vector) else None
    if pa.types.is_timestamp(arrow):
        return dtypes.Timestamp if arrow.tz is not None and arrow.unit != "ns" else None
    if pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return dtypes.String
    if pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow):
        return dtypes.Bytes
    return next((DType(name) for name in _POLARS if pa.type_for_alias(dtypes.arrow_name(DType(name))) == arrow), None)


def logical_polars_type(polars: pl.DataType) -> DType | None:
    """The logical type of a polars type; None when there is none."""
    match polars:
        case pl.Datetime(time_unit="us", time_zone=zone) if zone is not None:
            return dtypes.Timestamp
        case pl.Decimal(precision=precision, scale=scale):
            return Decimal(precision or 38, scale)
        case pl.List(inner=inner):
            found = logical_polars_type(inner)  # type: ignore[arg-type]  # polars types the inner as class or instance
            return List(found) if found and not isinstance(found, List | Vector) else None
        case pl.Array(inner=inner, shape=(size,)):
            found = logical_polars_type(inner)  # type: ignore[arg-type]  # as above
            return Vector(found, size) if found and found.name in dtypes.FLOAT_TYPES else None
        case _:
            name = _FROM_POLARS.get(polars.base_type())
            return DType(name) if name else None


def wire_column(column: pa.ChunkedArray | pa.Array, dtype: DType) -> list[dtypes.Wire]:
    """The values of an Arrow column as MessagePack takes them, in order; null is None."""
    match dtype:
        case List():
            inner = _wire_type(dtype.inner)
            values: list[dtypes.Wire] = column.cast(pa.list_(inner)).to_pylist()
        case Vector():
            values = column.to_pylist()
        case _:
            values = column.cast(_wire_type(dtype)).to_pylist()
    return values


def _wire_type(dtype: DType) -> pa.DataType:
    return pa.type_for_alias(dtypes.wire_name(dtype))


def as_table(data: object, what: str) -> pa.Table:
    """An Arrow table of a polars or pandas frame, an Arrow table, batch or reader, or a list of dicts.

    Raises InputError for anything else, and for columns that hold values of several kinds or too large ones.
    """
    try:
        return _table_of(data, what)
    except (pa.ArrowException, OverflowError, TypeError, AttributeError) as error:
        raise InputError(f"{what}: its columns cannot be read ({error}); give each values of one type.") from error


def _table_of(data: object, what: str) -> pa.Table:
    match data:
        case pa.Table():
            return data
        case pa.RecordBatch():
            return pa.Table.from_batches([data])
        case pa.RecordBatchReader():
            return data.read_all()
        case pl.LazyFrame():
            return data.collect().to_arrow()
        case list() | tuple():
            return pa.Table.from_pylist(list(data))
        case _ if type(data).__module__.startswith("pandas"):
            return pa.Table.from_pandas(data, preserve_index=False)
        case _ if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
        case _:
            raise InputError(
                f"{what} is a {type(data).__name__}; give a polars or pandas frame, an Arrow table or reader, "
                "or a list of dicts."
            )


def ipc_stream(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream, which is what a literal scan holds."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def integer(value: int) -> pa.Int64Scalar:
    """The value as an int64; `pa.scalar` would load pandas first, where it is installed: a quarter of a second."""
    return pa.arange(value, value + 1, 1)[0]


def instants(column: pa.ChunkedArray, name: str, what: str) -> pa.ChunkedArray:
    """A timestamp column as int64 microseconds since 1970; null stays null.

    Raises InputError for another type, a column without time zone, and instants finer than microseconds.
    """
    if not pa.types.is_timestamp(column.type):
        raise InputError(f"{what}: column '{name}' must hold timestamps, found {column.type}.")
    if column.type.tz is None:
        raise InputError(
            f"{what}: column '{name}' holds timestamps without a time zone; say which instants they are, for example "
            f"with polars .dt.replace_time_zone('UTC')."
        )
    if column.type.unit == "ns":
        nanos = column.cast(pa.int64())
        micros = pc.divide(nanos, 1000)
        if not pc.all(pc.equal(pc.multiply(micros, 1000), nanos)).as_py() and column.null_count < len(column):
            raise InputError(
                f"{what}: column '{name}' holds instants finer than microseconds; round them first, for example with "
                "polars .dt.cast_time_unit('us')."
            )
    return column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
