"""Columns of values as JSON: the bytes that `featurestore.dtypes.to_json` means, written a column at a time.

msgspec writes most values as `to_json` has them: dates, instants in UTC, decimals, bytes, finite floats. What it writes
otherwise (`null` for NaN and infinities, integers beyond 2^53 as numbers) is noticed, and then written value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from featurestore.dtypes import JSON_SAFE_INTEGER, DType, Json, List, Value, from_json, to_json

Encoded: TypeAlias = tuple[bytes, bool]  # a JSON array, and whether a value may be null

encode = msgspec.json.Encoder().encode
_NULL = b"null"
_WIDE = ("Int64", "UInt64")


def column_encoder(dtype: DType) -> Callable[[Sequence[Value]], Encoded]:
    """What turns a column of the type into a JSON array, and says whether a null may be in it."""
    if dtype.name in _WIDE:
        return _encode_integers
    if isinstance(dtype, List) and dtype.inner.name in _WIDE:
        return lambda values: (_by_value(values), True)
    return _encode_plain


def column_decoder(dtype: DType) -> Callable[[Sequence[Json]], Sequence[Value]]:
    """What turns JSON values into a column of the type, by `featurestore.dtypes.from_json`; raises InputError."""
    native = {"String": str, "Bool": bool}.get(dtype.name, int if "Int" in dtype.name else None)

    def decode(values: Sequence[Json]) -> Sequence[Value]:
        if native is not None and set(map(type, values)) == {native}:
            return values  # type: ignore[return-value]  # all of them are values of the type
        return [from_json(dtype, value) for value in values]

    return decode


def _encode_plain(values: Sequence[Value]) -> Encoded:
    encoded = encode(values)
    if _NULL in encoded:
        return _by_value(values), True
    return encoded, False


def _encode_integers(values: Sequence[Value]) -> Encoded:
    if None in values:
        return _by_value(values), True
    if values and (max(values) > JSON_SAFE_INTEGER or min(values) < -JSON_SAFE_INTEGER):  # type: ignore[type-var, operator]
        return _by_value(values), False
    return encode(values), False


def _by_value(values: Sequence[Value]) -> bytes:
    return encode([to_json(value) for value in values])
