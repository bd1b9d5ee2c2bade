"""Windowed aggregates, slowly and exactly: one window of one entity at a time, sums as fractions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from featurestore.engines.reference.exact import moment, order, percentile

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
    kept.sort(key=lambda row: (row[0], row[1] is not None, row[1] or 0, order(row[2])))
    return _value(function, [x + 0.0 if isinstance(x, float) else x for _, _, x in kept], params)


def _value(function: str, values: list[Any], params: Mapping[str, Any]) -> Any:
    counts, latest = Counter(map(order, values)), {order(x): x for x in reversed(values)}
    match function:
        case "count_distinct" | "approx_count_distinct":
            return len(counts)
        case _ if len(values) < {"var_samp": 2, "stddev_samp": 2, "skew": 3}.get(function, 1):
            return None
        case "min" | "all" | "max" | "any":
            return (min if function in ("min", "all") else max)(values, key=order)
        case "first" | "last":
            return values[0 if function == "first" else -1]
        case "first_n" | "last_n":
            return values[: params["n"]] if function == "first_n" else values[-params["n"] :]
        case "last_distinct_n":
            return list(latest.values())[: params["n"]][::-1]
        case "mode":
            return min(values, key=lambda x: (-counts[order(x)], order(x)))
        case "median" | "percentile" | "approx_percentile":
            return percentile(sorted(values, key=order), Fraction(str(params.get("p", 0.5))))
        case _:
            return moment(function, values)
