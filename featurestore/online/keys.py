"""Join key values as key bytes: typed, collision-free, in the order of the values.

Integers are 8 bytes big-endian (signed ones with the sign bit flipped, as timestamps in microseconds), dates
4, booleans 1. Texts and bytes stand as they are when they are the last part of a key; before another part
they are escaped and ended (NUL becomes 00 FF, the end is 00), as in FoundationDB's tuple layer, so that ("1",
"23") and ("12", "3") differ. The types of a namespace's key never change, so parts carry no type tag. A key
without parts (a global view) is empty.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import arrow_type
from featurestore.dtypes import EPOCH, INTEGER_TYPES, DType
from featurestore.errors import InputError
from featurestore.timeline import instant_us

if TYPE_CHECKING:
    from numpy.typing import NDArray

Keys = Sequence[tuple[str, DType]]
_PartEncoder = Callable[[object], bytes]

_SIGN = 2**63
_EPOCH_DAY = EPOCH.toordinal()
_REMEDIES = {
    "Bool": "Give True or False.",
    "String": "Give a str.",
    "Bytes": "Give bytes.",
    "Date": "Give a datetime.date (of a datetime: .date()).",
    "Timestamp": "Give an aware datetime.",
}


def key_encoder(keys: Keys) -> Callable[[Sequence[object]], bytes | None]:
    """What turns the values of the named, typed keys into key bytes; None when any value is None.

    Raises InputError for a value of another Python type, an integer beyond 64 bits, and a naive timestamp.
    """
    parts = [_part_encoder(name, dtype, last=i == len(keys) - 1) for i, (name, dtype) in enumerate(keys)]

    def encode(values: Sequence[object]) -> bytes | None:
        encoded = []
        for part, value in zip(parts, values, strict=True):
            if value is None:
                return None
            encoded.append(part(value))
        return b"".join(encoded)

    return encode


def columns_encoder(keys: Keys) -> Callable[[Sequence[Sequence[object]], int], list[bytes | None]]:
    """What turns a column of values for each of the typed keys, in their order, into key bytes, as `key_encoder`.

    Takes the columns and the number of rows.
    """
    parts = [_column_encoder(name, dtype, last=i == len(keys) - 1) for i, (name, dtype) in enumerate(keys)]
    if not parts:
        return lambda _, rows: [b""] * rows
    if len(parts) == 1:
        [single] = parts
        return lambda columns, _: single(columns[0])

    def encode(columns: Sequence[Sequence[object]], _: int) -> list[bytes | None]:
        encoded = [part(column) for part, column in zip(parts, columns, strict=True)]
        rows = zip(*encoded, strict=True)
        return [None if None in row else b"".join(row) for row in rows]

    return encode


def _column_encoder(name: str, dtype: DType, *, last: bool) -> Callable[[Sequence[object]], list[bytes | None]]:
    part = _part_encoder(name, dtype, last=last)
    at_once = _at_once(dtype, last=last)

    def encode(column: Sequence[object]) -> list[bytes | None]:
        if len(column) > 1 and at_once is not None:
            try:
                return list(at_once(column))
            except (TypeError, ValueError, struct.error):
                pass  # one by one it is found out which value is wrong, or none
        return [None if value is None else part(value) for value in column]

    return encode


def _at_once(dtype: DType, *, last: bool) -> Callable[[Sequence[Any]], Iterable[bytes]] | None:
    """The same as the part encoder for columns of the plainest values, much faster; raises for any other value."""
    if dtype.name == "String" and last:
        return lambda column: map(str.encode, column)
    if dtype.name in INTEGER_TYPES:
        pack = struct.Struct(">Q").pack
        shifted = (0 if dtype.name.startswith("U") else _SIGN).__add__

        def encode(column: Sequence[int]) -> Iterable[bytes]:
            if set(map(type, column)) != {int}:
                raise TypeError
            return map(pack, map(shifted, column))

        return encode
    return None


def encode_batch(batch: pa.RecordBatch, keys: Keys) -> list[bytes | None]:
    """The key bytes of each row, the same that `key_encoder` makes of its values; None where any part is null."""
    if not keys:
        return [b""] * batch.num_rows
    parts = [
        _part_array(batch.column(name).cast(arrow_type(dtype)), dtype, last=i == len(keys) - 1)
        for i, (name, dtype) in enumerate(keys)
    ]
    if len(parts) > 1:
        parts = [pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()), null_handling="emit_null")]
    encoded: list[bytes | None] = parts[0].to_pylist()
    return encoded


def _part_encoder(name: str, dtype: DType, *, last: bool) -> _PartEncoder:
    match dtype.name:
        case "String":
            return _string_encoder(name, dtype, last=last)
        case "Bytes":
            return _bytes_encoder(name, dtype, last=last)
        case "Bool":
            return lambda value: b"\x01" if _bool(value, name, dtype) else b"\x00"
        case "Date":
            pack_day = struct.Struct(">I").pack
            return lambda value: pack_day(_days(value, name, dtype) + 2**31)
        case "Timestamp":
            pack_instant = struct.Struct(">Q").pack
            return lambda value: pack_instant(_micros(value, name, dtype) + _SIGN)
        case kind if kind in INTEGER_TYPES:
            return _integer_encoder(name, dtype, offset=0 if kind.startswith("U") else _SIGN)
        case _:
            raise InputError(f"Join key '{name}' cannot be {dtype}: floats, decimals and lists are no keys.")


def _integer_encoder(name: str, dtype: DType, *, offset: int) -> _PartEncoder:
    pack = struct.Struct(">Q").pack

    def encode(value: object) -> bytes:
        number = value if type(value) is int else _integer(value, name, dtype)
        try:
            return pack(number + offset)
        except struct.error as error:
            raise InputError(f"Join key '{name}' is {dtype}; {number} lies beyond its 64 bits.") from error

    return encode


def _string_encoder(name: str, dtype: DType, *, last: bool) -> _PartEncoder:
    def encode(value: object) -> bytes:
        if not isinstance(value, str):
            raise _wrong_type(value, name, dtype)
        try:
            encoded = value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"Join key '{name}': {value!r} is no valid Unicode text: {error.reason}.") from error
        return encoded if last else _ended(encoded)

    return encode


def _bytes_encoder(name: str, dtype: DType, *, last: bool) -> _PartEncoder:
    def encode(value: object) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise _wrong_type(value, name, dtype)
        return bytes(value) if last else _ended(bytes(value))

    return encode


def _ended(encoded: bytes) -> bytes:
    return encoded.replace(b"\x00", b"\x00\xff") + b"\x00"


def _integer(value: object, name: str, dtype: DType) -> int:
    if not isinstance(value, bool | np.bool_):
        try:
            return operator.index(value)  # type: ignore[arg-type]  # numpy integers have __index__, others raise
        except TypeError:
            pass
    raise _wrong_type(value, name, dtype)


def _bool(value: object, name: str, dtype: DType) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise _wrong_type(value, name, dtype)


def _days(value: object, name: str, dtype: DType) -> int:
    day = value.item() if isinstance(value, np.datetime64) else value
    if isinstance(day, date) and not isinstance(day, datetime):
        return day.toordinal() - _EPOCH_DAY
    raise _wrong_type(value, name, dtype)


def _micros(value: object, name: str, dtype: DType) -> int:
    if isinstance(value, np.datetime64):
        raise InputError(
            f"Join key '{name}' wants Timestamp, found numpy.datetime64 {value}, which has no time zone, so it is no "
            f"instant; give an aware datetime."
        )
    if isinstance(value, datetime):
        return instant_us(value, f"Join key '{name}'")
    raise _wrong_type(value, name, dtype)


def _wrong_type(value: object, name: str, dtype: DType) -> InputError:
    remedy = _REMEDIES.get(dtype.name, "Give an int.")
    return InputError(f"Join key '{name}' wants {dtype}, found {type(value).__name__} {value!r}. {remedy}")


def _part_array(column: pa.Array, dtype: DType, *, last: bool) -> pa.Array:
    match dtype.name:
        case "String" | "Bytes":
            encoded = column.cast(pa.binary())
            if last:
                return encoded
            escaped = pc.replace_substring(encoded, pattern=b"\x00", replacement=b"\x00\xff")
            end, separator = pa.scalar(b"\x00", pa.binary()), pa.scalar(b"", pa.binary())
            return pc.binary_join_element_wise(escaped, end, separator)
        case "Bool":
            return _fixed_array(column, column.cast(pa.uint8()), np.dtype(">u1"), flip=0)
        case "Date":
            return _fixed_array(column, column.cast(pa.int32()), np.dtype(">u4"), flip=2**31)
        case "UInt8" | "UInt16" | "UInt32" | "UInt64":
            return _fixed_array(column, column.cast(pa.uint64()), np.dtype(">u8"), flip=0)
        case _:
            return _fixed_array(column, column.cast(pa.int64()), np.dtype(">u8"), flip=_SIGN)


def _fixed_array(column: pa.Array, numbers: pa.Array, width: np.dtype[np.unsignedinteger], *, flip: int) -> pa.Array:
    values: NDArray[np.unsignedinteger] = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    native = width.newbyteorder("=")
    ordered = (values.view(native) ^ native.type(flip)).astype(width)
    packed = pa.Array.from_buffers(pa.binary(width.itemsize), len(ordered), [None, pa.py_buffer(ordered.tobytes())])
    variable = packed.cast(pa.binary())
    return pc.if_else(column.is_valid(), variable, None) if column.null_count else variable
