"""Exact interpolation between two values, compiled."""

from __future__ import annotations

import numpy as np

from featurestore.compilation import kernel
from featurestore.windows.digits import (
    DIGIT,
    DIGIT_BITS,
    LOWEST_EXPONENT,
    Digits,
    divide,
    double,
    length,
    lift,
    nearest,
    places_to_divide,
    settle,
)
from featurestore.windows.moments import Doubles
from featurestore.windows.power_sums import DOUBLES, EXPONENT_BIAS, exponent_field, value_digits

_MOST_DIGITS = 80  # doubles of all exponents, the factor, and carries


@kernel
def interpolate(
    bits: tuple[Digits, Digits], kind: int, pairs: Digits, parts: int, divisors: Digits, out: Doubles
) -> None:
    """Write (a (parts - r) + b r) / parts, rounded once, to out[j], pairs[:, j] being the positions of a and b, and r.

    Negative positions are skipped; `divisors` undo the decimal scale. Infinities and NaN count as zero here.
    """
    digits = np.zeros(5, np.int64)
    steps = divisors.size + 1
    row = np.zeros(places_to_divide(1, steps) + _MOST_DIGITS, np.int64)
    for j in range(out.size):
        if pairs[0, j] < 0:
            continue
        lowest = 0
        if kind == DOUBLES:
            lowest = min(exponent_field(bits[0][pairs[0, j]]), exponent_field(bits[0][pairs[1, j]]))
        size = 0
        for k in range(row.size):
            row[k] = 0
        for side in range(2):
            place, count = value_digits(bits, pairs[side, j], (kind, lowest), digits)
            factor = pairs[2, j] if side == 1 else parts - pairs[2, j]
            for k in range(count):
                product = digits[k] * factor
                row[place + k] += product & DIGIT
                row[place + k + 1] += product >> DIGIT_BITS
            size = max(size, place + count + 2)
        negative = settle(row, size)
        size = length(row, size)
        places = places_to_divide(size, steps)
        size = lift(row, size, places)
        inexact = divide(row, size, parts)
        for k in range(divisors.size):
            inexact = divide(row, size, divisors[k]) or inexact
        exponent = lowest - EXPONENT_BIAS if kind == DOUBLES else 0
        mantissa, power = nearest(row, size, exponent - DIGIT_BITS * places, inexact, LOWEST_EXPONENT)
        out[j] = double(mantissa, power, negative)
