"""How far two distributions over the same bins lie apart, and how far chance alone puts samples of one distribution.

Shares are counted in bins that were fixed beforehand. All four distances are 0 for equal shares and never negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

FLOOR = 1e-4  # the least share that an empty bin counts as, so that a ratio to it exists
CONFIDENCE = 0.99  # chance alone stays below `noise` in that many of a hundred columns


def shares_of(counts: Sequence[int]) -> Shares:
    """The share of each bin; the counts are not all zero."""
    numbers = np.asarray(counts, np.float64)
    shares: Shares = numbers / numbers.sum()
    return shares


def population_stability(before: Shares, after: Shares) -> float:
    """PSI: the sum of (after - before) ln(after / before); a bin's share counts as at least FLOOR.

    Symmetric and unbounded. Below 0.1 is commonly called stable, above 0.2 a shift.
    """
    p, q = np.maximum(before, FLOOR), np.maximum(after, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(before: Shares, after: Shares) -> float:
    """The Jensen-Shannon distance with logarithms of base 2: the root of the divergence, from 0 to 1, symmetric."""
    middle = (before + after) / 2
    divergence = (_relative_entropy(before, middle) + _relative_entropy(after, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _relative_entropy(p: Shares, q: Shares) -> float:
    present = p > 0
    return float((p[present] * np.log2(p[present] / q[present])).sum())


def kolmogorov_smirnov(before: Shares, after: Shares) -> float:
    """The largest difference of the shares up to any bin, from 0 to 1, symmetric; the bins are in order."""
    return float(min(np.abs(np.cumsum(before) - np.cumsum(after)).max(), 1.0))


def largest_change(before: Shares, after: Shares) -> float:
    """L-infinity: the largest change of a bin's share, from 0 to 1, symmetric."""
    return float(np.abs(before - after).max())


DISTANCE = MappingProxyType(
    {"psi": population_stability, "js": jensen_shannon, "ks": kolmogorov_smirnov, "linf": largest_change}
)


def noise(before: Sequence[int], after: Sequence[int]) -> Mapping[str, float]:
    """What each distance stays below in 99 of 100 cases when both counts are samples of one distribution.

    Over B bins that are filled at all, PSI times nm/(n+m) is about chi-square with B-1 degrees of freedom (B. Yurdakul,
    Statistical properties of the population stability index, 2018), and the divergence of Jensen and Shannon about an
    eighth of PSI. The bound of Kolmogorov and Smirnov is the one for values that were not binned, which is wider.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    together = (first + second) / (first.sum() + second.sum())
    scale = float(1 / first.sum() + 1 / second.sum())
    filled = int(np.count_nonzero(together))
    psi = _chi_square(filled - 1) * scale
    normal = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * max(filled, 1)))
    return {
        "psi": psi,
        "js": min(1.0, math.sqrt(psi / (8 * math.log(2)))),
        "ks": min(1.0, math.sqrt(-math.log((1 - CONFIDENCE) / 2) / 2 * scale)),
        "linf": min(1.0, normal * math.sqrt(float((together * (1 - together)).max()) * scale)),
    }


def _chi_square(degrees: int) -> float:
    """The CONFIDENCE quantile of chi-square; E. B. Wilson and M. M. Hilferty, The distribution of chi-square, 1931."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + NormalDist().inv_cdf(CONFIDENCE) * math.sqrt(part)) ** 3)
