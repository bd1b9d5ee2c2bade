"""Cells that were served beside those of history: which are equal, bit for bit, and how far the others are apart."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.audit.history import Cells
from featurestore.dtypes import FLOAT_TYPES, INTEGER_TYPES, DType
from featurestore.timeline import Status

Mask = NDArray[np.bool_]
_PRESENT = Status.PRESENT.name
_WIDTHS = {pa.float64(): np.uint64, pa.float32(): np.uint32}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One feature of several vectors: each lies in exactly one of the masks.

    MISSING: history has a value and none was served. EXTRA: the other way round. DIFFERENT: both or none have one, but
    value, status or event time differ. `distances` are of the numbers in DIFFERENT, NaN elsewhere.
    """

    equal: Mask
    different: Mask
    missing: Mask
    extra: Mask
    distances: NDArray[np.float64] = field(repr=False)


def compare(served: Cells, history: Cells, *, times: bool = True) -> Comparison:
    """The comparison of a feature as served with what history has; without `times` of values and statuses only."""
    same = same_bits(served.values, history.values) & _equal(served.statuses, history.statuses)
    if times:
        same &= _equal(served.times, history.times)
    was, has = (_mask(pc.equal(cells.statuses, _PRESENT)) for cells in (served, history))
    different = ~same & (was == has)
    return Comparison(
        equal=same,
        different=different,
        missing=~same & has & ~was,
        extra=~same & was & ~has,
        distances=_distances(served, history, different & was),
    )


def same_bits(one: pa.Array, other: pa.Array) -> Mask:
    """Where two arrays of one type hold the same bits: null equals null, every NaN every other, 0.0 is not -0.0."""
    if one.type in _WIDTHS:
        values = [_bits(array) for array in (one, other)]
        nulls = [array.is_null().to_numpy(zero_copy_only=False) for array in (one, other)]
        same: Mask = (values[0] == values[1]) & (nulls[0] == nulls[1])
        return same
    if pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.array([_canonical(a) == _canonical(b) for a, b in pairs], np.bool_)
    return _equal(one, other)


def _bits(array: pa.Array) -> NDArray[np.unsignedinteger]:
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    canonical = np.where(np.isnan(values), values.dtype.type(math.nan), values)
    bits: NDArray[np.unsignedinteger] = canonical.view(_WIDTHS[array.type])
    return bits


def _canonical(value: object) -> object:
    match value:
        case float():
            return "NaN" if math.isnan(value) else struct.pack("<d", value)
        case list():
            return [_canonical(item) for item in value]
        case _:
            return value


def _equal(one: pa.Array, other: pa.Array) -> Mask:
    both_null = pc.and_(one.is_null(), other.is_null())
    return _mask(pc.or_(pc.fill_null(pc.equal(one, other), False), both_null))


def _mask(array: pa.Array | pa.ChunkedArray) -> Mask:
    found: Mask = array.to_numpy(zero_copy_only=False).astype(np.bool_)
    return found


def _distances(served: Cells, history: Cells, rows: Mask) -> NDArray[np.float64]:
    distances = np.full(len(rows), np.nan)
    if is_number(served.dtype):
        for row in np.flatnonzero(rows):
            distances[row] = distance(served.values[row].as_py(), history.values[row].as_py())
    return distances


def is_number(dtype: DType) -> bool:
    """Whether values of the type have a distance."""
    return dtype.name in FLOAT_TYPES or dtype.name in INTEGER_TYPES or dtype.name == "Decimal"


def distance(one: float | Decimal, other: float | Decimal) -> float:
    """The absolute difference of two numbers; infinite when one of them is NaN."""
    if math.isnan(one) or math.isnan(other):
        return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
    if one == other:
        return 0.0
    return float(abs(one - other))  # type: ignore[operator]  # both are of one type
