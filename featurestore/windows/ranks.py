"""Windows over ranked values, compiled: distinct counts, modes, order statistics, latest distinct values.

Segments are the stretches of events that the points of one group look at: begins[g]..ends[g]. Values are ranked within
their segment (0, 1, ... in order of value, equal values share a rank). A window slides along the ranks: every value
enters and leaves once, at a cost of log(different values) at most; values that lie in no window are skipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.compilation import helper, kernel

DISTINCT, MODE, ORDER = 0, 1, 2  # what a sliding window is asked

Positions = NDArray[np.int64]
Ranked = tuple[NDArray[np.int32], Positions, Positions, Positions]  # ranks, holders, begins, ranks per segment
Windows = tuple[Positions, Positions, Positions]  # for each point its segment, begin and end; they never decrease


@kernel
def rank_segments(
    keys: NDArray[np.int64], begins: Positions, ends: Positions, ranks: NDArray[np.int32], holders: Positions
) -> Positions:
    """Rank the keys of each segment; how many ranks each has.

    holders[begins[g] + r] receives the first position of a key of rank r in segment g.
    """
    sizes = np.zeros(begins.size, np.int64)
    longest = 0
    for g in range(begins.size):
        longest = max(longest, ends[g] - begins[g])
    order = np.empty(longest, np.int64)
    other = np.empty(longest, np.int64)
    for g in range(begins.size):
        begin = begins[g]
        for k in range(ends[g] - begin):
            order[k] = begin + k
        order, other = _sorted_by(keys, order, other, ends[g] - begin)
        for k in range(ends[g] - begin):
            position = order[k]
            if k == 0 or keys[position] != keys[order[k - 1]]:
                holders[begin + sizes[g]] = position
                sizes[g] += 1
            ranks[position] = sizes[g] - 1
    return sizes


@helper
def _sorted_by(keys: NDArray[np.int64], order: Positions, other: Positions, size: int) -> tuple[Positions, Positions]:
    """The positions order[:size] by key, stable, and the array left over: runs are merged, each time twice as long."""
    run = 1
    while run < size:
        for start in range(0, size, 2 * run):
            left = start
            middle = min(start + run, size)
            right = middle
            end = min(start + 2 * run, size)
            for k in range(start, end):
                if left < middle and (right == end or keys[order[left]] <= keys[order[right]]):
                    other[k] = order[left]
                    left += 1
                else:
                    other[k] = order[right]
                    right += 1
        order, other = other, order
        run *= 2
    return order, other


@kernel
def slide(ranked: Ranked, windows: Windows, question: int, level: tuple[int, int], answers: NDArray[np.int64]) -> None:
    """Write the answer for the window of each point to answers[:, j]; points with an empty window are left alone.

    DISTINCT: how many values differ. MODE: the position of a most frequent value, the smallest of them. ORDER: with
    level (a, b), the positions of the values around place a (n - 1) / b, and the remainder of that division.
    """
    ranks, holders, begins, sizes = ranked
    segments, lows, highs = windows
    widest = _leaves(_greatest(sizes))
    counts = np.zeros(2 * widest, np.int64)
    best = np.zeros(2 * widest, np.int64)
    segment = -1
    leaves = 1
    begin = 0
    end = 0
    different = 0
    for j in range(segments.size):
        if lows[j] == highs[j]:
            continue
        while begin < min(lows[j], end):
            different += _change(counts, best, leaves + ranks[begin], -1, question)
            begin += 1
        if segments[j] != segment:
            segment = segments[j]
            leaves = _leaves(sizes[segment])
            for rank in range(leaves):
                best[leaves + rank] = rank
        if lows[j] > end or begin == end:
            begin = lows[j]
            end = lows[j]
        while end < highs[j]:
            different += _change(counts, best, leaves + ranks[end], 1, question)
            end += 1
        if question == DISTINCT:
            answers[0, j] = different
        elif question == MODE:
            answers[0, j] = holders[begins[segment] + best[1]]
        else:
            place = level[0] * (end - begin - 1)
            answers[2, j] = place % level[1]
            place //= level[1]
            answers[0, j] = holders[begins[segment] + _nth(counts, leaves, place)]
            answers[1, j] = answers[0, j]
            if answers[2, j] > 0:
                answers[1, j] = holders[begins[segment] + _nth(counts, leaves, place + 1)]


@helper
def _greatest(sizes: Positions) -> int:
    greatest = 0
    for k in range(sizes.size):
        greatest = max(greatest, sizes[k])
    return greatest


@helper
def _leaves(ranks: int) -> int:
    """Leaves of the tree over so many ranks: a power of two."""
    leaves = 1
    while leaves < ranks:
        leaves *= 2
    return leaves


@helper
def _change(counts: Positions, best: Positions, node: int, change: int, question: int) -> int:
    """Add `change` to a leaf and its ancestors; by how much the number of different values changed.

    An inner node counts the values below it (ORDER), or bears the count and rank of the most frequent one (MODE).
    """
    counts[node] += change
    different = 0
    if counts[node] == max(change, 0):
        different = change
    while node > 1 and question != DISTINCT:
        node //= 2
        if question == ORDER:
            counts[node] += change
        else:
            child = 2 * node if counts[2 * node] >= counts[2 * node + 1] else 2 * node + 1
            counts[node] = counts[child]
            best[node] = best[child]
    return different


@helper
def _nth(counts: Positions, leaves: int, place: int) -> int:
    """The rank of the value at `place` (from 0) in order."""
    node = 1
    while node < leaves:
        node *= 2
        if place >= counts[node]:
            place -= counts[node]
            node += 1
    return node - leaves


@kernel
def latest_distinct(ranked: Ranked, windows: Windows, wanted: int, positions: Positions, lengths: Positions) -> None:
    """Append to `positions`, for each point, where its latest `wanted` different values were seen last, oldest first.

    `lengths[j]` receives how many. A list of ranks, moved to the front when seen, is kept along the events.
    """
    ranks, _, begins, sizes = ranked
    segments, lows, highs = windows
    widest = _greatest(sizes)
    older = np.empty(widest + 1, np.int64)
    newer = np.empty(widest + 1, np.int64)
    seen = np.empty(widest + 1, np.int64)
    segment = -1
    front = 0
    end = 0
    written = 0
    for j in range(segments.size):
        if segments[j] != segment:
            segment = segments[j]
            end = begins[segment]
            front = sizes[segment]  # a rank that no value has: the ends of the list meet there
            for k in range(front):
                seen[k] = -1
            older[front] = front
            newer[front] = front
        while end < highs[j]:
            rank = ranks[end]
            if seen[rank] >= 0:
                newer[older[rank]] = newer[rank]
                older[newer[rank]] = older[rank]
            older[rank] = older[front]
            newer[rank] = front
            newer[older[front]] = rank
            older[front] = rank
            seen[rank] = end
            end += 1
        rank = older[front]
        while rank != front and seen[rank] >= lows[j] and lengths[j] < wanted:
            positions[written + lengths[j]] = seen[rank]
            lengths[j] += 1
            rank = older[rank]
        for k in range(lengths[j] // 2):
            mirror = written + lengths[j] - 1 - k
            positions[written + k], positions[mirror] = positions[mirror], positions[written + k]
        written += lengths[j]
