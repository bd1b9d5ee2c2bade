"""Statistics as people and gates read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from featurestore.dtypes import EPOCH, DType, Value, from_json, to_json
from featurestore.errors import UnknownNameError
from featurestore.statistics.bins import Bins
from featurestore.statistics.counting import counted_type, is_text
from featurestore.statistics.distinct import estimate_distinct
from featurestore.statistics.profile import QUANTILES, Profile
from featurestore.timeline import format_instant


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in each bin; the bins of a view's feature are the same in all of its intervals.

    Of numbers, `edges` ascend and `counts` has one more: below the first edge, between each and the next (the lower
    one included), from the last one on; `low` and `high` are the least and the greatest number. Times are microseconds
    and dates days since 1970. Of texts, `categories` are counted one by one, and at the end all other values together.
    """

    edges: tuple[float, ...]
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """One feature over one interval or several.

    `rows` has all rows, with `nulls`, `nans` and `infinities` among them; the rest is about the other values. Of
    lists, vectors and bytes it is about their lengths. `distinct` is approximate (standard error 2.3%). Texts have no
    least value, mean and quantiles; None also where there is no value. The mean and the quantiles of times are times.
    `quantiles` are exact over one interval, else interpolated in the histogram (`exact_quantiles` says which);
    everything else is exact over several intervals too.
    """

    name: str
    dtype: DType
    rows: int
    nulls: int
    nans: int
    infinities: int
    distinct: int
    min: Value
    max: Value
    mean: Value
    stddev: float | None
    quantiles: Mapping[float, Value]
    exact_quantiles: bool
    histogram: Histogram

    @property
    def counted(self) -> int:
        """How many values are in the histogram."""
        return self.rows - self.nulls - self.nans - self.infinities

    @property
    def null_share(self) -> float | None:
        """The share of nulls among the rows; None when there is no row."""
        return self.nulls / self.rows if self.rows else None

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "feature": self.name,
            "type": str(self.dtype),
            "rows": self.rows,
            "nulls": self.nulls,
            "nans": self.nans,
            "infinities": self.infinities,
            "distinct": self.distinct,
            "min": to_json(self.min),
            "max": to_json(self.max),
            "mean": to_json(self.mean),
            "stddev": to_json(self.stddev),
            "quantiles": {str(share): to_json(value) for share, value in self.quantiles.items()},
            "exact_quantiles": self.exact_quantiles,
            "histogram": {
                **({"categories": list(self.histogram.categories)} if is_text(self.dtype) else {}),
                **({} if is_text(self.dtype) else {"edges": list(self.histogram.edges)}),
                "counts": list(self.histogram.counts),
            },
        }


@dataclass(frozen=True, slots=True)
class IntervalStatistics:
    """The features of a view over one interval of event time; `start_us` None: from the beginning.

    Both ends are None for a timeless view. `pushed`: the rows were pushed, and the interval is the one they lie in.
    """

    start_us: int | None
    end_us: int | None
    rows: int
    pushed: bool
    features: tuple[FeatureStatistics, ...]


@dataclass(frozen=True, slots=True)
class ViewStatistics:
    """The statistics of a view: of each interval, earliest end first, and of all of them together.

    `of` says what is counted: the committed "rows" of a plain view, the committed "events" of a windowed view under
    the expressions of its aggregations, or the "values" that its runs published. `rows` are those that the intervals
    tell of. `uncounted` rows of the table have no statistics, because another program wrote or removed them.
    """

    view: str
    of: str
    rows: int
    uncounted: int
    features: tuple[FeatureStatistics, ...]
    intervals: tuple[IntervalStatistics, ...]

    def feature(self, name: str) -> FeatureStatistics:
        """The statistics of one feature over all intervals; raises UnknownNameError."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise UnknownNameError("feature", name, (feature.name for feature in self.features), f"view '{self.view}'")

    def of_feature(self, name: str) -> ViewStatistics:
        """The same of one feature alone; raises UnknownNameError."""
        place = self.features.index(self.feature(name))
        intervals = tuple(replace(one, features=(one.features[place],)) for one in self.intervals)
        return replace(self, features=(self.features[place],), intervals=intervals)

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "view": self.view,
            "of": self.of,
            "rows": self.rows,
            "uncounted": self.uncounted,
            "features": [feature.to_json() for feature in self.features],
            "intervals": [
                {
                    "start": None if interval.start_us is None else format_instant(interval.start_us),
                    "end": None if interval.end_us is None else format_instant(interval.end_us),
                    "rows": interval.rows,
                    "pushed": interval.pushed,
                    "features": [feature.to_json() for feature in interval.features],
                }
                for interval in self.intervals
            ],
        }


def statistics_of(name: str, dtype: DType, profile: Profile, bins: Bins, *, exact: bool) -> FeatureStatistics:
    """A profile that is counted in the bins, as people read it; `exact`: its quantiles are."""
    counted, numbers = profile.counted, not is_text(dtype)
    return FeatureStatistics(
        name=name,
        dtype=dtype,
        rows=profile.rows,
        nulls=profile.nulls,
        nans=profile.nan,
        infinities=profile.infinite,
        distinct=estimate_distinct(profile.registers) if profile.registers else 0,
        min=from_json(counted_type(dtype), profile.least),
        max=from_json(counted_type(dtype), profile.greatest),
        mean=_value(profile.mean, dtype) if counted and numbers else None,
        stddev=math.sqrt(profile.squares / (counted - 1)) if counted > 1 and numbers else None,
        quantiles={s: _value(number, dtype) for s, number in zip(QUANTILES, profile.quantiles, strict=False)},
        exact_quantiles=exact,
        histogram=Histogram(
            bins.edges,
            bins.categories,
            profile.counts or (0,) * len(bins),
            min(profile.lows, default=None),
            max(profile.highs, default=None),
        ),
    )


def _value(number: float, dtype: DType) -> Value:
    """A number that stands for a time, as that time."""
    match dtype.name:
        case "Timestamp":
            return EPOCH + timedelta(microseconds=round(number))
        case "Date":
            return EPOCH + timedelta(days=number)
        case _:
            return number
