"""Arrow columns as the kernels take them: exact numbers for sums, int64 keys for order and equality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.compilation import read_only
from featurestore.windows.digits import DIGIT_BITS
from featurestore.windows.power_sums import (
    DOUBLES,
    EXPONENT_BIAS,
    SIGNED,
    UNSIGNED,
    WIDE,
    exponent_span,
)

_SIGN = np.int64(-(1 << 63))
_NOTHING = read_only(np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Numbers:
    """Values as integers times 2^(lowest - 1075) (doubles) or 10^-scale (all else).

    `bits` and `kind` as in `power_sums`; `places`: the highest 30-bit position at which a value begins.
    """

    bits: tuple[NDArray[np.int64], NDArray[np.int64]]
    kind: int
    lowest: int = 0
    places: int = 0
    scale: int = 0

    @property
    def exponent(self) -> int:
        """Of the bit that `lowest` names."""
        return self.lowest - EXPONENT_BIAS if self.kind == DOUBLES else 0

    def widths(self, powers: int) -> NDArray[np.int64]:
        """Digits needed to add x, x^2, ... of 2^29 values, with room to multiply the sum by their number."""
        size = 5 if self.kind == WIDE else 3
        return np.array([k * (self.places + size) + 2 for k in range(1, powers + 1)], np.int64)


def single_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array, without dictionary; views of text and bytes as plain text and bytes."""
    array = column
    if isinstance(column, pa.ChunkedArray):
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    return array.cast(pa.binary()) if pa.types.is_binary_view(array.type) else array


def canonical(values: pa.Array) -> pa.Array:
    """Floats without nulls, -0.0 replaced by 0.0 and every NaN by the same one; other types as they are."""
    if not pa.types.is_floating(values.type):
        return values
    floats = values.to_numpy()
    unusual = np.isnan(floats)
    if unusual.any():
        return pa.array(np.where(unusual, floats.dtype.type(np.nan), floats + 0.0), values.type)
    return pa.array(floats + 0.0, values.type) if (np.signbit(floats) & (floats == 0)).any() else values


def numbers(values: pa.Array) -> Numbers:
    """The exact numbers of a column without nulls: integers, floats, decimals or booleans."""
    if pa.types.is_decimal(values.type):
        low, high = _decimal_halves(values)
        fits = bool(np.array_equal(high, low >> 63))
        bits = (read_only(low), _NOTHING if fits else read_only(high))
        return Numbers(bits, SIGNED if fits else WIDE, scale=values.type.scale)
    if pa.types.is_floating(values.type):
        low = read_only(values.cast(pa.float64()).to_numpy().view(np.int64))
        lowest, highest = exponent_span(low)
        places = max(highest - lowest, 0) // DIGIT_BITS
        return Numbers((low, _NOTHING), DOUBLES, lowest, places)
    if pa.types.is_uint64(values.type):
        return Numbers((read_only(values.to_numpy().view(np.int64)), _NOTHING), UNSIGNED)
    return Numbers((read_only(_integers(values)), _NOTHING), SIGNED)


def keys(values: pa.Array) -> NDArray[np.int64]:
    """int64 in the order of the values, equal for equal values; NaN is the greatest. For canonical values, no nulls."""
    kind = values.type
    if pa.types.is_floating(kind):
        bits = values.cast(pa.float64()).to_numpy().view(np.int64)
        return read_only(np.where(bits < 0, bits ^ np.int64((1 << 63) - 1), bits) if (bits < 0).any() else bits)
    if pa.types.is_uint64(kind):
        return read_only(values.to_numpy().view(np.int64) ^ _SIGN)
    if pa.types.is_decimal(kind):
        return read_only(_decimal_keys(values))
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind):
        return read_only(_integers(values))
    encoded = pc.dictionary_encode(values)
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(order.size, np.int64)
    ranks[order] = np.arange(order.size)
    return read_only(ranks[encoded.indices.to_numpy()])


def decimal_divisors(scale: int) -> NDArray[np.int64]:
    """Numbers below 2^31 whose product is 10^scale."""
    factors = [10**9] * (scale // 9) + ([10 ** (scale % 9)] if scale % 9 else [])
    return read_only(np.array(factors, np.int64))


def nullable(values: NDArray[np.generic], null: NDArray[np.bool_]) -> pa.Array:
    """An Arrow array, null where told; NaN stays NaN."""
    return pa.array(values, mask=null if null.any() else None, from_pandas=False)


def _integers(values: pa.Array) -> NDArray[np.int64]:
    kind = values.type
    whole = values.cast(pa.int32()) if pa.types.is_date32(kind) else values
    integers: NDArray[np.int64] = whole.cast(pa.int64()).to_numpy()
    return integers


def _decimal_halves(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Low and high 64 bits of the unscaled values."""
    wide = values.cast(pa.decimal128(38, values.type.scale))
    if len(wide) == 0:
        return _NOTHING, _NOTHING
    halves = np.frombuffer(wide.buffers()[1], np.int64).reshape(-1, 2)[wide.offset : wide.offset + len(wide)]
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])


def _decimal_keys(values: pa.Array) -> NDArray[np.int64]:
    low, high = _decimal_halves(values)
    if np.array_equal(high, low >> 63):
        return low
    order = np.lexsort((low ^ _SIGN, high))
    step = np.zeros(order.size, np.int64)
    step[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    ranks = np.empty(order.size, np.int64)
    ranks[order] = np.cumsum(step)
    return ranks
