"""Compiled passes over the values of a column, for many of them: the same as those of `_arrays`, in one sweep.

The mean and the sum of squared deviations are of one block; blocks and intervals are put together as in Chan, Golub and
LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel
from featurestore.statistics._arrays import (
    EDGES,
    FIRST_FACTOR,
    FNV_BASIS,
    FNV_PRIME,
    PRECISION,
    REGISTERS,
    SECOND_FACTOR,
    Bytes,
    Counts,
    Hashes,
    Numbers,
    Registers,
)

_HIGHEST_BIT = np.uint64(1 << 63)


@helper
def _mixed(bits: np.uint64) -> np.uint64:
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST_FACTOR
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND_FACTOR
    return bits ^ (bits >> np.uint64(31))


@helper
def _count_hash(hashed: np.uint64, registers: Registers) -> None:
    """Raise the register that the first bits name to the place of the first one among the others."""
    register = np.int64(hashed >> np.uint64(64 - PRECISION))
    rest = (hashed << np.uint64(PRECISION)) | np.uint64(REGISTERS >> 1)
    highest = registers[register]
    if highest > 0 and rest >= np.uint64(1) << (np.uint64(64) - np.uint64(highest)):
        return  # what nearly every value meets: its one stands no further than the register's
    place = 1
    while rest < _HIGHEST_BIT:
        rest = rest << np.uint64(1)
        place += 1
    if registers[register] < place:
        registers[register] = place


@helper
def bin_of(value: float, edges: Numbers) -> int:
    """How many edges are not greater than the value, found without branches, which random values would mislead."""
    low = 0
    half = EDGES >> 1
    while half > 0:
        low += half * (edges[low + half - 1] <= value)
        half >>= 1
    return low


@kernel
def count_numbers(
    values: Numbers, bits: Hashes, edges: Numbers, bins: tuple[Counts, Numbers, Numbers], registers: Registers
) -> tuple[int, int, int, float, float]:
    """Count a block; NaN, infinite and other values, and the mean and squared deviations of the others.

    `bits` tell different values apart; -0.0 is 0.0. Adds to `bins`: the count of each and its least and greatest value,
    which start at infinity and its negative; and to the registers. NaN and infinities are in neither.
    """
    counts, lows, highs = bins
    nan = infinite = finite = 0
    total = lost = 0.0  # Neumaier's sum
    for place in range(values.size):
        value = values[place] + 0.0
        if not np.isfinite(value):
            if np.isnan(value):
                nan += 1
            else:
                infinite += 1
            continue
        finite += 1
        longer = total + value
        lost += (total - longer) + value if abs(total) >= abs(value) else (value - longer) + total
        total = longer
        slot = bin_of(value, edges)
        counts[slot] += 1
        lows[slot] = min(lows[slot], value)
        highs[slot] = max(highs[slot], value)
        _count_hash(_mixed(bits[place] if value != 0 else np.uint64(0)), registers)
    mean = (total + lost) / finite if finite else 0.0
    squares = 0.0
    for place in range(values.size):
        if np.isfinite(values[place]):
            squares += (values[place] - mean) ** 2
    return nan, infinite, finite, mean, squares


@kernel
def pick_numbers(values: Numbers, edges: Numbers, wanted: NDArray[np.bool_], into: Numbers) -> int:
    """Copy the finite values that lie in wanted bins to the front of `into`, in order; how many.

    Every value is written, and the place moves on behind those that are wanted: `into` is longer by one.
    """
    picked = 0
    for value in values:
        into[picked] = value + 0.0
        picked += np.isfinite(value) & wanted[bin_of(value, edges)]
    return picked


@kernel
def hash_texts(data: Bytes, offsets: Counts, registers: Registers) -> None:
    """Count texts, the bytes between successive offsets, in the registers: FNV-1a, then mixed."""
    for place in range(offsets.size - 1):
        hashed = FNV_BASIS
        for byte in range(offsets[place], offsets[place + 1]):
            hashed = (hashed ^ np.uint64(data[byte])) * FNV_PRIME
        _count_hash(_mixed(hashed), registers)
