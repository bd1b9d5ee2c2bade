"""The values of one lane in all windows asked of it, as Arrow arrays: from functions to kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.compilation import read_only
from featurestore.definitions.functions import percentile_level
from featurestore.windows import columns
from featurestore.windows.extremes import smallest_positions
from featurestore.windows.interpolation import interpolate
from featurestore.windows.lanes import Lane, in_order
from featurestore.windows.ranks import DISTINCT, MODE, ORDER, latest_distinct, rank_segments, slide
from featurestore.windows.requests import GROUP_START, Request
from featurestore.windows.spec import WindowEvents
from featurestore.windows.sums import POWERS, evaluate_sums

EXTREMES = {"min": 0, "all": 0, "max": -1, "any": -1}  # the flip that makes the wanted value the smallest key
ENDS = frozenset({"first", "last", "first_n", "last_n"})
RANKED = frozenset({
    "count_distinct", "approx_count_distinct", "mode", "median", "percentile", "approx_percentile", "last_distinct_n",
})  # fmt: skip

Positions = NDArray[np.int64]
Answers = dict[Request, pa.Array]


def evaluate(lane: Lane, events: WindowEvents, edges: Positions, requests: Sequence[Request]) -> Answers:
    """The values of the requests of one lane, one per point; `edges` in positions of the lane."""
    answers: Answers = {r: pa.array(edges[r.high] - edges[r.low]) for r in requests if r.function == "count"}
    if lane.values is None or len(answers) == len(requests):
        return answers
    if added := [r for r in requests if r.function in POWERS]:
        answers |= evaluate_sums(lane.values, edges, added)
    if extreme := [r for r in requests if r.function in EXTREMES]:
        answers |= _evaluate_extremes(lane.values, edges, extreme)
    if ends := [r for r in requests if r.function in ENDS]:
        values, _ = in_order(lane, events)
        answers |= {r: _evaluate_end(values, edges, r) for r in ends}
    if ranked := [r for r in requests if r.function in RANKED]:
        answers |= _evaluate_ranked(lane, events, edges, ranked)
    return answers


def _evaluate_extremes(values: pa.Array, edges: Positions, requests: Sequence[Request]) -> Answers:
    keys = columns.keys(values)
    answers: Answers = {}
    for flip, high in sorted({(EXTREMES[r.function], r.high) for r in requests}):
        together = [r for r in requests if (EXTREMES[r.function], r.high) == (flip, high)]
        lows = read_only(edges[[r.low for r in together]])
        positions = np.empty(lows.shape, np.int64)
        smallest_positions(keys, flip, lows, read_only(edges[high]), positions)
        answers |= {r: take(values, positions[w]) for w, r in enumerate(together)}
    return answers


def _evaluate_end(values: pa.Array, edges: Positions, request: Request) -> pa.Array:
    """First, last, first_n or last_n over values that are in order among ties."""
    low, high = edges[request.low], edges[request.high]
    lengths = np.minimum(high - low, request.n)
    starts = low if request.function.startswith("first") else high - lengths
    if request.function.endswith("_n"):
        offsets = np.append(0, np.cumsum(lengths))
        return lists(values, np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths), lengths)
    return take(values, np.where(high > low, starts, -1))


def _evaluate_ranked(lane: Lane, events: WindowEvents, edges: Positions, requests: Sequence[Request]) -> Answers:
    assert lane.values is not None
    if any(r.function == "last_distinct_n" for r in requests):
        values, keys = in_order(lane, events)
    else:
        values, keys = lane.values, columns.keys(lane.values)
    rows = sorted({row for r in requests for row in (r.low, r.high)})
    segments, begins, ends = _segments(edges, rows)
    ranks = np.empty(keys.size, np.int32)
    holders = np.empty(keys.size, np.int64)
    sizes = rank_segments(keys, read_only(begins), read_only(ends), ranks, holders)
    ranked = (ranks, holders, begins, sizes)
    return {
        r: _evaluate_rank(r, values, ranked, (segments, read_only(edges[r.low]), read_only(edges[r.high])))
        for r in requests
    }


def _segments(edges: Positions, rows: Sequence[int]) -> tuple[Positions, Positions, Positions]:
    """For each point the segment of its group; for each segment the first and the end of the values looked at."""
    starts = edges[GROUP_START]
    first = np.append(True, starts[1:] != starts[:-1])[: starts.size]
    last = np.append(first[1:], True)[: starts.size]
    looked_at = edges[rows]
    begins = looked_at[:, first].min(axis=0) if starts.size else starts
    ends = looked_at[:, last].max(axis=0) if starts.size else starts
    return read_only(np.cumsum(first) - 1), begins, ends


def _evaluate_rank(
    request: Request,
    values: pa.Array,
    ranked: tuple[NDArray[np.int32], Positions, Positions, Positions],
    windows: tuple[Positions, Positions, Positions],
) -> pa.Array:
    _, low, high = windows
    answers = np.full((3, low.size), -1, np.int64)
    match request.function:
        case "last_distinct_n":
            lengths = np.zeros(low.size, np.int64)
            positions = np.empty(int(np.minimum(high - low, request.n).sum()), np.int64)
            latest_distinct(ranked, windows, request.n, positions, lengths)
            return lists(values, positions[: lengths.sum()], lengths)
        case "count_distinct" | "approx_count_distinct":
            answers[0] = 0
            slide(ranked, windows, DISTINCT, (0, 1), answers)
            return pa.array(answers[0])
        case "mode":
            slide(ranked, windows, MODE, (0, 1), answers)
            return take(values, answers[0])
        case _:
            level = percentile_level(0.5 if request.function == "median" else request.p)
            slide(ranked, windows, ORDER, (level.numerator, level.denominator), answers)
            return _interpolated(values, answers, level.denominator)


def _interpolated(values: pa.Array, pairs: NDArray[np.int64], parts: int) -> pa.Array:
    lane = columns.numbers(values)
    out = np.zeros(pairs.shape[1])
    interpolate(lane.bits, lane.kind, pairs, parts, columns.decimal_divisors(lane.scale), out)
    null = pairs[0] < 0
    if pa.types.is_floating(values.type):
        floats = lane.bits[0].view(np.float64)
        between = pairs[2] > 0
        lower, upper = (floats[np.maximum(pairs[side], 0)] for side in (0, 1)) if floats.size else (out, out)
        unusual = ~null & ~(np.isfinite(lower) & (np.isfinite(upper) | ~between))
        with np.errstate(invalid="ignore", over="ignore"):
            out = np.where(unusual, np.where(between, lower + upper, lower), out)
        out[np.isnan(out)] = np.nan  # inf - inf has its sign bit set
    return columns.nullable(out, null)


def take(values: pa.Array, positions: Positions) -> pa.Array:
    """The values at the positions; null at -1."""
    absent = positions < 0
    return values.take(pa.array(positions, mask=absent if absent.any() else None))


def lists(values: pa.Array, positions: Positions, lengths: Positions) -> pa.Array:
    """Consecutive values at the positions as lists of the given lengths; null where a list has none."""
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    absent = pa.array(lengths == 0) if (lengths == 0).any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), values.take(pa.array(positions)), mask=absent)
