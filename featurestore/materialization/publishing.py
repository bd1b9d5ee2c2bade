"""From committed rows to online records: whole, or only the keys that a run changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pyarrow as pa

from featurestore.dtypes import parse
from featurestore.engines.base import OfflineEngine
from featurestore.offline.tables import UNBOUNDED, Snapshot
from featurestore.online.base import OnlineStore
from featurestore.online.values import Publication, pack_records
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.materialization import CurrentPlan
from featurestore.plan.nodes import Column, StoredRows
from featurestore.plan.views import namespace, published_columns, stored_rows, window_steps
from featurestore.plan.windows import CurrentWindowsPlan


@dataclass(frozen=True, slots=True)
class Run:
    """What a run committed: rows with event time at or after `start_us`, on top of table version `base_version`."""

    start_us: int
    base_version: int


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes views of one project to its online store."""

    project: str
    engine: OfflineEngine
    store: OnlineStore

    def publish(self, view: ViewRecord, snapshot: Snapshot, run: Run | None = None, *, anew: bool = False) -> int:
        """Bring the view's namespace to a table version and return the number of records written.

        Does nothing when it stands there already, unless `anew`, and for a windowed view without watermark, which has
        no step. Writes only the keys that `run` changed when the namespace stood at the version the run began on, the
        run only went forward, and nothing can have been cancelled or sent again, which may take the last step from a
        key of long ago; otherwise replaces the whole in one switch, which also heals what a crash left behind.
        """
        space = self.namespace(view)
        target = _publication(view, snapshot)
        if view.aggregations and target.watermark_us is None:
            return 0
        before = self.published(view)
        if before == target and not anew:
            return 0
        adds = view.source.event_id is None and view.source.deleted is None
        since = run.start_us if run and before and adds and _continues(before, run) else None
        with self._records(view, snapshot, since) as records:
            if since is None:
                return self.store.replace(space, records, meta=target.pack())
            return self.store.write(space, records, meta=target.pack()).written

    def count(self, view: ViewRecord, snapshot: Snapshot) -> int:
        """How many records a table version gives, counted from its rows."""
        with self._records(view, snapshot, None) as records:
            return sum(1 for _ in records)

    def namespace(self, view: ViewRecord) -> str:
        """Where the view's records stand."""
        return namespace(self.project, view)

    @contextmanager
    def _records(
        self, view: ViewRecord, snapshot: Snapshot, since_us: int | None
    ) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        rows = stored_rows(view, snapshot.files)
        columns = [Column(column.name, parse(column.dtype)) for column in published_columns(view)]
        with self._current(view, rows, _publication(view, snapshot).published_us, since_us) as reader:
            yield pack_records(reader, rows.keys, columns if view.aggregations else rows.columns)

    def _current(
        self, view: ViewRecord, rows: StoredRows, at_us: int, since_us: int | None
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        if view.aggregations:
            steps = window_steps(view, rows, watermark_us=at_us)
            return self.engine.current_windows(CurrentWindowsPlan(steps, at_us, since_us))
        return self.engine.current(CurrentPlan(rows, at_us, view.delay_us, view.source.visibility, since_us))

    def published(self, view: ViewRecord) -> Publication | None:
        """What the view's namespace holds; None when it was never published."""
        [(meta, _)] = self.store.read([(self.namespace(view), ())])
        return None if meta is None else Publication.unpack(meta)


def _publication(view: ViewRecord, snapshot: Snapshot) -> Publication:
    watermark = None if view.source.timeless else snapshot.watermark_us
    return Publication(UNBOUNDED if watermark is None else watermark, snapshot.version, watermark)


def _continues(before: Publication, run: Run) -> bool:
    forward = before.watermark_us is not None and run.start_us >= before.watermark_us
    return forward and before.version == run.base_version
