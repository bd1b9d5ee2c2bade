"""Sums, means, variances and skewness of one lane in many windows, as Arrow arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.compilation import read_only
from featurestore.windows.columns import Numbers, decimal_divisors, nullable, numbers
from featurestore.windows.moments import integers, quotients, skews, variances
from featurestore.windows.power_sums import DOUBLES, WIDE, take_long_snapshots, take_snapshots
from featurestore.windows.requests import Request
from featurestore.windows.spec import WindowOverflowError

POWERS = {"sum": 1, "mean": 1, "var_pop": 2, "var_samp": 2, "stddev_pop": 2, "stddev_samp": 2, "skew": 3}
_FEWEST = {"var_samp": 2, "stddev_samp": 2, "skew": 3}  # values below which the result is null
_SNAPSHOT_BYTES = 1 << 24
_GREATEST_DECIMAL = 10**38 - 1

Edges = NDArray[np.int64]
Space = NDArray[Any]  # doubles, or the halves of integers


def evaluate_sums(values: pa.Array, edges: Edges, requests: Sequence[Request]) -> dict[Request, pa.Array]:
    """The values of requests for functions in POWERS over a lane; `edges` in positions of the lane.

    Points are taken in blocks, so that the snapshots of the sums stay small; blocks do not change any bit.
    """
    lane = numbers(values)
    points = edges.shape[1]
    rows = sorted({row for request in requests for row in (request.low, request.high)})
    widths = lane.widths(max(POWERS[request.function] for request in requests))
    digits = int(widths.sum())
    snapshots = take_long_snapshots if widths.size == 3 or lane.kind == WIDE else take_snapshots
    results = {request: _space(request, lane, points) for request in requests}
    block = max(_SNAPSHOT_BYTES // (len(rows) * digits * 8), 1)
    for first in range(0, points, block):
        part = read_only(edges[rows, first : first + block])
        totals = np.empty((len(rows), part.shape[1], digits), np.int64)
        snapshots(lane.bits, (lane.kind, lane.lowest), read_only(widths), part, totals)
        for request, out in results.items():
            window = (rows.index(request.low), rows.index(request.high))
            counts = read_only(part[window[1]] - part[window[0]])
            _finish(request.function, lane, (totals, window, counts), widths, out[first : first + block])
    unusual = _unusual(lane)
    return {request: _result(request, out, edges, unusual, values.type) for request, out in results.items()}


def _space(request: Request, lane: Numbers, points: int) -> Space:
    """Room for the results of a request: a double per point, or the 128 bits of an integer and an overflow flag."""
    if request.function == "sum" and lane.kind != DOUBLES:
        return np.zeros((points, 3), np.int64)
    return np.zeros(points)


def _finish(
    function: str,
    lane: Numbers,
    sums: tuple[NDArray[np.int64], tuple[int, int], NDArray[np.int64]],
    widths: NDArray[np.int64],
    out: Space,
) -> None:
    """Write a function of the power sums (totals, window, counts) to `out`; skewness of equal values is NaN for now."""
    totals, window, counts = sums
    width = int(widths[0])
    match function:
        case "sum" if lane.kind != DOUBLES:
            integers(totals, window, counts, width, out)
        case "sum" | "mean":
            form = (width, lane.exponent, function == "mean")
            quotients(totals, window, counts, form, decimal_divisors(lane.scale), out)
        case "skew":
            skews(totals, window, counts, (width, int(widths[1]), int(widths[2])), out)
        case _:
            sample, root = function.endswith("samp"), function.startswith("stddev")
            moment = (width, int(widths[1]), 2 * lane.exponent, int(sample), root)
            variances(totals, window, counts, moment, decimal_divisors(2 * lane.scale), out)


def _result(
    request: Request, out: Space, edges: Edges, unusual: tuple[NDArray[np.int32], ...], kind: pa.DataType
) -> pa.Array:
    """The results of a request as an Arrow array; null where its window holds too few values."""
    low, high = edges[request.low], edges[request.high]
    null = high - low < _FEWEST.get(request.function, 1)
    if out.ndim == 2:
        return _whole_numbers(request, out, null, kind)
    if request.function == "skew":
        null |= np.isnan(out)
    if unusual:
        nans, positive, negative = (before[high] > before[low] for before in unusual)
        if request.function in ("sum", "mean"):
            out[positive] = np.inf
            out[negative] = -np.inf
            nans |= positive & negative
        else:
            nans |= positive | negative
        out[nans] = np.nan
        null &= ~nans | (high - low < _FEWEST.get(request.function, 1))
    return nullable(out, null)


def _unusual(lane: Numbers) -> tuple[NDArray[np.int32], ...]:
    """How many NaN, inf and -inf stand before each position; nothing when there are none."""
    if lane.kind != DOUBLES:
        return ()
    values = lane.bits[0].view(np.float64)
    if np.isfinite(values).all():
        return ()
    found = (np.isnan(values), values == np.inf, values == -np.inf)
    return tuple(np.append(np.int32(0), np.cumsum(each, dtype=np.int32)) for each in found)


def _whole_numbers(request: Request, halves: NDArray[np.int64], null: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """128-bit sums in the result type: Decimal(38, s) for decimals, UInt64 for unsigned, else Int64; checked."""
    low, high, over = halves[:, 0], halves[:, 1], halves[:, 2] != 0
    if pa.types.is_decimal(kind):
        over |= _beyond_decimal(low, high)
    elif pa.types.is_unsigned_integer(kind):
        over |= high != 0
    else:
        over |= high != low >> 63
    if over.any():
        point = int(np.flatnonzero(over)[0])
        total = int(high[point]) * 2**64 + int(low[point]) % 2**64
        raise WindowOverflowError(request.spec, point, str(total))
    if pa.types.is_decimal(kind):
        data = pa.py_buffer(np.ascontiguousarray(halves[:, :2]))
        validity = pa.array(~null).buffers()[1]
        return pa.Array.from_buffers(pa.decimal128(38, kind.scale), null.size, [validity, data])
    low = np.ascontiguousarray(low)
    return nullable(low.view(np.uint64) if pa.types.is_unsigned_integer(kind) else low, null)


def _beyond_decimal(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which 128-bit integers have more than 38 digits."""
    near = np.flatnonzero((high >= _GREATEST_DECIMAL >> 64) | (high <= -_GREATEST_DECIMAL >> 64))
    beyond = np.zeros(low.size, np.bool_)
    for point in near:
        beyond[point] = abs(int(high[point]) * 2**64 + int(low[point]) % 2**64) > _GREATEST_DECIMAL
    return beyond
