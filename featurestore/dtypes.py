"""The logical types of features and keys, and the one table that maps them to every format they pass through.

Values cross five borders: Arrow (in memory), Delta (at rest), DuckDB (computed), MessagePack (online) and JSON (HTTP,
command line). `_SCALARS` names the counterpart at each border; lists and vectors apply it to their elements.
This module imports no engine: `featurestore.arrow` turns the names into pyarrow and polars types.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal
from typing import Any, NamedTuple

from featurestore.errors import InputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
JSON_SAFE_INTEGER = 2**53

Wire = bool | int | float | str | bytes | list["Wire"] | None
Value = bool | int | float | str | bytes | date | datetime | PyDecimal | list["Value"] | None
Json = bool | int | float | str | list["Json"] | None


@dataclass(frozen=True, slots=True)
class DType:
    """A logical type; `str()` gives its text form and `parse` reads it back."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Decimal(DType):
    """Exact decimal of at most 38 digits, `scale` of them behind the point."""

    name: str = "Decimal"
    precision: int = 38
    scale: int = 0

    def __init__(self, precision: int, scale: int) -> None:
        if not (1 <= precision <= 38 and 0 <= scale <= precision):
            raise InputError(
                f"Decimal({precision}, {scale}) is no type: the precision lies between 1 and 38, the scale between 0 "
                "and the precision."
            )
        object.__setattr__(self, "name", "Decimal")
        object.__setattr__(self, "precision", precision)
        object.__setattr__(self, "scale", scale)

    def __str__(self) -> str:
        return f"Decimal({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class List(DType):
    """A list of any length of one scalar type."""

    name: str = "List"
    inner: DType = DType("Int64")

    def __init__(self, inner: DType) -> None:
        if isinstance(inner, List | Vector):
            raise InputError(f"List({inner}) is no type: a list holds scalars.")
        object.__setattr__(self, "name", "List")
        object.__setattr__(self, "inner", inner)

    def __str__(self) -> str:
        return f"List({self.inner})"


@dataclass(frozen=True, slots=True)
class Vector(DType):
    """A vector of exactly `size` floats, none of them null."""

    name: str = "Vector"
    inner: DType = DType("Float64")
    size: int = 1

    def __init__(self, inner: DType, size: int) -> None:
        if inner.name not in ("Float32", "Float64") or size < 1:
            raise InputError(f"Vector({inner}, {size}) is no type: a vector holds one or more Float32 or Float64.")
        object.__setattr__(self, "name", "Vector")
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "size", size)

    def __str__(self) -> str:
        return f"Vector({self.inner}, {self.size})"


Int8, Int16, Int32, Int64 = DType("Int8"), DType("Int16"), DType("Int32"), DType("Int64")
UInt8, UInt16, UInt32, UInt64 = DType("UInt8"), DType("UInt16"), DType("UInt32"), DType("UInt64")
Float32, Float64 = DType("Float32"), DType("Float64")
Bool, String, Bytes = DType("Bool"), DType("String"), DType("Bytes")
Date, Timestamp = DType("Date"), DType("Timestamp")


class _Borders(NamedTuple):
    arrow: str  # pyarrow type alias
    stored: str  # logical type kept in Delta: unsigned types one size wider, since Delta has signed ones only
    duckdb: str
    wire: str  # MessagePack: how an Arrow column is cast before it is packed


_SCALARS: dict[str, _Borders] = {
    "Int8": _Borders("int8", "Int8", "TINYINT", "int8"),
    "Int16": _Borders("int16", "Int16", "SMALLINT", "int16"),
    "Int32": _Borders("int32", "Int32", "INTEGER", "int32"),
    "Int64": _Borders("int64", "Int64", "BIGINT", "int64"),
    "UInt8": _Borders("uint8", "Int16", "UTINYINT", "uint8"),
    "UInt16": _Borders("uint16", "Int32", "USMALLINT", "uint16"),
    "UInt32": _Borders("uint32", "Int64", "UINTEGER", "uint32"),
    "UInt64": _Borders("uint64", "Decimal(20, 0)", "UBIGINT", "uint64"),
    "Float32": _Borders("float32", "Float32", "FLOAT", "float32"),
    "Float64": _Borders("float64", "Float64", "DOUBLE", "float64"),
    "Bool": _Borders("bool", "Bool", "BOOLEAN", "bool"),
    "String": _Borders("string", "String", "VARCHAR", "string"),
    "Bytes": _Borders("binary", "Bytes", "BLOB", "binary"),
    "Date": _Borders("date32", "Date", "DATE", "int32"),
    "Timestamp": _Borders("timestamp[us, UTC]", "Timestamp", "TIMESTAMP WITH TIME ZONE", "int64"),
    "Decimal": _Borders("decimal128", "Decimal", "DECIMAL", "string"),
}

KEY_TYPES = frozenset({*(n for n in _SCALARS if "Int" in n), "Bool", "String", "Bytes", "Date", "Timestamp"})
INTEGER_TYPES = frozenset(n for n in _SCALARS if "Int" in n)
FLOAT_TYPES = frozenset({"Float32", "Float64"})
_NUMERIC = INTEGER_TYPES | FLOAT_TYPES

_DECIMAL_TEXT = re.compile(r"Decimal\((\d+), ?(\d+)\)")
_LIST_TEXT = re.compile(r"List\((.+)\)")
_VECTOR_TEXT = re.compile(r"Vector\((\w+), ?(\d+)\)")


def parse(text: str) -> DType:
    """The type whose text form is `text`, such as `Int64`, `Decimal(10, 2)`, `List(String)`, `Vector(Float32, 8)`."""
    if text in _SCALARS and text != "Decimal":
        return DType(text)
    if found := _DECIMAL_TEXT.fullmatch(text):
        return Decimal(int(found[1]), int(found[2]))
    if found := _VECTOR_TEXT.fullmatch(text):
        return Vector(parse(found[1]), int(found[2]))
    if found := _LIST_TEXT.fullmatch(text):
        return List(parse(found[1]))
    raise InputError(f"'{text}' is no feature type. Types: {', '.join(_SCALARS)}, List(T), Vector(Float32, n).")


def arrow_name(dtype: DType) -> str:
    """The pyarrow alias of a scalar type."""
    return _SCALARS[dtype.name].arrow


def wire_name(dtype: DType) -> str:
    """The pyarrow alias that a scalar type is cast to before it is packed as MessagePack."""
    return _SCALARS[dtype.name].wire


def stored_type(dtype: DType) -> DType:
    """The type kept in Delta tables; `duckdb_type` of the original restores it by a cast."""
    match dtype:
        case List() | Vector():
            return List(stored_type(dtype.inner))
        case Decimal():
            return dtype
        case _:
            return parse(_SCALARS[dtype.name].stored)


def duckdb_type(dtype: DType) -> str:
    """The DuckDB type, as SQL text."""
    match dtype:
        case Decimal():
            return f"DECIMAL({dtype.precision}, {dtype.scale})"
        case List():
            return f"{duckdb_type(dtype.inner)}[]"
        case Vector():
            return f"{duckdb_type(dtype.inner)}[{dtype.size}]"
        case _:
            return _SCALARS[dtype.name].duckdb


def _micros_to_datetime(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _days_to_date(days: int) -> date:
    return date.fromordinal(_EPOCH_DAY + days)


def wire_decoder(dtype: DType) -> Callable[[Any], Value] | None:
    """What turns an unpacked MessagePack value into a Python value; None when it is one already.

    Dates travel as days and timestamps as microseconds since 1970, decimals as text. The decoder is never
    called with null.
    """
    decoder: Callable[[Any], Value] | None
    match dtype.name:
        case "Date":
            decoder = _days_to_date
        case "Timestamp":
            decoder = _micros_to_datetime
        case "Decimal":
            decoder = PyDecimal
        case "List":
            assert isinstance(dtype, List)
            inner = wire_decoder(dtype.inner)
            if inner is None:
                return None
            item = inner

            def decoder(values: list[Wire]) -> Value:
                return [None if value is None else item(value) for value in values]
        case _:
            decoder = None
    return decoder


def to_json(value: Value) -> Json:
    """A JSON value that loses nothing.

    Integers beyond 2^53 become text, NaN and infinities the texts `NaN`, `Infinity`, `-Infinity`, bytes base64,
    dates ISO 8601, timestamps RFC 3339 in UTC (microseconds where they are not zero), decimals text.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -JSON_SAFE_INTEGER <= value <= JSON_SAFE_INTEGER else str(value)
        case float():
            if math.isnan(value):
                return "NaN"
            if math.isinf(value):
                return "Infinity" if value > 0 else "-Infinity"
            return value
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case PyDecimal():
            return str(value)
        case _:
            return [to_json(item) for item in value]


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|[+-]?Infinity", re.ASCII | re.IGNORECASE)
_MICROS_LENGTH = len("2024-01-02T12:00:00.123456Z")
_FINER = re.compile(r"[.,]\d{6}\d*[1-9]")  # a part of a second that Python would cut off
_JSON_EXAMPLES = {
    "Date": '"2024-01-02"',
    "Timestamp": '"2024-01-02T12:00:00Z", with its zone and no finer than microseconds',
    "Bytes": '"AP8=", which is base64',
    "Decimal": '"12.50"',
    "Bool": "true",
}


def from_json(dtype: DType, value: Json) -> Value:
    """The Python value of a type from its JSON form, as `to_json` writes it; raises InputError when it has another."""
    if value is None:
        return None
    try:
        return _from_json(dtype, value)
    except (TypeError, ValueError, ArithmeticError) as error:
        found = json.dumps(value, ensure_ascii=False, default=repr)
        example = _JSON_EXAMPLES.get(dtype.name)
        such = "" if example is None else f", such as {example}"
        raise InputError(f"{found} is no {dtype} in JSON form{such}.") from error


def _from_json(dtype: DType, value: Json) -> Value:
    if isinstance(value, str) and dtype.name in _NUMERIC and not _NUMBER.fullmatch(value):
        raise ValueError(value)  # Python's own numbers have underscores, blanks and digits of other scripts
    match dtype.name:
        case "Bool" if isinstance(value, bool):
            return value
        case "String" if isinstance(value, str):
            return value
        case "Bytes" if isinstance(value, str):
            return base64.b64decode(value, validate=True)
        case "Date" if isinstance(value, str):
            return date.fromisoformat(value)
        case "Timestamp" if isinstance(value, str):
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is None or (len(value) > _MICROS_LENGTH and _FINER.search(value)):
                raise ValueError(value)
            return instant.astimezone(UTC)
        case "Decimal" if isinstance(value, str | int) and not isinstance(value, bool):
            return PyDecimal(value)
        case "List" | "Vector" if isinstance(value, list):
            assert isinstance(dtype, List | Vector)
            return [from_json(dtype.inner, item) for item in value]
        case name if name in FLOAT_TYPES and isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
        case name if name in INTEGER_TYPES and isinstance(value, str | int) and not isinstance(value, bool):
            return int(value)
        case _:
            raise ValueError(value)


def python_micros(instant: datetime) -> int:
    """Microseconds since 1970 of an aware instant, exactly."""
    return (instant - EPOCH) // _MICROSECOND
