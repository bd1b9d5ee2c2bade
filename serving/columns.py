"""Columns of values as JSON: the bytes that `featurestore.dtypes.to_json` means, written many columns at a time.

msgspec writes most values as `to_json` has them: dates, instants in UTC, decimals, bytes, finite floats. What it writes
otherwise (`null` for NaN and infinities, integers beyond 2^53 as numbers) is noticed, and then written value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import numpy as np

from featurestore.dtypes import JSON_SAFE_INTEGER, DType, Value, from_json, python_micros, to_json
from featurestore.errors import InputError
from featurestore.timeline import to_datetime
from serving.exchange import JsonValue

Encoded: TypeAlias = tuple[bytes, bool]  # a JSON array without its brackets, and whether a value may be null
Table: TypeAlias = tuple[list[bytes], list[bool] | None]  # of each column; None: no value of any is null
Column: TypeAlias = Sequence[Value]
Instants: TypeAlias = Sequence[int | None]  # microseconds since 1970

encode = msgspec.json.Encoder().encode
_WIDE = frozenset({"Int64", "UInt64"})
_ALONE = frozenset({"String", "List", "Vector"})  # their texts and brackets could be taken for a border
_FIRST_US = python_micros(datetime.min.replace(tzinfo=UTC))
_LAST_US = python_micros(datetime.max.replace(tzinfo=UTC))
_LONG = 4096
_SAFE_DIGITS = 15  # an integer of so many digits is below 2^53


class TableEncoder:
    """Writes columns of the given types as JSON arrays, without their brackets."""

    def __init__(self, dtypes: Sequence[DType]) -> None:
        self._encoders = [_column_encoder(dtype) for dtype in dtypes]
        self._together = [i for i, dtype in enumerate(dtypes) if dtype.name not in _ALONE]
        self._alone = [i for i, dtype in enumerate(dtypes) if dtype.name in _ALONE]
        self._wide = [(place, i) for place, i in enumerate(self._together) if dtypes[i].name in _WIDE]

    def encode(self, columns: Sequence[Column]) -> Table:
        """Each column, in order."""
        if not self._together:
            return self._one_by_one(columns)
        together = columns if not self._alone else [columns[i] for i in self._together]
        written = encode(together)
        if _may_be_null(written):
            return self._one_by_one(columns)
        pieces = _split(written)
        for place, i in self._wide:
            if len(pieces[place]) > _SAFE_DIGITS:
                pieces[place] = self._encoders[i](columns[i])[0]
        return self._with_others(columns, pieces) if self._alone else (pieces, None)

    def _with_others(self, columns: Sequence[Column], pieces: list[bytes]) -> Table:
        """The pieces written together, and each other column by itself."""
        found = {i: (piece, False) for i, piece in zip(self._together, pieces, strict=True)}
        found |= {i: self._encoders[i](columns[i]) for i in self._alone}
        return _table([found[i] for i in range(len(columns))])

    def _one_by_one(self, columns: Sequence[Column]) -> Table:
        return _table([encoder(column) for encoder, column in zip(self._encoders, columns, strict=True)])


def encode_together(columns: Sequence[Sequence[object]]) -> list[bytes]:
    """Columns of numbers, instants and nulls as JSON arrays, without their brackets; at least one."""
    return _split(encode(columns))


def encode_instants(times: Instants, at_us: int) -> tuple[bytes, bytes]:
    """Many instants, and their ages in seconds at an instant, as JSON arrays without their brackets."""
    if None in times or min(times) < _FIRST_US or max(times) > _LAST_US:  # type: ignore[type-var, operator]  # no None is left
        instants, ages = instants_and_ages(times, at_us)
        return encode(instants)[1:-1], encode(ages)[1:-1]
    micros = np.array(times, np.int64)
    written = encode(micros.view("M8[us]").tolist())  # naive datetimes, made in a sixth of the time
    return written[1:-2].replace(b'",', b'Z",') + b'Z"', encode(((at_us - micros) / 1e6).tolist())[1:-1]


def instants_and_ages(times: Instants, at_us: int) -> tuple[list[datetime | None], list[float | None]]:
    """Instants as datetimes, and their ages in seconds at an instant; null for null."""
    if None in times:
        instants = [None if time is None else to_datetime(time) for time in times]
        return instants, [None if time is None else (at_us - time) / 1e6 for time in times]
    return [to_datetime(time) for time in times], [(at_us - time) / 1e6 for time in times]  # type: ignore[arg-type, operator]  # no None is left


def _split(written: bytes) -> list[bytes]:
    """The columns of a JSON array of arrays, in none of which is a bracket, without their brackets."""
    if len(written) < _LONG:
        return written[2:-2].split(b"],[")
    return [piece[2:] for piece in written.split(b"]")[:-2]]  # in a long text one byte is found faster than three


def _may_be_null(written: bytes) -> bool:
    """Whether a null stands in the JSON text, or base64 that reads like one."""
    return b"n" in written and b"null" in written  # one byte is found much faster; numbers and instants lack it


def column_decoder(dtype: DType, what: str) -> Callable[[list[JsonValue]], list[Value]]:
    """What turns JSON values into a column of the type, by `featurestore.dtypes.from_json`.

    Raises InputError, which says `what` and where.
    """
    native = {"String": str, "Bool": bool}.get(dtype.name, int if "Int" in dtype.name else None)

    def decode(values: list[JsonValue]) -> list[Value]:
        if native is not None and set(map(type, values)) == {native}:
            return values  # type: ignore[return-value]  # all of them are values of the type
        decoded: list[Value] = []
        try:
            for value in values:
                decoded.append(from_json(dtype, value))  # type: ignore[arg-type]  # noqa: PERF401 -- of a JSON document
        except InputError as error:
            raise InputError(f"{what}, row {len(decoded)}: {error}") from error
        return decoded

    return decode


def _table(encoded: Sequence[Encoded]) -> Table:
    nullable = [may_be_null for _, may_be_null in encoded]
    return [written for written, _ in encoded], nullable if True in nullable else None


def _column_encoder(dtype: DType) -> Callable[[Column], Encoded]:
    inner = getattr(dtype, "inner", dtype)
    if inner is not dtype and inner.name in _WIDE:
        return lambda values: (_by_value(values), True)
    return _encode_integers if dtype.name in _WIDE else _encode_plain


def _encode_plain(values: Column) -> Encoded:
    written = encode(values)
    if _may_be_null(written):
        return _by_value(values), True
    return written[1:-1], False


def _encode_integers(values: Column) -> Encoded:
    if None in values:
        return _by_value(values), True
    if values and (max(values) > JSON_SAFE_INTEGER or min(values) < -JSON_SAFE_INTEGER):  # type: ignore[type-var, operator]  # no None is left
        return _by_value(values), False
    return encode(values)[1:-1], False


def _by_value(values: Column) -> bytes:
    return encode([to_json(value) for value in values])[1:-1]
