"""Windowed aggregates, slowly and exactly: one window of one entity at a time, sums as fractions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import localcontext
from fractions import Fraction
from typing import Any

WindowRow = tuple[int, int | None, Any]  # event time, created time (null lowest), value (of a ratio: two conditions)


def aggregate(
    function: str, rows: Sequence[WindowRow], v: int, window_us: int | None, offset_us: int, params: Mapping[str, Any]
) -> Any:
    """The value at v over the rows of one entity that meet the mask, in any order; an integer may exceed its type."""
    if steps := params.get("series"):
        shifts, rest = [offset_us + step * (window_us or 0) for step in range(steps)], {**params, "series": None}
        return [aggregate(function, rows, v, window_us, shift, rest) for shift in reversed(shifts)]
    end = v - offset_us
    inside = [row for row in rows if row[0] < end and (window_us is None or end - window_us <= row[0])]
    kept = [row for row in inside if row[2] is not None]
    if function == "count":
        return len(kept)
    if function == "ratio":
        above, under = (sum(bool(value[side]) for _, _, value in kept) for side in (0, 1))
        return above / under if under else None
    kept.sort(key=lambda row: (row[0], row[1] is not None, row[1] or 0, _order(row[2])))
    return _value(function, [x + 0.0 if isinstance(x, float) else x for _, _, x in kept], params)


def _value(function: str, values: list[Any], params: Mapping[str, Any]) -> Any:
    counts, latest = Counter(map(_order, values)), {_order(x): x for x in reversed(values)}
    match function:
        case "count_distinct" | "approx_count_distinct":
            return len(counts)
        case _ if len(values) < {"var_samp": 2, "stddev_samp": 2, "skew": 3}.get(function, 1):
            return None
        case "min" | "all" | "max" | "any":
            return (min if function in ("min", "all") else max)(values, key=_order)
        case "first" | "last":
            return values[0 if function == "first" else -1]
        case "first_n" | "last_n":
            return values[: params["n"]] if function == "first_n" else values[-params["n"] :]
        case "last_distinct_n":
            return list(latest.values())[: params["n"]][::-1]
        case "mode":
            return min(values, key=lambda x: (-counts[_order(x)], _order(x)))
        case "median" | "percentile" | "approx_percentile":
            return _percentile(sorted(values, key=_order), Fraction(str(params.get("p", 0.5))))
        case _:
            return _moment(function, values)


def _percentile(values: list[Any], p: Fraction) -> float:
    whole, part = divmod(p * (len(values) - 1), 1)
    low, high = values[int(whole)], values[int(whole) + (part > 0)]
    exact = math.isfinite(low) and math.isfinite(high)
    return _nearest(Fraction(low) * (1 - part) + Fraction(high) * part) if exact else low + (high if part else 0)


def _moment(function: str, values: list[Any]) -> Any:
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


def _order(x: Any) -> tuple[bool, Any]:
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
