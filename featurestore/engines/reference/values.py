"""A source's values in the declared type: each exactly, or refused.

Numbers become other numbers when the declared type holds exactly that value; only floats round, to the nearest. All
other kinds become their own kind alone: text is no number, a date no instant.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal as PyDecimal

import pyarrow as pa

from featurestore.arrow import arrow_type
from featurestore.dtypes import FLOAT_TYPES, Decimal, DType, List, Vector
from featurestore.errors import FeatureStoreError, SourceError

INSTANT = pa.timestamp("us", tz="UTC")
Number = int | float | PyDecimal


def converted(column: pa.ChunkedArray, dtype: DType, where: str, text: bool = False) -> pa.ChunkedArray:
    """The column in its declared type; with `text` the source knows text only, which is read as the declared type."""
    plain, target = decoded(column), arrow_type(dtype)
    if target == INSTANT and not pa.types.is_null(plain.type):
        return instants(plain, where)
    try:
        if pa.types.is_null(plain.type) or (text and _kind(plain.type) == "text"):
            return plain.cast(target)
        if _kind(plain.type) != _kind(target):
            raise ValueError("values of another kind")
        if "number" not in _kind(target):
            return plain.cast(target)
        values = [None if value is None else _exact(value, dtype) for value in plain.to_pylist()]
        return pa.chunked_array([pa.array(values, target)])
    except (ValueError, ArithmeticError, struct.error, pa.ArrowException) as error:
        raise SourceError(f"{where} holds {plain.type} that is no {dtype}: {error}") from error


def instants(column: pa.ChunkedArray, where: str, wrong: type[FeatureStoreError] = SourceError) -> pa.ChunkedArray:
    """A column of instants in microseconds; raises `wrong` for other types, no time zone, and finer than that."""
    if not pa.types.is_timestamp(column.type):
        raise wrong(f"{where} must hold timestamps, found {column.type}.")
    if column.type.tz is None:
        raise wrong(f"{where} holds timestamps without a time zone; say which instants they are by giving them one.")
    try:
        return column.cast(INSTANT)
    except pa.ArrowInvalid as error:
        raise wrong(f"{where} holds instants that are no microseconds; round them first: {error}") from error


def micros(column: pa.ChunkedArray) -> list[int | None]:
    """Instants as microseconds since 1970."""
    values: list[int | None] = column.cast(pa.int64()).to_pylist()
    return values


def python_values(column: pa.ChunkedArray) -> list[object]:
    """The values as Python objects that compare as the values do; instants are microseconds."""
    values: list[object] = list(micros(column)) if column.type == INSTANT else column.to_pylist()
    return values


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _kind(arrow: pa.DataType) -> str:
    match arrow:
        case _ if pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
            return "number"
        case _ if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
            return "text"
        case _ if pa.types.is_date(arrow):
            return "date"
        case _ if pa.types.is_timestamp(arrow):
            return "naive time" if arrow.tz is None else "instant"
        case _ if hasattr(arrow, "value_type"):
            return f"list of {_kind(arrow.value_type)}"
        case _ if "binary" in str(arrow):
            return "bytes"
        case _:
            return str(arrow)


def _exact(value: object, dtype: DType) -> object:
    match dtype, value:
        case (List(), list()):
            return [None if item is None else _exact(item, dtype.inner) for item in value]
        case (Vector(), list()):
            if len(value) != dtype.size or None in value:
                raise ValueError(f"{value}, which is no vector of {dtype.size}")
            return [_exact(item, dtype.inner) for item in value]
        case (_, int() | float() | PyDecimal()):
            return _exact_number(value, dtype)
        case _:
            raise ValueError(f"{value!r}")


def _exact_number(value: Number, dtype: DType) -> Number:
    if dtype.name in FLOAT_TYPES:
        found: Number = _float(value, dtype)
        exact = found == value or not isinstance(value, int)
    elif isinstance(dtype, Decimal):
        found = PyDecimal(repr(value)) if isinstance(value, float) else PyDecimal(value)
        exact = found.is_finite()  # Arrow refuses digits beyond the scale and the precision
    else:
        found = int(value)  # raises for NaN and infinities
        exact = found == value
    if not exact:
        raise ValueError(f"{value}, which it cannot hold exactly")
    return found


def _float(value: Number, dtype: DType) -> float:
    """The nearest float of the declared size; raises OverflowError for a finite value that is too large."""
    double = float(value)
    if dtype.name == "Float64" or not math.isfinite(double):
        return double
    single: float = struct.unpack("<f", struct.pack("<f", double))[0]
    return single
