"""One view's table under a lease: each commit stands on the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurestore.arrow import arrow_type
from featurestore.dtypes import Timestamp
from featurestore.offline.tables import Commit, Marks, OfflineTables, Replaced, Snapshot
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.nodes import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE
from featurestore.plan.views import stored_types, table_name
from featurestore.statistics.recording import Change, Recorder
from featurestore.statistics.views import record_commit
from featurestore.timeline import FIRST_PUSHED, Clock

LEASE_WAIT_S = 10.0  # how long a writer waits for another one of the same table
_ROWS_PER_COMMIT_BITS = 40


@dataclass(slots=True)
class TableWriter:
    """Commits rows of a view that passed the gate; `snapshot` is the table as it stands now, None before the first.

    `view_version` is for people who read the log. `recorder` counts what is committed. `taken` is the number of the
    last push that is taken, which every commit carries.
    """

    tables: OfflineTables
    view: ViewRecord
    view_version: int
    token: int
    now_us: Clock
    snapshot: Snapshot | None
    recorder: Recorder
    taken: int | None = None

    def __post_init__(self) -> None:
        self.taken = self.marks.pushed if self.taken is None else self.taken

    @property
    def table(self) -> str:
        """The name of the table."""
        return table_name(self.view)

    @property
    def version(self) -> int:
        """The table's version as it stands; -1 before the first commit."""
        return self.snapshot.version if self.snapshot else -1

    @property
    def marks(self) -> Marks:
        """The table's marks as they stand."""
        return self.snapshot.marks if self.snapshot else Marks()

    def replace(self, accepted: pa.Table, replaced: Replaced, marks: Marks, notes: Mapping[str, str]) -> Snapshot:
        """Put rows from the source in the place of others, in one commit."""
        return self._commit(accepted, replaced, marks, notes, pushed=False)

    def add(self, accepted: pa.Table, marks: Marks, notes: Mapping[str, str], *, pushed: bool = False) -> Snapshot:
        """Add rows in one commit; those that were pushed are no rows of the source, and come after them in ties."""
        return self._commit(accepted, None, marks, notes, pushed=pushed)

    def _commit(
        self, accepted: pa.Table, replaced: Replaced | None, marks: Marks, notes: Mapping[str, str], *, pushed: bool
    ) -> Snapshot:
        commit = Commit(
            table=self.table,
            base_version=self.snapshot.version if self.snapshot else None,
            replaced=replaced,
            marks=dataclasses.replace(marks, pushed=self.taken),
            at_us=self.now_us(),
            token=self.token,
            notes={"view": self.view.name, "view_version": str(self.view_version), **notes},
        )
        first = (commit.version << _ROWS_PER_COMMIT_BITS) | (FIRST_PUSHED if pushed else 0)
        counted = record_commit(self.recorder, self.view, accepted, Change(self.snapshot, replaced, first))
        commit = dataclasses.replace(commit, statistics=counted)
        self.snapshot = self.tables.commit(commit, stored_reader(self.view, accepted, first))
        return self.snapshot


def stored_reader(view: ViewRecord, accepted: pa.Table, first: int) -> pa.RecordBatchReader:
    """The accepted rows in the table's types: canonical columns, then keys and features.

    The rows come in the order that decides ties, so their place in it, counted from `first`, becomes the sequence. The
    commit's number stands in `first`, which makes it unique in the table, whatever the source numbers its rows from.
    """
    times = [] if view.source.timeless else [(EVENT_TIMESTAMP, arrow_type(Timestamp))]
    created = [] if view.source.created_timestamp is None else [(CREATED_TIMESTAMP, arrow_type(Timestamp))]
    columns = [(name, arrow_type(dtype)) for name, dtype in stored_types(view)]
    marker = [] if view.source.deleted is None else [(DELETED, pa.bool_())]
    schema = pa.schema([*times, *created, (SEQUENCE, pa.int64()), *marker, *columns])
    sequence = pa.array(np.arange(first, first + accepted.num_rows, dtype=np.int64))
    place = accepted.column_names.index(SEQUENCE)
    table = accepted.set_column(place, SEQUENCE, sequence).select(schema.names).cast(schema)
    return table.to_reader(max_chunksize=1_000_000)
