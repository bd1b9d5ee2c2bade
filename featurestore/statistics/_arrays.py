"""Passes over the values of a column with numpy: the same answers as the kernels, without loading compiled code.

What is hashed is fixed for good: registers are kept with the tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRECISION = 11  # bits of a hash that choose the register
REGISTERS = 1 << PRECISION
EDGES = 64  # one more than the edges of bins; arrays of edges are filled up to it with infinity

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Registers = NDArray[np.uint8]
Bytes = NDArray[np.uint8]

FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def count_numbers(
    values: Numbers, bits: Hashes, edges: Numbers, bins: tuple[Counts, Numbers, Numbers], registers: Registers
) -> tuple[int, int, int, float, float]:
    """Count a block; NaN, infinite and other values, and the mean and squared deviations of the others.

    `bits` tell different values apart; -0.0 is 0.0. Adds to `bins`: the count of each and its least and greatest value,
    which start at infinity and its negative; and to the registers. NaN and infinities are in neither.
    """
    finite = np.isfinite(values)
    numbers = values[finite] + 0.0
    counts, lows, highs = bins
    places = np.searchsorted(edges, numbers, side="right")
    counts += np.bincount(places, minlength=counts.size)
    np.minimum.at(lows, places, numbers)
    np.maximum.at(highs, places, numbers)
    _count_hashes(_mixed(np.where(numbers == 0, np.uint64(0), bits[finite])), registers)
    nan = int(np.isnan(values).sum())
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean()) if numbers.size else 0.0
        squares = float(np.square(numbers - mean).sum())
    return nan, values.size - numbers.size - nan, numbers.size, mean, squares


def pick_numbers(values: Numbers, edges: Numbers, wanted: NDArray[np.bool_], into: Numbers) -> int:
    """Copy the finite values that lie in wanted bins to the front of `into`, in order; how many."""
    finite = values[np.isfinite(values)] + 0.0
    picked = finite[wanted[np.searchsorted(edges, finite, side="right")]]
    into[: picked.size] = picked
    return picked.size


def hash_texts(data: Bytes, offsets: Counts, registers: Registers) -> None:
    """Count texts, the bytes between successive offsets, in the registers: FNV-1a, then mixed."""
    sizes = np.diff(offsets)
    hashed = np.full(sizes.size, FNV_BASIS)
    for place in range(int(sizes.max(initial=0))):
        long = np.flatnonzero(sizes > place)
        hashed[long] = (hashed[long] ^ data[offsets[long] + place]) * FNV_PRIME
    _count_hashes(_mixed(hashed), registers)


def _mixed(bits: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST_FACTOR
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND_FACTOR
    return bits ^ (bits >> np.uint64(31))


def _count_hashes(hashed: Hashes, registers: Registers) -> None:
    """Raise the registers that the first bits name to the place of the first one among the others."""
    rest = (hashed << np.uint64(PRECISION)) | np.uint64(REGISTERS >> 1)
    exact = rest & ~(rest >> np.uint64(1))  # keeps the first one, and makes the number round down to a double
    _, exponents = np.frexp(exact.astype(np.float64))
    np.maximum.at(registers, (hashed >> np.uint64(64 - PRECISION)).astype(np.int64), (65 - exponents).astype(np.uint8))
