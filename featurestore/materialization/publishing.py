"""From committed rows to online records: whole, or only the keys that a run changed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from featurestore.arrow import ipc_stream
from featurestore.dtypes import parse
from featurestore.engines.base import OfflineEngine
from featurestore.errors import RecordsLostError
from featurestore.offline.tables import UNBOUNDED, Snapshot
from featurestore.online.base import OnlineStore
from featurestore.online.values import Publication, pack_changes, pack_records
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.materialization import CurrentPlan
from featurestore.plan.nodes import EVENT_TIMESTAMP, Column, FrameScan, StoredRows
from featurestore.plan.views import EVENT_ID, namespace, published_columns, stored_rows, window_steps
from featurestore.plan.windows import CurrentWindowsPlan
from featurestore.statistics.recording import Counted, Recorder
from featurestore.statistics.views import watch_values


@dataclass(frozen=True, slots=True)
class Change:
    """What commits changed on top of table version `base_version`.

    `since_us`: rows of any key with event time at or after it (None: of none). `rows`: rows with other event times that
    came or went, in canonical columns.
    """

    base_version: int
    since_us: int | None = None
    rows: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes views of one project to its online store. Who publishes holds the lease of the view's table.

    `recorder` counts the values of windowed views.
    """

    project: str
    engine: OfflineEngine
    store: OnlineStore
    recorder: Recorder

    def publish(self, view: ViewRecord, snapshot: Snapshot, change: Change | None = None, *, anew: bool = False) -> int:
        """Bring the view's namespace to a table version and return the number of records written.

        Does nothing when it stands there already, unless `anew`, and for a windowed view without watermark, which has
        no step. Writes only the keys that a change touched when the namespace stood at the version it began on, and
        takes the records of those away that have no step any more; otherwise replaces the whole in one switch, which
        also heals what a crash left behind, or what the store has lost.
        """
        space = self.namespace(view)
        target = _publication(view, snapshot)
        if view.aggregations and target.watermark_us is None:
            return 0
        before = self.published(view)
        if before == target and not anew:
            return 0
        part = change if change and before and not anew and _is_enough(view, before, target, change) else None
        rows = stored_rows(view, snapshot.files)
        with self._current(view, rows, target.published_us, part) as reader:
            counted = Counted(snapshot.version, target.published_us, part is None)
            values = watch_values(self.recorder, view, reader, counted) if view.aggregations else reader
            if part is None:
                return self.store.replace(space, pack_records(values, rows.keys, _columns(view)), meta=target.pack())
            # what is written is newer than what stands there, also where a correction takes a row back
            changes = pack_changes(values, rows.keys, _columns(view))
            try:
                return self.store.write(space, changes, compare=False, meta=target.pack()).written
            except RecordsLostError:
                pass  # the whole heals it
        return self.publish(view, snapshot, anew=True)

    def count(self, view: ViewRecord, snapshot: Snapshot) -> int:
        """How many records a table version gives, counted from its rows."""
        rows = stored_rows(view, snapshot.files)
        with self._current(view, rows, _publication(view, snapshot).published_us, None) as reader:
            return sum(1 for _ in pack_records(reader, rows.keys, _columns(view)))

    def namespace(self, view: ViewRecord) -> str:
        """Where the view's records stand."""
        return namespace(self.project, view)

    def _current(
        self, view: ViewRecord, rows: StoredRows, at_us: int, part: Change | None
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        since = None if part is None else part.since_us
        only = None if part is None else _keys_of(view, part.rows)
        if view.aggregations:
            steps = window_steps(view, rows, watermark_us=at_us)
            return self.engine.current_windows(CurrentWindowsPlan(steps, at_us, since, only))
        return self.engine.current(CurrentPlan(rows, at_us, view.delay_us, view.source.visibility, since, only))

    def published(self, view: ViewRecord) -> Publication | None:
        """What the view's namespace holds; None when it was never published."""
        [(meta, _)] = self.store.read([(self.namespace(view), ())])
        return None if meta is None else Publication.unpack(meta)


def _publication(view: ViewRecord, snapshot: Snapshot) -> Publication:
    watermark = None if view.source.timeless else snapshot.watermark_us
    return Publication(UNBOUNDED if watermark is None else watermark, snapshot.version, watermark)


def _columns(view: ViewRecord) -> list[Column]:
    """What the records hold, in their order."""
    if view.aggregations:
        return [Column(column.name, parse(column.dtype)) for column in published_columns(view)]
    return list(stored_rows(view, ()).columns)


def _is_enough(view: ViewRecord, before: Publication, target: Publication, change: Change) -> bool:
    """Whether all records but those of the keys that a change touched stand as they should.

    An event that is sent again may take the last one from any key, so rows of an interval alone do not tell the keys.
    """
    if before.version != change.base_version:
        return False
    if change.since_us is None:
        return before.watermark_us == target.watermark_us and change.rows is not None
    forward = before.watermark_us is not None and change.since_us >= before.watermark_us
    return forward and not (view.aggregations and view.source.event_id is not None)


def _keys_of(view: ViewRecord, rows: pa.Table | None) -> FrameScan | None:
    """Keys and event ids of rows."""
    if rows is None:
        return None
    sent = (EVENT_ID,) if view.aggregations and view.source.event_id is not None else ()
    names = [*(key for key, _ in view.keys), *sent]
    # a global view has no key, and a table without columns no rows
    return FrameScan(view.name, ipc_stream(rows.select([*names, EVENT_TIMESTAMP])))
