"""Numbers as small pictures in a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from featurestore.statistics.records import FeatureStatistics, Histogram, IntervalStatistics

_BLOCKS = "▁▂▃▄▅▆▇█"
_CELLS = 16
_MOST_BINS = 24


def sparkline(heights: Sequence[float], greatest: float | None = None) -> str:
    """A block for each height, the tallest for `greatest` (by default the greatest of them); zero is a blank."""
    top = max(heights, default=0) if greatest is None else greatest
    return "".join(" " if height <= 0 else _BLOCKS[min(int(height / top * 8), 7)] for height in heights)


def shape(feature: FeatureStatistics, like: FeatureStatistics | None = None) -> str:
    """The histogram: of few bins a block each, else of 16 stretches of equal width from the 1% to the 99% quantile.

    `like`: the statistics whose stretches it shall have, so that shapes stand below each other.
    """
    histogram = feature.histogram
    if not feature.counted:
        return ""
    if histogram.categories or len(histogram.counts) <= _MOST_BINS:
        return sparkline(histogram.counts) if like else sparkline(histogram.counts).strip()
    whole = like.histogram if like else histogram
    low, high = (_number_at(share, whole) for share in (0.01, 0.99))
    cells = np.interp(np.linspace(low, high, _CELLS + 1), _ends(histogram), _below(histogram))
    return sparkline(np.diff(cells).tolist())


def _number_at(share: float, histogram: Histogram) -> float:
    below = _below(histogram)
    return float(np.interp(share * below[-1], below, _ends(histogram)))


def _below(histogram: Histogram) -> list[int]:
    """How many numbers lie below the end of each bin."""
    return list(accumulate(histogram.counts, initial=0))


def _ends(histogram: Histogram) -> list[float]:
    """Where the bins begin and end, the outer ones at the least and the greatest number."""
    edges = histogram.edges
    first = edges[0] if histogram.low is None else min(histogram.low, edges[0])
    last = edges[-1] if histogram.high is None else max(histogram.high, edges[-1])
    return [first, *edges, last]


def null_shares(feature: int, intervals: Sequence[IntervalStatistics]) -> str:
    """The share of nulls over time, all nulls the full height: a block for each interval, or for several of many."""
    wide = -(-len(intervals) // _MOST_BINS)
    cells = []
    for start in range(0, len(intervals), wide or 1):
        parts = [interval.features[feature] for interval in intervals[start : start + wide]]
        rows = sum(part.rows for part in parts)
        cells.append(sum(part.nulls for part in parts) / rows if rows else 0)
    return sparkline(cells, 1) if any(cells) else ""
