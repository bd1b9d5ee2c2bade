"""Exact integers as rows of 30-bit digits (int64, lowest first), compiled.

A digit may hold more than 30 bits, or be negative, until `settle` carries: 2^29 digits of one event each can be added
into one place before that. The value of a row is sum(digits[k] * 2^(30 k)); kernels keep its binary exponent beside it.
The idea of a carry-save accumulator wide enough for every double is Kulisch's; the layout in chunks with spare bits
follows Neal, "Fast exact summation using small and large superaccumulators" (2015).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper

DIGIT_BITS = 30
DIGIT = (1 << DIGIT_BITS) - 1
PRECISION = 53
LOWEST_EXPONENT = -1074  # of the last bit of a double
NO_LOWEST_EXPONENT = -(1 << 40)

Digits = NDArray[np.int64]


@helper
def settle(row: Digits, size: int) -> bool:
    """Carry `row[:size]` into digits of 30 bits of the absolute value; true when the value is negative.

    The value must lie below 2^(30 size) in magnitude.
    """
    carry = 0
    for k in range(size):
        total = row[k] + carry
        row[k] = total & DIGIT
        carry = total >> DIGIT_BITS
    if carry >= 0:
        return False
    carry = 1
    for k in range(size):
        total = (row[k] ^ DIGIT) + carry
        row[k] = total & DIGIT
        carry = total >> DIGIT_BITS
    return True


@helper
def length(row: Digits, size: int) -> int:
    """How many of the settled digits `row[:size]` are left without the leading zeros."""
    while size > 0 and row[size - 1] == 0:
        size -= 1
    return size


@helper
def bit_length(row: Digits, size: int) -> int:
    """Bits of the settled digits `row[:size]` without leading zeros; zero has none."""
    size = length(row, size)
    if size == 0:
        return 0
    top = row[size - 1]
    bits = DIGIT_BITS * (size - 1)
    for step in (16, 8, 4, 2, 1):
        if top >> step:
            top >>= step
            bits += step
    return bits + 1


@helper
def lift(row: Digits, size: int, places: int) -> int:
    """Multiply the digits `row[:size]` by 2^(30 places) in place; the new size."""
    for k in range(size - 1, -1, -1):
        row[k + places] = row[k]
    for k in range(places):
        row[k] = 0
    return size + places


@helper
def scale(row: Digits, size: int, factor: int) -> None:
    """Multiply the settled digits `row[:size]` by 0 <= factor < 2^31 in place; the top must have room."""
    carry = 0
    for k in range(size):
        total = row[k] * factor + carry
        row[k] = total & DIGIT
        carry = total >> DIGIT_BITS


@helper
def multiply(left: Digits, left_size: int, right: Digits, right_size: int, product: Digits) -> int:
    """Write left * right (settled, not negative) to `product`; its size, left_size + right_size."""
    size = left_size + right_size
    for k in range(size):
        product[k] = 0
    for i in range(left_size):
        carry = 0
        factor = left[i]
        for k in range(right_size):
            total = product[i + k] + factor * right[k] + carry
            product[i + k] = total & DIGIT
            carry = total >> DIGIT_BITS
        product[i + right_size] += carry
    return size


@helper
def divide(row: Digits, size: int, divisor: int) -> bool:
    """Divide the settled digits `row[:size]` by 0 < divisor < 2^31 in place; true when there is a remainder."""
    remainder = 0
    for k in range(length(row, size) - 1, -1, -1):
        total = (remainder << DIGIT_BITS) | row[k]
        row[k] = total // divisor
        remainder = total - row[k] * divisor
    return remainder != 0


@helper
def places_to_divide(size: int, divisors: int) -> int:
    """By how many digits to lift a dividend of `size` digits so that its quotient has more than 54 bits."""
    return max((83 + 31 * divisors - DIGIT_BITS * (size - 1)) // DIGIT_BITS, 0)


@helper
def nearest(row: Digits, size: int, exponent: int, inexact: bool, lowest: int) -> tuple[int, int]:
    """The 53-bit m and e for which m * 2^e is nearest to row[:size] * 2^exponent, ties to even.

    `inexact`: something positive below the last digit was cut off (the row then has more than 54 bits).
    The last bit of the result is not below 2^lowest.
    """
    bits = bit_length(row, size)
    cut = max(bits - PRECISION, lowest - exponent, 0)
    place = cut // DIGIT_BITS
    within = cut - place * DIGIT_BITS
    mantissa = 0
    for k in range(length(row, size) - 1, place, -1):
        mantissa += row[k] << (DIGIT_BITS * (k - place) - within)
    if place < size:
        mantissa += row[place] >> within
    if cut == 0 or cut > bits:
        return mantissa, exponent + cut
    below = (cut - 1) // DIGIT_BITS
    half = 1 << ((cut - 1) - below * DIGIT_BITS)
    if row[below] & half:
        more = inexact or (row[below] & (half - 1)) != 0 or (mantissa & 1) != 0
        k = 0
        while k < below and not more:
            more = row[k] != 0
            k += 1
        if more:
            mantissa += 1
    return mantissa, exponent + cut


@helper
def double(mantissa: int, exponent: int, negative: bool) -> float:
    """The double mantissa * 2^exponent (at most 53 bits, its last bit at 2^-1074 or above); zero is +0.0."""
    value = math.ldexp(float(mantissa), exponent)
    return -value if negative and mantissa != 0 else value
