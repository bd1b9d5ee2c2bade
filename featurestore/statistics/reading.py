"""The statistics of one table version, merged over its intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurestore.dtypes import DType
from featurestore.statistics.bins import Bins
from featurestore.statistics.counting import bins_of_values, counted_type, is_text
from featurestore.statistics.files import FOLDER, Entry, Index, StatisticsFiles
from featurestore.statistics.profile import Profile, binned, merged
from featurestore.statistics.records import FeatureStatistics, IntervalStatistics, ViewStatistics, statistics_of
from featurestore.timeline import FIRST_PUSHED

Profiles = Mapping[str, Profile]


@dataclass(frozen=True, slots=True)
class Shown:
    """A feature: its name for people, its column and the column's type."""

    name: str
    column: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Asked:
    """Which statistics are asked for: of a view, `of` rows, events or values, that overlap [start_us, end_us)."""

    view: str
    of: str
    features: Sequence[Shown]
    start_us: int | None = None
    end_us: int | None = None

    def overlaps(self, entry: Entry) -> bool:
        """Whether some of the interval is asked for; one from the beginning begins with its first event."""
        start = entry.first_event_us if entry.start_us is None else entry.start_us
        before = self.end_us is not None and start is not None and start >= self.end_us
        behind = self.start_us is not None and entry.end_us is not None and entry.end_us <= self.start_us
        return not before and not behind


@dataclass(frozen=True, slots=True)
class IntervalCounts:
    """How the rows of an interval lie in each feature's bins: nulls, the bins in order, NaN and infinities."""

    start_us: int | None
    end_us: int | None
    rows: int
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ViewCounts:
    """The counts of each interval of a view, the earliest end first, in bins that are the same in all of them.

    `texts` are the features whose bins have no order.
    """

    intervals: tuple[IntervalCounts, ...] = ()
    texts: frozenset[str] = frozenset()


def interval_counts(files: StatisticsFiles, index: Index, features: Sequence[Shown]) -> ViewCounts:
    """The counts of an index."""
    read = [(entry, files.profiles(entry)) for entry in index.entries]
    bins = {f.name: index.bins.get(f.column) or _provisional(f, (found for _, found in read)) for f in features}
    intervals = (
        IntervalCounts(
            entry.start_us,
            entry.end_us,
            entry.rows,
            {
                f.name: _in_order(binned(found[f.column], bins[f.name]), bins[f.name])
                for f in features
                if f.column in found
            },
        )
        for entry, found in read
    )
    return ViewCounts(tuple(intervals), frozenset(f.name for f in features if is_text(f.dtype)))


def _in_order(profile: Profile, bins: Bins) -> tuple[int, ...]:
    return (profile.nulls, *(profile.counts or (0,) * len(bins)), profile.nan + profile.infinite)


def read_statistics(table: Path, name: int | None, rows: int, asked: Asked) -> ViewStatistics:
    """The statistics of that name in a table's folder; `rows` are those of the table. None: it has no statistics."""
    files = StatisticsFiles(table / FOLDER)
    index = (None if name is None else files.index(name)) or Index()
    return assembled(files, index, rows, asked)


def assembled(files: StatisticsFiles, index: Index, rows: int, asked: Asked) -> ViewStatistics:
    """The statistics of an index; profiles that are gone count as rows without statistics."""
    read = [(entry, files.profiles(entry)) for entry in index.entries if asked.overlaps(entry)]
    found = [(entry, profiles) for entry, profiles in read if profiles or not entry.rows]
    lost = sum(entry.rows for entry, _ in read) - sum(entry.rows for entry, _ in found)
    bins = {
        shown.name: index.bins.get(shown.column) or _provisional(shown, (profiles for _, profiles in found))
        for shown in asked.features
    }
    intervals = tuple(
        IntervalStatistics(
            entry.start_us,
            entry.end_us,
            entry.rows,
            bool(entry.first & FIRST_PUSHED),
            tuple(_merged(shown, [profiles], bins[shown.name]) for shown in asked.features),
        )
        for entry, profiles in found
    )
    everything = [profiles for _, profiles in found]
    return ViewStatistics(
        view=asked.view,
        of=asked.of,
        rows=sum(interval.rows for interval in intervals),
        uncounted=rows - sum(entry.rows for entry in index.entries) + lost,
        features=tuple(_merged(shown, everything, bins[shown.name]) for shown in asked.features),
        intervals=intervals,
    )


def _provisional(shown: Shown, found: Iterable[Profiles]) -> Bins:
    """Bins of a column that had too few values so far to make some for good."""
    values = [pair for profiles in found if shown.column in profiles for pair in profiles[shown.column].values]
    return bins_of_values(values, shown.dtype)


def _merged(shown: Shown, found: Sequence[Profiles], bins: Bins) -> FeatureStatistics:
    parts = [binned(profiles[shown.column], bins) for profiles in found if shown.column in profiles]
    whole = merged(parts, counted_type(shown.dtype)) if parts else Profile(rows=0)
    return statistics_of(shown.name, shown.dtype, whole, bins, exact=sum(1 for part in parts if part.counted) <= 1)
