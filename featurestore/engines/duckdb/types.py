"""DuckDB's types against declared types: which values pass, and the SQL that converts and checks them.

A value passes when the declared type can hold exactly it. So integers widen, and narrow when each value fits; doubles
become integers when they are whole; decimals change scale when no digit is lost; 64-bit integers become doubles up to
2^53. Only floats round: a decimal or double becomes the nearest float of the declared size, and one too large is
refused. Text becomes no number and no instant, numbers no text, booleans no numbers, dates no instants; instants
without a time zone or finer than microseconds are refused.
"""

from __future__ import annotations

import re

from featurestore.dtypes import FLOAT_TYPES, INTEGER_TYPES, Decimal, DType, List, Vector, duckdb_type, parse
from featurestore.engines.duckdb.errors import REFUSED
from featurestore.engines.duckdb.text import literal
from featurestore.errors import SourceError

_LOGICAL = {
    "TINYINT": "Int8", "SMALLINT": "Int16", "INTEGER": "Int32", "BIGINT": "Int64",
    "UTINYINT": "UInt8", "USMALLINT": "UInt16", "UINTEGER": "UInt32", "UBIGINT": "UInt64",
    "HUGEINT": "Decimal(38, 0)", "FLOAT": "Float32", "DOUBLE": "Float64", "BOOLEAN": "Bool", "VARCHAR": "String",
    "BLOB": "Bytes", "DATE": "Date", "TIMESTAMP WITH TIME ZONE": "Timestamp",
}  # fmt: skip
_NULL = ("NULL", '"NULL"')
_NAIVE = ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S")
_NANOSECONDS = "TIMESTAMPTZ_NS"
_LIST = re.compile(r"(.+)\[(\d*)\]")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_EXACT_BITS = {"Float32": 24, "Float64": 53}


def logical(found: str) -> DType | None:
    """The logical type that holds every value of a DuckDB type; None when there is none."""
    if name := _LOGICAL.get(found):
        return parse(name)
    if number := _DECIMAL.fullmatch(found):
        return Decimal(int(number[1]), int(number[2]))
    if nested := _LIST.fullmatch(found):
        inner = logical(nested[1])
        if inner is None or isinstance(inner, List | Vector):
            return None
        return Vector(inner, int(nested[2])) if nested[2] and inner.name in FLOAT_TYPES else List(inner)
    return parse("String") if found == "UUID" or found.startswith("ENUM(") else None


def converted(sql: str, found: str, declared: DType, column: str, what: str, text: bool = False) -> str:
    """SQL of the value in its declared type; fails at run time on a value that the type cannot hold.

    `sql` is an expression of DuckDB type `found`, `column` its name for people. Raises SourceError when no value of
    that type would pass. With `text` the source knows text only (CSV, folder names), so text is read as the declared
    type, but never as an instant: that would guess its time zone.
    """
    kept = kept_type(declared)
    cast = f"CAST({sql} AS {kept})"
    if found == kept.replace(", ", ",") and not isinstance(declared, Vector):
        return sql
    if found in _NULL:
        return cast
    if text and found == "VARCHAR" and declared.name not in ("String", "Timestamp"):
        return _read(sql, declared, column)
    if not _comparable(found, declared):
        raise SourceError(mismatch(found, declared, column, what))
    if _widens(found, declared):
        return cast
    tried = f"TRY_CAST({sql} AS {kept})"
    match declared:
        case Vector():
            passes = f"len({tried}) = {declared.size} AND list_count({tried}) = {declared.size}"
        case List() if _rounds(found, declared):
            passes = f"list_count({tried}) = list_count({sql})"
        case _ if _rounds(found, declared):
            passes = f"{tried} IS NOT NULL"
        case _:
            passes = f"TRY_CAST({tried} AS {found}) = {sql}"
    return f"CASE WHEN {sql} IS NULL OR {passes} THEN {tried} ELSE {_refusal(sql, declared, column)} END"


def kept_type(dtype: DType) -> str:
    """The DuckDB type in which values of a logical type pass through queries; `reading` gives them the exact one.

    A vector is a list there: DuckDB 2.0 reads uninitialized memory when a join's build side holds a null array.
    """
    return duckdb_type(List(dtype.inner) if isinstance(dtype, Vector) else dtype)


def instant(sql: str, found: str, column: str, what: str) -> str:
    """SQL of an instant as int64 microseconds since 1970; null stays null."""
    if found in _NULL:
        return "CAST(NULL AS BIGINT)"
    timestamp = parse("Timestamp")
    if found not in ("TIMESTAMP WITH TIME ZONE", _NANOSECONDS):
        if found in (*_NAIVE, "DATE"):
            raise SourceError(mismatch(found, timestamp, column, what))
        raise SourceError(
            f"{what}: column '{column}' must hold timestamps, found {logical(found) or found}. Name another column, or "
            "make one of it in a SqlSource."
        )
    return f"epoch_us({converted(sql, found, timestamp, column, what)})"


def mismatch(found: str, declared: DType, column: str, what: str) -> str:
    """The sentence for a column whose type has no value in common with the declared one."""
    if declared.name == "Timestamp" and found in _NAIVE:
        return (
            f"{what}: column '{column}' holds timestamps without a time zone; say which instants they are, "
            f"for example in a SqlSource with {column} AT TIME ZONE 'UTC'."
        )
    if declared.name == "Timestamp" and found == "DATE":
        return (
            f"{what}: column '{column}' holds dates, which are no instants; say which, for example in a SqlSource "
            f"with CAST({column} AS TIMESTAMP) AT TIME ZONE 'UTC'."
        )
    shown = logical(found)
    return (
        f"{what}: column '{column}' is declared {declared}, found {shown or found}. Declare the type that is there, "
        f"or convert it with an expression, such as CAST({column} AS {duckdb_type(declared)})."
    )


def _read(sql: str, declared: DType, column: str) -> str:
    value = f"TRY_CAST({sql} AS {duckdb_type(declared)})"
    whole = f" AND regexp_full_match({sql}, '[+-]?[0-9]+')" if declared.name in INTEGER_TYPES else ""
    refusal = _refusal(sql, declared, column)
    return f"CASE WHEN {sql} IS NULL OR {value} IS NOT NULL{whole} THEN {value} ELSE {refusal} END"


def _refusal(sql: str, declared: DType, column: str) -> str:
    start = literal(f"{REFUSED}column '{column}' holds ")
    if declared.name == "Timestamp":
        round_it = f"CAST({column} AS {duckdb_type(declared)})"
        end = literal(f", which is finer than microseconds; round it first, such as in a SqlSource with {round_it}.")
    else:
        end = literal(f", which {declared} cannot hold exactly. Correct the value, or declare another type.")
    return f"error(concat({start}, CAST({sql} AS VARCHAR), {end}))"


def _is_number(dtype: DType) -> bool:
    return dtype.name in INTEGER_TYPES or dtype.name in FLOAT_TYPES or isinstance(dtype, Decimal)


def _comparable(found: str, declared: DType) -> bool:
    """Whether a value of the DuckDB type may be one of the declared type."""
    if nested := _LIST.fullmatch(found):
        return isinstance(declared, List | Vector) and (nested[1] in _NULL or _comparable(nested[1], declared.inner))
    if found == _NANOSECONDS:
        return declared.name == "Timestamp"
    there = parse("Decimal(38, 0)") if found == "UHUGEINT" else logical(found)
    if there is None:
        return False
    return (_is_number(there) and _is_number(declared)) or there.name == declared.name


def _widens(found: str, declared: DType) -> bool:
    """Whether each value of the DuckDB type fits."""
    if isinstance(declared, Vector):
        return False
    if (nested := _LIST.fullmatch(found)) and isinstance(declared, List):
        return nested[1] in _NULL or _widens(nested[1], declared.inner)
    there = logical(found)
    if there is None:
        return False
    match there.name, declared.name:
        case (one, other) if one in INTEGER_TYPES and other in INTEGER_TYPES:
            return _holds(one, other)
        case (one, other) if one in INTEGER_TYPES and other in FLOAT_TYPES:
            return _bits(one) <= _EXACT_BITS[other]
        case ("Float32", "Float64"):
            return True
        case (one, other):
            return one == other and not isinstance(there, Decimal)
    return False


def _rounds(found: str, declared: DType) -> bool:
    """Whether the nearest value is good enough: floats of decimals, and of larger floats."""
    if (nested := _LIST.fullmatch(found)) and isinstance(declared, List | Vector):
        return _rounds(nested[1], declared.inner)
    there = logical(found)
    if there is None or declared.name not in FLOAT_TYPES:
        return False
    return there.name in FLOAT_TYPES or (isinstance(there, Decimal) and found != "HUGEINT")


def _bits(integer: str) -> int:
    return int(integer.rpartition("t")[2])


def _holds(one: str, other: str) -> bool:
    signed = not one.startswith("U")
    if signed:
        return not other.startswith("U") and _bits(one) <= _bits(other)
    return _bits(one) <= _bits(other) - (0 if other.startswith("U") else 1)
