"""What a commit changes in the statistics of its table: new profiles, and whose interval it replaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.arrow import arrow_type
from featurestore.dtypes import Timestamp
from featurestore.offline.tables import Replaced, Snapshot
from featurestore.plan.nodes import Column
from featurestore.statistics.bins import Bins
from featurestore.statistics.counting import profiles_of
from featurestore.statistics.files import FOLDER, Entry, Index, StatisticsFiles, Values
from featurestore.statistics.profile import Profile
from featurestore.timeline import DELETED, EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

ROWS_PER_COMMIT = 1 << 40  # sequences of one commit begin at a multiple of it


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit does to a table: what it stands on, what its rows take the place of, its first row's sequence."""

    base: Snapshot | None
    replaced: Replaced | None
    first: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A publish: the table version it read, the end of what is committed without a gap, and whether of all keys."""

    version: int
    watermark_us: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Recorder:
    """Counts what is committed to the tables below a directory; `threads` None: one for each core."""

    directory: Path
    threads: int | None = None

    def record(self, table: str, columns: Sequence[Column], rows: pa.Table, change: Change) -> int:
        """Write the statistics that the table has after the commit of `rows`, and return their name.

        `rows` has the columns and, but for timeless views, the event time; deletion markers among them are no values.
        An interval that is replaced in part is counted again from what the table keeps of it.
        """
        files = StatisticsFiles(self.directory / table / FOLDER)
        before = change.base.statistics if change.base else None
        index = (None if before is None else files.index(before)) or Index()
        counting = _Counting.of(index, columns, self.threads)
        entries = []
        for entry in index.entries:
            parts = tuple(_left(entry, change))
            if parts == (entry,):
                entries.append(entry)
                continue
            for part in parts:
                there = change.base.files if entry.rows and change.base else ()
                left = _stored(part, rows.column_names, there) if there else rows.slice(0, 0)
                entries.append(_counted(part, left, files.add_profiles(counting.profiles(left, again=True))))
        if rows.num_rows or change.replaced is not None:
            entries.append(_counted(_entry(rows, change), rows, files.add_profiles(counting.profiles(rows))))
        entries.sort(key=lambda entry: (entry.end_us or 0, entry.first))
        return files.add_index(Index(tuple(entries), counting.bins, counting.kept()), before)

    def watch(
        self, table: str, published: str, columns: Sequence[Column], rows: pa.RecordBatchReader, at: Counted
    ) -> pa.RecordBatchReader:
        """The same rows; when the last one was read, they are counted as the values that a run published.

        `published` names what is published of the table; `at` is the run. A run of all keys takes the place of earlier
        ones to the same watermark or a greater one; one of some keys is not counted where there is such a run.
        """
        return pa.RecordBatchReader.from_batches(rows.schema, self._watched(table, published, columns, rows, at))

    def _watched(
        self, table: str, published: str, columns: Sequence[Column], rows: pa.RecordBatchReader, at: Counted
    ) -> Iterator[pa.RecordBatch]:
        seen = []
        for batch in rows:
            seen.append(batch)
            yield batch
        files = StatisticsFiles(self.directory / table / FOLDER / published)
        index = files.present() or Index()
        counting = _Counting.of(index, columns, self.threads)
        earlier = [entry for entry in index.entries if entry.end_us is not None and entry.end_us < at.watermark_us]
        if len(earlier) < len(index.entries) and not at.whole:
            return
        values = pa.Table.from_batches(seen, rows.schema).select([column.name for column in columns])
        start = earlier[-1].end_us if earlier else None
        file = files.add_profiles(counting.profiles(values))
        entry = Entry(file, start, at.watermark_us, values.num_rows, at.version)
        files.put_present(Index((*earlier, entry), counting.bins, counting.kept()))


@dataclass(slots=True)
class _Counting:
    """Profiles under bins that are made once there are values enough."""

    columns: Sequence[Column]
    threads: int | None
    bins: dict[str, Bins]
    values: dict[str, Counter[float | str]]

    @classmethod
    def of(cls, index: Index, columns: Sequence[Column], threads: int | None) -> _Counting:
        """Counting that goes on from an index."""
        values = {name: Counter(dict(kept)) for name, kept in index.values.items()}
        return cls(columns, threads, dict(index.bins), values)

    def profiles(self, rows: pa.Table, *, again: bool = False) -> dict[str, Profile]:
        """The profiles of some rows; those counted `again` add nothing to the values kept."""
        kept = {} if again else {name: tuple(values.items()) for name, values in self.values.items()}
        if DELETED in rows.column_names:
            rows = rows.filter(pc.invert(rows.column(DELETED)))
        found = profiles_of(rows, self.columns, self.bins, kept, self.threads)
        for name, (profile, bins) in found.items():
            if bins is not None:
                self.bins[name] = bins
                self.values.pop(name, None)
            elif not again:
                self.values.setdefault(name, Counter()).update(dict(profile.values))
        return {name: profile for name, (profile, _) in found.items()}

    def kept(self) -> dict[str, Values]:
        """The values of columns that have no bins yet."""
        return {name: tuple(values.items()) for name, values in self.values.items()}


def _entry(rows: pa.Table, change: Change) -> Entry:
    if EVENT_TIMESTAMP not in rows.column_names:
        return Entry(0, None, None, rows.num_rows, change.first)
    if change.replaced is not None:
        return Entry(0, change.replaced.from_us, change.replaced.until_us, rows.num_rows, change.first)
    first, last = _event_bounds(rows)
    return Entry(0, first, None if last is None else last + 1, rows.num_rows, change.first)


def _counted(entry: Entry, rows: pa.Table, file: int) -> Entry:
    first, last = _event_bounds(rows) if EVENT_TIMESTAMP in rows.column_names else (None, None)
    return msgspec.structs.replace(entry, file=file, rows=rows.num_rows, first_event_us=first, last_event_us=last)


def _event_bounds(rows: pa.Table) -> tuple[int | None, int | None]:
    found = pc.min_max(rows.column(EVENT_TIMESTAMP).cast(pa.int64()))
    return found["min"].as_py(), found["max"].as_py()


def _left(entry: Entry, change: Change) -> Iterator[Entry]:
    """What a commit leaves of an interval: the whole, the parts before and behind what it replaces, or nothing."""
    if change.replaced is not None and change.replaced.whole:
        return
    if change.replaced is None or entry.first & FIRST_PUSHED or entry.end_us is None:
        yield entry
        return
    start, end = change.replaced.from_us, change.replaced.until_us
    after_start = start is None or entry.end_us > start
    before_end = end is None or entry.start_us is None or entry.start_us < end
    if not (after_start and before_end):
        yield entry
        return
    if start is not None and (entry.start_us is None or entry.start_us < start):
        yield msgspec.structs.replace(entry, end_us=start)
    if end is not None and entry.end_us > end:
        yield msgspec.structs.replace(entry, start_us=end)


def _stored(part: Entry, names: Sequence[str], files: Sequence[str]) -> pa.Table:
    """The rows of a part of an interval, from the data files of its table."""
    time = pc.field(EVENT_TIMESTAMP)
    condition = (pc.field(SEQUENCE) >= part.first) & (pc.field(SEQUENCE) < part.first + ROWS_PER_COMMIT)
    for bound, us in ((time.__ge__, part.start_us), (time.__lt__, part.end_us)):
        if us is not None:
            condition &= bound(pa.scalar(us, arrow_type(Timestamp)))
    return pq.read_table(list(files), columns=list(names), filters=condition)
