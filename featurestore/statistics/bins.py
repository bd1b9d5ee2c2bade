"""The bins that values are counted in, fixed once, so that any two intervals can be compared bin by bin."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from featurestore.statistics._arrays import EDGES, Numbers

ENOUGH = 1_000  # values from which bins are made for good; with fewer the values themselves are kept
SAMPLE = 65_536  # of more values, that many, evenly spaced, are looked at
_PARTS = 32
_ENDS = (0.001, 0.999)
_SINGLE = 40  # so many different numbers at most have a bin each
_CATEGORIES = 32
LONGEST = 256  # longer texts are no categories


class Bins(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bins of numbers or categories of texts.

    `edges` ascend: the first bin holds what is less than the first edge, bin i what is not less than edge i - 1 and
    less than edge i, the last one the rest. `categories`: a bin each, the most frequent first, and one for all others.
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.edges or self.categories) + 1

    def filled(self) -> Numbers:
        """The edges as the kernels take them."""
        full = np.full(EDGES, np.inf)
        full[: len(self.edges)] = self.edges
        return full


def number_bins(sample: Numbers, *, whole: bool) -> Bins:
    """Bins for numbers like those of the sample (finite, at least one); `whole`: they are whole numbers.

    Up to 40 different ones have a bin each. Otherwise the edges stand where they cut the sample into 32 equal parts,
    the outer ones at its 0.1% and 99.9%.
    """
    different = np.unique(sample)
    if different.size <= _SINGLE:
        last = float(different[-1])
        above = last + 1 if whole and last + 1 > last else math.nextafter(last, math.inf)
        return Bins(edges=(*map(float, different), *([above] if math.isfinite(above) else [])))
    shares = [_ENDS[0], *(part / _PARTS for part in range(1, _PARTS)), _ENDS[1]]
    return Bins(edges=tuple(map(float, np.unique(np.quantile(sample, shares, method="inverted_cdf")))))


def text_bins(sample: Iterable[tuple[str, int]]) -> Bins:
    """Categories from texts with their counts: the 32 most frequent, of equally frequent ones the smaller.

    What was seen once is none: names that never come back tell nothing.
    """
    counts: Counter[str] = Counter()
    for text, count in sample:
        counts[text] += count
    ranked = heapq.nsmallest(_CATEGORIES, ((-count, text) for text, count in counts.items() if count > 1))
    return Bins(categories=tuple(text for _, text in ranked))


def count_values(values: Sequence[tuple[float | str, int]], bins: Bins, total: int) -> tuple[int, ...]:
    """How many values, given with their counts, lie in each bin; texts left out of `total` are among the others."""
    counts = [0] * len(bins)
    if bins.edges:
        for value, count in values:
            counts[int(np.searchsorted(bins.edges, value, side="right"))] += count
        return tuple(counts)
    places = {text: place for place, text in enumerate(bins.categories)}
    for value, count in values:
        if value in places:
            counts[places[str(value)]] += count
    counts[-1] = total - sum(counts)
    return tuple(counts)
