"""Exact arithmetic of the reference engine: fractions, rounded once in the end."""

from __future__ import annotations

import math
from decimal import localcontext
from fractions import Fraction
from typing import Any


def percentile(values: list[Any], p: Fraction) -> float:
    """The linear interpolation at p (n - 1) of sorted values."""
    whole, part = divmod(p * (len(values) - 1), 1)
    low, high = values[int(whole)], values[int(whole) + (part > 0)]
    exact = math.isfinite(low) and math.isfinite(high)
    return _nearest(Fraction(low) * (1 - part) + Fraction(high) * part) if exact else low + (high if part else 0)


def moment(function: str, values: list[Any]) -> Any:
    """The sum, mean, variance, deviation or skewness of values, at least one."""
    if unusual := [x for x in values if not math.isfinite(x)]:
        return sum(unusual) if function in ("sum", "mean") else math.nan
    if function == "sum":
        with localcontext(prec=80):
            return _nearest(sum(map(Fraction, values), Fraction(0))) if isinstance(values[0], float) else sum(values)
    n, mean = len(values), sum(map(Fraction, values)) / Fraction(len(values))
    square, cube = (sum((Fraction(x) - mean) ** power for x in values) / Fraction(n) for power in (2, 3))
    if function == "skew":
        root = _root(cube**2 / square**3 * n * (n - 1) / (n - 2) ** 2) if square else None
        return -root if root and cube < 0 else root
    variance = square * n / (n - 1) if function.endswith("samp") else square
    return _nearest(mean) if function == "mean" else (_root if function.startswith("stddev") else _nearest)(variance)


def order(x: Any) -> tuple[bool, Any]:
    """What values are ordered by: NaN equals itself and is the greatest."""
    return (True, 0) if x != x else (False, x)


def _nearest(exact: Fraction) -> float:
    try:
        return float(exact) + 0.0  # a negative one that rounds to zero is 0.0
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _root(square: Fraction) -> float:
    """The root of the square rounded to 53 bits, whatever its exponent."""
    shift = (square.denominator.bit_length() - square.numerator.bit_length()) // 2
    return _nearest(Fraction(math.sqrt(square * Fraction(4) ** shift)) / Fraction(2) ** shift)
