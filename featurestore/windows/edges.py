"""Where windows begin and end among the events, compiled: one pass along events and points, galloping over gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel

Positions = NDArray[np.int64]


@helper
def first_at_or_after(sorted_values: NDArray[np.int64], start: int, end: int, value: int) -> int:
    """The first position in [start, end) whose value is not below `value`, else `end`; fast when it is near `start`."""
    low = start
    high = start
    step = 1
    while high < end and sorted_values[high] < value:
        low = high + 1
        high += step
        step *= 2
    high = min(high, end)
    while low < high:
        middle = (low + high) // 2
        if sorted_values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def find_edges(
    events: tuple[NDArray[np.int64], NDArray[np.int64]],
    points: tuple[NDArray[np.int64], NDArray[np.int64]],
    shifts: NDArray[np.int64],
    edges: Positions,
) -> None:
    """Write to edges[0, j] where the group of point j begins, to edges[1 + s, j] its first event from v - shifts[s] on.

    `events` and `points` are pairs (group, time). Rows of `edges` do not decrease along the points.
    """
    groups, times = events
    start = 0
    end = 0
    for j in range(points[0].size):
        group = points[0][j]
        same = j > 0 and group == points[0][j - 1]
        if not same:
            start = first_at_or_after(groups, end, groups.size, group)
            end = first_at_or_after(groups, start, groups.size, group + 1)
        edges[0, j] = start
        for s in range(shifts.size):
            known = edges[1 + s, j - 1] if same else start
            edges[1 + s, j] = first_at_or_after(times, known, end, points[1][j] - shifts[s])


@kernel
def unsorted_at(groups: NDArray[np.int64], times: NDArray[np.int64]) -> int:
    """The first row that stands before its predecessor by (group, time), -1 when sorted."""
    for i in range(1, groups.size):
        if groups[i] < groups[i - 1] or (groups[i] == groups[i - 1] and times[i] < times[i - 1]):
            return i
    return -1
