"""Which columns of a view are counted, and how people know them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from featurestore.dtypes import parse
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.fingerprint import publication
from featurestore.plan.nodes import DELETED, EVENT_TIMESTAMP, Column
from featurestore.plan.views import EVENT_ID, kept_columns, published_columns, table_name
from featurestore.statistics.files import FOLDER, Index, StatisticsFiles
from featurestore.statistics.reading import (
    Asked,
    Shown,
    ViewCounts,
    assembled,
    interval_counts,
    read_statistics,
)
from featurestore.statistics.recording import Change, Counted, Recorder
from featurestore.statistics.records import ViewStatistics

Interval = tuple[int | None, int | None]


def record_commit(recorder: Recorder, view: ViewRecord, accepted: pa.Table, change: Change) -> int:
    """Count rows that a commit is to write, and return the name of the statistics that the table has afterwards."""
    columns = [Column(shown.column, shown.dtype) for shown in _kept(view)]
    times = [] if view.source.timeless else [EVENT_TIMESTAMP]
    markers = [] if view.source.deleted is None else [DELETED]
    names = [*times, *markers, *(column.name for column in columns)]
    return recorder.record(table_name(view), columns, accepted.select(names), change)


def watch_values(
    recorder: Recorder, view: ViewRecord, rows: pa.RecordBatchReader, run: Counted
) -> pa.RecordBatchReader:
    """The values of a windowed view on their way to the online store, counted when all have passed."""
    columns = [Column(shown.column, shown.dtype) for shown in _values(view)]
    return recorder.watch(table_name(view), _folder(view), columns, rows, run)


def view_statistics(
    view: ViewRecord, tables: OfflineTables, interval: Interval, *, events: bool = False
) -> ViewStatistics:
    """What the view's intervals hold that overlap the given one (microseconds, open where None).

    Of a windowed view the values that its runs published; with `events` its committed events.
    """
    table = tables.directory / table_name(view)
    if view.aggregations and not events:
        files = StatisticsFiles(table / FOLDER / _folder(view))
        index = files.present() or Index()
        rows = sum(entry.rows for entry in index.entries)
        return assembled(files, index, rows, Asked(view.name, "values", _values(view), *interval))
    snapshot = tables.snapshot(table_name(view))
    name, rows = (snapshot.statistics, snapshot.rows) if snapshot else (None, 0)
    of = "events" if view.aggregations else "rows"
    return read_statistics(table, name, rows, Asked(view.name, of, _kept(view), *interval))


def view_counts(view: ViewRecord, tables: OfflineTables) -> ViewCounts:
    """How the rows of a plain view, or the values that a windowed one published, lie in bins, interval by interval."""
    folder = tables.directory / table_name(view) / FOLDER
    if view.aggregations:
        files = StatisticsFiles(folder / _folder(view))
        return interval_counts(files, files.present() or Index(), _values(view))
    files, snapshot = StatisticsFiles(folder), tables.snapshot(table_name(view))
    name = snapshot.statistics if snapshot else None
    return interval_counts(files, (None if name is None else files.index(name)) or Index(), _kept(view))


def last_event_us(view: ViewRecord, tables: OfflineTables, name: int | None) -> int | None:
    """The greatest event time among the committed rows, from statistics of that name; None when there is none."""
    files = StatisticsFiles(tables.directory / table_name(view) / FOLDER)
    index = (None if name is None else files.index(name)) or Index()
    return max((entry.last_event_us for entry in index.entries if entry.last_event_us is not None), default=None)


def _kept(view: ViewRecord) -> Sequence[Shown]:
    """The features of a plain view in their order, or the event columns of a windowed one under their expressions."""
    columns = view.features or tuple(column for column in kept_columns(view) if column.stored != EVENT_ID)
    return [Shown(c.expression or c.column if view.events else c.name, c.stored, parse(c.dtype)) for c in columns]


def _values(view: ViewRecord) -> Sequence[Shown]:
    return [Shown(a.name, a.name, parse(a.dtype)) for a in published_columns(view)]


def _folder(view: ViewRecord) -> str:
    return f"values-{publication(view)}"
