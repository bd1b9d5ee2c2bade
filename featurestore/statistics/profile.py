"""What the values of one column look like over the rows of one interval, in a form that intervals can be merged in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from featurestore.dtypes import DType, from_json, to_json
from featurestore.statistics.bins import Bins, count_values
from featurestore.statistics.distinct import merge_registers

Extreme = int | float | str | None  # in JSON form
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column over one interval; of lists, vectors and bytes their lengths are counted.

    `rows` has the nulls, NaNs and infinities in it; all else is about the other values, the counted ones. `least` and
    `greatest` are exact, in JSON form (of numbers and times). `squares` is the sum of squared deviations from `mean`.
    `quantiles` are exact, those of QUANTILES. `registers` count different values. `counts` are those of the bins, and
    `lows` and `highs` the least and greatest number in each; while there are no bins, `values` has all values with
    their counts instead.
    """

    rows: int
    nulls: int = 0
    nan: int = 0
    infinite: int = 0
    least: Extreme = None
    greatest: Extreme = None
    mean: float = 0.0
    squares: float = 0.0
    quantiles: tuple[float, ...] = ()
    registers: bytes = b""
    counts: tuple[int, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    values: tuple[tuple[float | str, int], ...] = ()

    @property
    def counted(self) -> int:
        """How many values are neither null nor NaN nor infinite."""
        return self.rows - self.nulls - self.nan - self.infinite


def binned(profile: Profile, bins: Bins) -> Profile:
    """The profile with counts in the bins; one that has them already as it is."""
    if profile.counts or not profile.counted:
        return profile
    counts = count_values(profile.values, bins, profile.counted)
    lows, highs = [math.inf] * len(bins), [-math.inf] * len(bins)
    if bins.edges:
        for value, _ in profile.values:
            place = int(np.searchsorted(bins.edges, float(value), side="right"))
            lows[place], highs[place] = min(lows[place], float(value)), max(highs[place], float(value))
    bounds = (tuple(lows), tuple(highs)) if bins.edges else ((), ())
    return msgspec.structs.replace(profile, counts=counts, lows=bounds[0], highs=bounds[1], values=())


def merged(profiles: Sequence[Profile], dtype: DType) -> Profile:
    """The profile of all rows of several intervals, one or more, whose counts are those of the same bins.

    `dtype` is the type of `least` and `greatest`. Exact, but for rounding of the mean and the deviations, and for
    quantiles, which are interpolated between the least and the greatest number of each bin.
    """
    if len(profiles) == 1:
        return profiles[0]
    holding = [profile for profile in profiles if profile.counted]
    mean, squares = moments(holding)
    bounds = [(profile.lows, profile.highs) for profile in holding if profile.lows]
    lows = tuple(map(min, zip(*(low for low, _ in bounds), strict=True)))
    highs = tuple(map(max, zip(*(high for _, high in bounds), strict=True)))
    counts = tuple(map(sum, zip(*(profile.counts for profile in holding), strict=True)))
    return Profile(
        rows=sum(profile.rows for profile in profiles),
        nulls=sum(profile.nulls for profile in profiles),
        nan=sum(profile.nan for profile in profiles),
        infinite=sum(profile.infinite for profile in profiles),
        least=_extreme(min, [profile.least for profile in holding], dtype),
        greatest=_extreme(max, [profile.greatest for profile in holding], dtype),
        mean=mean,
        squares=squares,
        quantiles=holding[0].quantiles if len(holding) == 1 else interpolated(counts, lows, highs) if lows else (),
        registers=merge_registers(profile.registers for profile in holding),
        counts=counts,
        lows=lows,
        highs=highs,
    )


def interpolated(counts: Sequence[int], lows: Sequence[float], highs: Sequence[float]) -> tuple[float, ...]:
    """The QUANTILES of numbers of which only counts, least and greatest of each bin are known.

    The numbers of a bin are taken as evenly spaced between its ends, so bins of one number are exact.
    """
    ends = np.cumsum(counts)
    found = []
    for share in QUANTILES:
        at = share * (int(ends[-1]) - 1)
        below, above = (_placed(rank, ends, counts, lows, highs) for rank in (math.floor(at), math.ceil(at)))
        found.append(between(below, above, at - math.floor(at)))
    return tuple(found)


def between(below: float, above: float, share: float) -> float:
    """The number that lies `share` of the way from one to the other."""
    return below if below == above else below * (1 - share) + above * share


def _placed(
    rank: int, ends: NDArray[np.int64], counts: Sequence[int], lows: Sequence[float], highs: Sequence[float]
) -> float:
    place = int(np.searchsorted(ends, rank, side="right"))
    count = counts[place]
    inside = rank - (int(ends[place]) - count)
    return between(lows[place], highs[place], inside / (count - 1) if count > 1 else 0.5)


def _extreme(choose: Callable[[list[Any]], Any], found: Sequence[Extreme], dtype: DType) -> Extreme:
    values = [from_json(dtype, value) for value in found if value is not None]
    return cast(Extreme, to_json(choose(values))) if values else None


def moments(profiles: Sequence[Profile]) -> tuple[float, float]:
    """Mean and squared deviations of all values of the profiles."""
    total = sum(profile.counted for profile in profiles)
    if not total:
        return 0.0, 0.0
    mean = sum(profile.mean * (profile.counted / total) for profile in profiles)
    squares = sum(p.squares + p.counted * (p.mean - mean) * (p.mean - mean) for p in profiles)
    return mean, squares
