"""Exact running sums of x, x^2 and x^3, compiled: one pass over the values, snapshots where windows begin and end.

Each finite value is an integer times a power of two, of at most five 30-bit digits at some digit position. Sums of such
integers are exact, so a window's sum is the difference of two snapshots, whatever lies before the window.
A row of sums holds those of each power one after the other; `widths` says how many digits each power has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel
from featurestore.windows.digits import DIGIT, DIGIT_BITS, Digits

DOUBLES, SIGNED, UNSIGNED, WIDE = 0, 1, 2, 3  # what a value's 64 bits mean; WIDE: 128 bits, two's complement
EXPONENT_BIAS = 1075  # a double is its mantissa times 2^(exponent field - 1075)

_FRACTION = (1 << 52) - 1
_IMPLIED = 1 << 52
_FIELD = 0x7FF

Halves = tuple[Digits, Digits]  # low and high 64 bits of each value; the high ones are empty unless WIDE
Form = tuple[int, int]  # what the bits mean, and for doubles the lowest exponent field among them


@helper
def exponent_field(bits: int) -> int:
    """The exponent field of a finite double other than zero (1 for subnormals), else 2047."""
    field = (bits >> 52) & _FIELD
    if field == 0:
        return 1 if bits & _FRACTION else _FIELD
    return field


@kernel
def exponent_span(bits: Digits) -> tuple[int, int]:
    """Smallest and greatest exponent field of the finite doubles other than zero; (2047, 0) when there are none."""
    smallest = _FIELD
    greatest = 0
    for i in range(bits.size):
        field = exponent_field(bits[i])
        if field != _FIELD:
            smallest = min(smallest, field)
            greatest = max(greatest, field)
    return smallest, greatest


@helper
def narrow_digits(bits: int, kind: int, lowest: int) -> tuple[int, int, int, int]:
    """The position of a value's lowest digit, and its three signed digits from there on; WIDE: of its low half.

    The last bit of a double whose exponent field is `lowest` has weight one. Infinities and NaN have digits 0.
    """
    if kind != DOUBLES:
        top = bits >> (2 * DIGIT_BITS)
        return 0, bits & DIGIT, (bits >> DIGIT_BITS) & DIGIT, top if kind == SIGNED else top & 0xF
    field = exponent_field(bits)
    if field == _FIELD:
        return 0, 0, 0, 0
    mantissa = bits & _FRACTION
    if (bits >> 52) & _FIELD:
        mantissa |= _IMPLIED
    place = (field - lowest) // DIGIT_BITS
    shift = (field - lowest) - place * DIGIT_BITS
    first = (mantissa & DIGIT) << shift
    rest = ((mantissa >> DIGIT_BITS) << shift) + (first >> DIGIT_BITS)
    sign = 1 if bits >= 0 else -1
    return place, sign * (first & DIGIT), sign * (rest & DIGIT), sign * (rest >> DIGIT_BITS)


@helper
def value_digits(bits: Halves, i: int, form: Form, digits: Digits) -> tuple[int, int]:
    """Write the digits of value `i` to `digits`; their position, and how many there are (five for WIDE, else three)."""
    low, high = bits
    place, digits[0], digits[1], digits[2] = narrow_digits(low[i], form[0], form[1])
    if form[0] != WIDE:
        return place, 3
    digits[2] |= (high[i] & 0x3FFFFFF) << 4
    digits[3] = (high[i] >> 26) & DIGIT
    digits[4] = high[i] >> 56
    return place, 5


@helper
def add_square(row: Digits, at: int, first: int, second: int, third: int) -> None:
    """Add (first + second 2^30 + third 2^60)^2 to the digits from `at` on, six of them."""
    product = first * first
    row[at] += product & DIGIT
    carry = product >> DIGIT_BITS
    product = 2 * first * second
    row[at + 1] += carry + (product & DIGIT)
    carry = product >> DIGIT_BITS
    product = second * second + 2 * first * third
    row[at + 2] += carry + (product & DIGIT)
    carry = product >> DIGIT_BITS
    product = 2 * second * third
    row[at + 3] += carry + (product & DIGIT)
    carry = product >> DIGIT_BITS
    product = third * third
    row[at + 4] += carry + (product & DIGIT)
    row[at + 5] += product >> DIGIT_BITS


@helper
def add_product(row: Digits, at: int, left: Digits, left_size: int, right: Digits, right_size: int) -> None:
    """Add left * right (signed digits, at most 31 bits each) to the digits from `at` on."""
    for i in range(left_size):
        for k in range(right_size):
            product = left[i] * right[k]
            row[at + i + k] += product & DIGIT
            row[at + i + k + 1] += product >> DIGIT_BITS


@helper
def next_stop(edges: NDArray[np.int64], done: Digits) -> tuple[int, int, int]:
    """The lowest position not yet answered, and the smallest and greatest number of points answered."""
    stop = (1 << 62) - 1
    fewest = edges.shape[1]
    most = 0
    for e in range(edges.shape[0]):
        fewest = min(fewest, done[e])
        most = max(most, done[e])
        if done[e] < edges.shape[1]:
            stop = min(stop, edges[e, done[e]])
    return stop, fewest, most


@helper
def record(row: Digits, stop: int, edges: NDArray[np.int64], done: Digits, totals: NDArray[np.int64]) -> None:
    """Copy the sums to all edges at position `stop`, and count them as done."""
    for e in range(edges.shape[0]):
        while done[e] < edges.shape[1] and edges[e, done[e]] == stop:
            for k in range(row.size):
                totals[e, done[e], k] = row[k]
            done[e] += 1


@kernel
def take_snapshots(
    bits: Halves, form: Form, widths: Digits, edges: NDArray[np.int64], totals: NDArray[np.int64]
) -> None:
    """Write to totals[e, j] the sums of x, and x^2 when `widths` has two entries, before position edges[e, j].

    Up to a constant common to all edges of a point. For values of 64 bits.
    `edges` (edge, point): positions, not decreasing along the points. `totals` (edge, point, sum of `widths`).
    """
    low, _ = bits
    row = np.zeros(totals.shape[2], np.int64)
    done = np.zeros(edges.shape[0], np.int64)
    position = 0
    while True:
        stop, fewest, most = next_stop(edges, done)
        if fewest == edges.shape[1]:
            return
        if fewest == most:
            position = stop  # all windows before are closed: what lies between belongs to none
        for i in range(position, stop):
            place, first, second, third = narrow_digits(low[i], form[0], form[1])
            row[place] += first
            row[place + 1] += second
            row[place + 2] += third
            if widths.size == 2:
                add_square(row, widths[0] + 2 * place, first, second, third)
        position = stop
        record(row, stop, edges, done, totals)


@kernel
def take_long_snapshots(
    bits: Halves, form: Form, widths: Digits, edges: NDArray[np.int64], totals: NDArray[np.int64]
) -> None:
    """The same for values of any width, with x^3 when `widths` has three entries; slower."""
    row = np.zeros(totals.shape[2], np.int64)
    done = np.zeros(edges.shape[0], np.int64)
    digits = np.zeros(5, np.int64)
    square = np.zeros(11, np.int64)
    position = 0
    while True:
        stop, fewest, most = next_stop(edges, done)
        if fewest == edges.shape[1]:
            return
        if fewest == most:
            position = stop
        for i in range(position, stop):
            place, size = value_digits(bits, i, form, digits)
            for k in range(size):
                row[place + k] += digits[k]
            if widths.size >= 2:
                add_product(row, widths[0] + 2 * place, digits, size, digits, size)
            if widths.size == 3:
                for k in range(2 * size + 1):
                    square[k] = 0
                add_product(square, 0, digits, size, digits, size)
                for k in range(2 * size):
                    square[k + 1] += square[k] >> DIGIT_BITS
                    square[k] &= DIGIT
                add_product(row, widths[0] + widths[1] + 3 * place, square, 2 * size, digits, size)
        position = stop
        record(row, stop, edges, done, totals)
