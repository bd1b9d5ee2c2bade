"""The one kernel that computes windowed aggregates: specs, sorted events and points in, values out.

Windows become ranges of positions among the sorted events, and every function a question about ranges: sums are
differences of exact running sums, extremes come from one monotonic stack, order statistics from ranks. So the cost
grows linearly with events and points, hardly with the number of windows and not with their length, and a value depends
on nothing but the events in its window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.compilation import read_only
from featurestore.errors import InputError
from featurestore.windows import columns, visibility
from featurestore.windows.edges import find_edges, unsorted_at
from featurestore.windows.evaluate import evaluate
from featurestore.windows.lanes import open_lane
from featurestore.windows.requests import GROUP_START, NOW, Request, take_apart
from featurestore.windows.spec import (
    LONGEST_US,
    WindowEvents,
    WindowOverflowError,
    WindowPoints,
    WindowSpec,
    WindowValues,
)

MOST_EVENTS = 1 << 29  # what the digits of the running sums have room for
_EDGE_BYTES = 1 << 28  # of the positions kept at a time: long series have many
_BLOCKS_PER_THREAD = 8  # entities are skewed: small blocks even out

Positions = NDArray[np.int64]


def compute(
    specs: Sequence[WindowSpec], events: WindowEvents, points: WindowPoints, *, threads: int = 1
) -> WindowValues:
    """The values of all specs at all points, in the order of the points.

    Raises InputError for events or points that are not sorted or not equally long, WindowOverflowError when a sum of
    integers or decimals does not fit. Points are taken in blocks, `threads` of them at a time; no bit depends on that.
    """
    _check(events, points)
    requests, shifts = take_apart(specs)
    size = max(_EDGE_BYTES // (8 * (1 + len(shifts))), 1)
    if threads > 1:
        size = max(min(size, points.group.size // (_BLOCKS_PER_THREAD * threads)), 1)

    def compute_from(first: int) -> WindowValues:
        block = points.part(first, first + size)
        edges = _edges(events, block, shifts)
        begin, end = (int(edges.min()), int(edges[NOW].max())) if edges.size else (0, 0)
        with _faults_of(np.arange(first, first + block.group.size)):
            return _compute_block(specs, requests, events.part(begin, end), block, edges - begin)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(compute_from, range(0, max(points.group.size, 1), size)))
    values = tuple(pa.concat_arrays([part.values[index] for part in parts]) for index in range(len(specs)))
    return WindowValues(values, np.concatenate([part.seen for part in parts]))


def _compute_block(
    specs: Sequence[WindowSpec],
    requests: Sequence[Request],
    events: WindowEvents,
    points: WindowPoints,
    edges: Positions,
) -> WindowValues:
    """The values of one block of points; those that do not know all events of their windows get copies of the known."""
    if points.known_us is None:
        return WindowValues(_answer(specs, requests, events, edges), edges[NOW] > edges[GROUP_START])
    created, known_us = visibility.times(events, points)
    earliest, latest = visibility.earliest_and_latest_created(created, edges, requests)
    hidden = latest > known_us
    blocks = [np.flatnonzero(~hidden), *visibility.blocks(edges, requests, np.flatnonzero(hidden))]
    parts: list[tuple[pa.Array, ...]] = []
    for number, which in enumerate(blocks):
        known, there = events, edges[:, which]
        if number > 0:
            known, asked = visibility.known_events(events, points, edges, requests, which)
            there = _edges(known, asked, take_apart(specs)[1])
        with _faults_of(which):
            parts.append(_answer(specs, requests, known, there))
    order = pa.array(np.argsort(np.concatenate(blocks)))
    values = tuple(pa.concat_arrays([part[index] for part in parts]).take(order) for index in range(len(specs)))
    return WindowValues(values, earliest <= known_us)


@contextmanager
def _faults_of(which: Positions) -> Iterator[None]:
    """Overflows inside are those of the points `which` of a larger question."""
    try:
        yield
    except WindowOverflowError as fault:
        raise WindowOverflowError(fault.spec, int(which[fault.point]), fault.total) from None


def _edges(events: WindowEvents, points: WindowPoints, shifts: Sequence[int]) -> Positions:
    """The first row says where the group of each point begins, row 1 + s where its events from v - shifts[s] on do."""
    edges = np.empty((1 + len(shifts), points.group.size), np.int64)
    placed = (read_only(events.group), read_only(events.time_us))
    asked = (read_only(points.group), read_only(points.end_us))
    find_edges(placed, asked, read_only(np.array(shifts, np.int64)), edges)
    return edges


def _answer(
    specs: Sequence[WindowSpec], requests: Sequence[Request], events: WindowEvents, edges: Positions
) -> tuple[pa.Array, ...]:
    """One array per spec, one value per column of `edges`."""
    answers: dict[Request, pa.Array] = {}
    for value, mask in dict.fromkeys(request.lane for request in requests):
        together = [request for request in requests if request.lane == (value, mask)]
        counted = all(request.function == "count" for request in together)
        lane = open_lane(events, value, mask, only_counted=counted)
        answers |= evaluate(lane, events, lane.positions(edges), together)
    parts: list[list[pa.Array]] = [[] for _ in specs]
    for request in requests:
        parts[request.spec].append(answers[request])
    return tuple(_assemble(spec, answer) for spec, answer in zip(specs, parts, strict=True))


def _assemble(spec: WindowSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The value of a spec from those of its requests: a quotient for ratios, a list for series."""
    if spec.function == "ratio":
        half = len(parts) // 2
        parts = [_ratio(above, under) for above, under in zip(parts[:half], parts[half:], strict=True)]
    if spec.series is None:
        return parts[0]
    size = len(parts[0])
    order = np.arange(size * len(parts)).reshape(len(parts), size).T.ravel()
    offsets = np.arange(size + 1, dtype=np.int32) * np.int32(len(parts))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.concat_arrays(list(parts)).take(pa.array(order)))


def _ratio(above: pa.Array, under: pa.Array) -> pa.Array:
    counted: NDArray[np.int64] = under.to_numpy()
    return columns.nullable(above.to_numpy() / np.maximum(counted, 1), counted == 0)


def _check(events: WindowEvents, points: WindowPoints) -> None:
    size = events.group.size
    lengths = [events.time_us.size, *map(len, events.columns), *map(len, events.masks)]
    if events.created_us is not None:
        lengths.append(events.created_us.size)
    if any(length != size for length in lengths) or points.group.size != points.end_us.size:
        raise InputError(f"Columns of unequal length: {size} groups of events, others {lengths}.")
    if size >= MOST_EVENTS:
        raise InputError(f"{size} events in one computation; at most {MOST_EVENTS - 1} are allowed.")
    if points.end_us.size and max(abs(int(points.end_us.min())), abs(int(points.end_us.max()))) > LONGEST_US:
        raise InputError(f"An instant lies further than {LONGEST_US} us from 1970.")
    for what, group, time in (("events", events.group, events.time_us), ("points", points.group, points.end_us)):
        if group.dtype != np.int64 or time.dtype != np.int64:
            raise InputError(f"Groups and times of the {what} must be int64, found {group.dtype} and {time.dtype}.")
        row = unsorted_at(read_only(group), read_only(time))
        if row >= 0:
            raise InputError(f"The {what} are not sorted by group and time: row {row} belongs before row {row - 1}.")
