"""Sum, mean, variance, standard deviation and skewness from exact power sums, compiled.

Each result is the double nearest to the exact quotient (rounded once, ties to even). A standard deviation is the IEEE
square root of the variance rounded to 53 bits whatever its exponent, so it neither overflows nor underflows on the
way; skewness is the root of the rounded square of itself. Every function skips points whose count is too small.

`totals` (edge, point, digit) holds the power sums before each edge; a window is (low edge, high edge); `counts` are the
values in the window of each point; `divisors` (each below 2^31) undo the decimal scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel
from featurestore.windows.digits import (
    DIGIT,
    DIGIT_BITS,
    LOWEST_EXPONENT,
    NO_LOWEST_EXPONENT,
    Digits,
    bit_length,
    divide,
    double,
    length,
    lift,
    multiply,
    nearest,
    places_to_divide,
    scale,
    settle,
)

Doubles = NDArray[np.float64]
Totals = NDArray[np.int64]
Window = tuple[int, int]


@helper
def difference(totals: Totals, window: Window, j: int, first: int, row: Digits, size: int) -> bool:
    """Write the `size` digits of one power in the window of point `j` to `row`, settled; true when negative."""
    for k in range(size):
        row[k] = totals[window[1], j, first + k] - totals[window[0], j, first + k]
    return settle(row, size)


@kernel
def integers(totals: Totals, window: Window, counts: Digits, width: int, out: Digits) -> None:
    """Write each window's sum of integers to out[j] as 128 bits (low, high); out[j, 2] = 1 when it needs more."""
    row = np.zeros(max(width, 5), np.int64)
    for j in range(counts.size):
        negative = difference(totals, window, j, 0, row, width)
        low = row[0] | (row[1] << 30) | (row[2] << 60)
        high = (row[2] >> 4) | (row[3] << 26) | (row[4] << 56)
        out[j, 2] = 1 if bit_length(row, width) > 127 else 0
        if negative:
            low = -low
            high = ~high + (1 if low == 0 else 0)
        out[j, 0] = low
        out[j, 1] = high


@kernel
def quotients(
    totals: Totals, window: Window, counts: Digits, form: tuple[int, int, bool], divisors: Digits, out: Doubles
) -> None:
    """Write each window's sum, or mean, to `out`; `form` is (width, exponent, whether to average)."""
    width, exponent, average = form
    steps = divisors.size + 1 if average else divisors.size
    row = np.zeros(width + places_to_divide(1, steps), np.int64)
    for j in range(counts.size):
        if counts[j] == 0:
            continue
        negative = difference(totals, window, j, 0, row, width)
        size = length(row, width)
        places = places_to_divide(size, steps) if steps > 0 else 0
        size = lift(row, size, places)
        inexact = divide(row, size, counts[j]) if average else False
        for k in range(divisors.size):
            inexact = divide(row, size, divisors[k]) or inexact
        mantissa, power = nearest(row, size, exponent - DIGIT_BITS * places, inexact, LOWEST_EXPONENT)
        out[j] = double(mantissa, power, negative)


@helper
def spread(totals: Totals, window: Window, j: int, count: int, rows: tuple[Digits, Digits, Digits]) -> int:
    """Write count * sum(x^2) - sum(x)^2, settled, to the third row; its size. The others receive sum(x), sum(x^2)."""
    sums, squares, result = rows
    difference(totals, window, j, 0, sums, sums.size)
    difference(totals, window, j, sums.size, squares, squares.size)
    scale(squares, squares.size, count)
    used = length(sums, sums.size)
    product = multiply(sums, used, sums, used, result)
    used = length(squares, squares.size)
    size = max(product, used)
    for k in range(size):
        result[k] = (squares[k] if k < used else 0) - (result[k] if k < product else 0)
    settle(result, size)
    return length(result, size)


@kernel
def variances(
    totals: Totals,
    window: Window,
    counts: Digits,
    form: tuple[int, int, int, int, bool],
    divisors: Digits,
    out: Doubles,
) -> None:
    """Write each window's variance, or its root, to `out`.

    `form`: width of x, width of x^2, exponent of x^2, 0 for the population or 1 for a sample, whether to take roots.
    """
    width, square_width, exponent, less, root = form
    sums = np.zeros(width, np.int64)
    squares = np.zeros(square_width, np.int64)
    steps = divisors.size + 2
    row = np.zeros(places_to_divide(1, steps) + 2 * width + square_width, np.int64)
    lowest = NO_LOWEST_EXPONENT if root else LOWEST_EXPONENT
    for j in range(counts.size):
        count = counts[j]
        if count <= less:
            continue
        size = spread(totals, window, j, count, (sums, squares, row))
        places = places_to_divide(size, steps)
        size = lift(row, size, places)
        if count * (count - less) < (1 << 31):
            inexact = divide(row, size, count * (count - less))
        else:
            inexact = divide(row, size, count)
            inexact = divide(row, size, count - less) or inexact
        for k in range(divisors.size):
            inexact = divide(row, size, divisors[k]) or inexact
        mantissa, power = nearest(row, size, exponent - DIGIT_BITS * places, inexact, lowest)
        out[j] = square_root(mantissa, power) if root else double(mantissa, power, False)


@helper
def square_root(mantissa: int, exponent: int) -> float:
    """The IEEE square root of mantissa * 2^exponent (at most 53 bits, any exponent)."""
    odd = exponent & 1
    return math.ldexp(math.sqrt(float(mantissa << odd)), (exponent - odd) >> 1)


@kernel
def skews(totals: Totals, window: Window, counts: Digits, widths: tuple[int, int, int], out: Doubles) -> None:
    """Write each window's adjusted skewness to `out`, NaN when all values are equal.

    With S_k = sum(x^k): sign(C) * sqrt(C^2 n (n - 1) / (V^3 (n - 2)^2)), V = n S_2 - S_1^2,
    C = n^2 S_3 - 3 n S_1 S_2 + 2 S_1^3 (Joanes and Gill 1998, G_1).
    """
    room = 3 * (2 * widths[0] + widths[1] + widths[2]) + 8
    sums = np.zeros(widths[0], np.int64)
    squares = np.zeros(widths[1], np.int64)
    cubes = np.zeros(widths[2], np.int64)
    rows = np.zeros((5, 2 * room), np.int64)
    for j in range(counts.size):
        count = counts[j]
        if count < 3:
            continue
        size = spread(totals, window, j, count, (sums, squares, rows[0]))
        if size == 0:
            out[j] = np.nan
            continue
        minus = difference(totals, window, j, 0, sums, sums.size)
        difference(totals, window, j, widths[0], squares, widths[1])
        minus_cubes = difference(totals, window, j, widths[0] + widths[1], cubes, widths[2])
        negative, third = _third_moment(count, (sums, minus), squares, (cubes, minus_cubes), rows[1:])
        for k in range(room):
            rows[2, k] = 0
            rows[4, k] = 0
        top = multiply(rows[1], third, rows[1], third, rows[2]) + 3
        scale(rows[2], top, count)
        scale(rows[2], top, count - 1)
        square = multiply(rows[0], size, rows[0], size, rows[3])
        bottom = multiply(rows[3], square, rows[0], size, rows[4]) + 3
        scale(rows[4], bottom, count - 2)
        scale(rows[4], bottom, count - 2)
        mantissa, power = ratio(rows[2], rows[4], room)
        root = square_root(mantissa, power)
        out[j] = -root if negative and root > 0 else root


@helper
def _third_moment(
    count: int, sums: tuple[Digits, bool], squares: Digits, cubes: tuple[Digits, bool], rows: Digits
) -> tuple[bool, int]:
    """Write |n^2 S_3 - 3 n S_1 S_2 + 2 S_1^3| to rows[0]; whether it is negative, and its size. Uses three rows."""
    one, minus = sums
    three, minus_three = cubes
    size = rows.shape[1] // 2
    for k in range(size):
        rows[0, k] = 0
        rows[1, k] = 0
        rows[2, k] = three[k] if k < three.size else 0
    two_size = multiply(one, one.size, one, one.size, rows[1])
    multiply(rows[1], two_size, one, one.size, rows[0])
    sign = -1 if minus else 1
    for k in range(size):
        rows[0, k] *= 2 * sign
    multiply(one, one.size, squares, squares.size, rows[1])
    scale(rows[1], size, count)
    for k in range(size):
        rows[0, k] -= 3 * sign * rows[1, k]
    scale(rows[2], size, count)
    scale(rows[2], size, count)
    sign = -1 if minus_three else 1
    for k in range(size):
        rows[0, k] += sign * rows[2, k]
    negative = settle(rows[0], size)
    return negative, length(rows[0], size)


@helper
def ratio(top: Digits, bottom: Digits, size: int) -> tuple[int, int]:
    """The 53-bit m and e nearest to top / bottom (settled, bottom positive); both rows are used up.

    Bit by bit: the dividend is shifted until as long as the divisor, then 56 quotient bits are taken off it.
    """
    top_bits = bit_length(top, size)
    bottom_bits = bit_length(bottom, size)
    if top_bits == 0:
        return 0, 0
    shift_left(top, size, max(bottom_bits - top_bits, 0))
    shift_left(bottom, size, max(top_bits - bottom_bits, 0))
    used = length(bottom, size) + 1
    quotient = np.zeros(2, np.int64)
    for _ in range(56):
        bit = int(not below(top, bottom, used))
        quotient[1] = (quotient[1] << 1) | (quotient[0] >> (DIGIT_BITS - 1))
        quotient[0] = ((quotient[0] << 1) & DIGIT) | bit
        if bit:
            for k in range(used):
                top[k] -= bottom[k]
            settle(top, used)
        shift_left(top, used, 1)
    return nearest(quotient, 2, top_bits - bottom_bits - 55, length(top, used) > 0, NO_LOWEST_EXPONENT)


@helper
def shift_left(row: Digits, size: int, bits: int) -> None:
    """Multiply the settled digits `row[:size]` by 2^bits in place; the top must have room."""
    places = bits // DIGIT_BITS
    within = bits - places * DIGIT_BITS
    for k in range(size - 1, -1, -1):
        digit = row[k - places] if k >= places else 0
        below_it = row[k - places - 1] if k > places else 0
        row[k] = ((digit << within) & DIGIT) | (below_it >> (DIGIT_BITS - within))


@helper
def below(left: Digits, right: Digits, size: int) -> bool:
    """left < right, both settled."""
    for k in range(size - 1, -1, -1):
        if left[k] != right[k]:
            return bool(left[k] < right[k])
    return False
