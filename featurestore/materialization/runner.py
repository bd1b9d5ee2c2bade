"""The materializer: each chunk from source through the gate into one commit, then the online records."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from sqlglot import exp

from featurestore.arrow import arrow_type
from featurestore.contracts.gate import Gate
from featurestore.contracts.quarantine import Quarantine
from featurestore.contracts.verdict import Occasion, Outcome, Verdict
from featurestore.dtypes import Timestamp
from featurestore.engines.base import OfflineEngine
from featurestore.errors import FeatureStoreError, GateRefused, MaterializationError
from featurestore.materialization.publishing import Publisher, Run
from featurestore.materialization.report import ChunkReport, Progress, Step, ViewReport
from featurestore.offline.lease import lease
from featurestore.offline.tables import Commit, OfflineTables, Snapshot
from featurestore.plan.catalog import ContractRecord, ViewRecord
from featurestore.plan.intervals import Asked, Chunk, Committed, plan_chunks
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SEQUENCE, Computed, FrameScan, SourceRows
from featurestore.plan.views import kept_columns, scan_of, source_rows, stored_types, table_name, window_steps
from featurestore.timeline import Clock, format_instant

if TYPE_CHECKING:
    from featurestore.contracts.inspection import ContractColumn
    from featurestore.contracts.model import ContractModel

_ROWS_PER_COMMIT_BITS = 40


@dataclass(frozen=True, slots=True)
class Materializer:
    """Materializes views of one project; `root` is where relative source paths start."""

    root: str
    engine: OfflineEngine
    tables: OfflineTables
    quarantine: Quarantine
    load_contract: Callable[[ContractRecord], ContractModel]
    publisher: Publisher
    now_us: Clock

    def run(self, view: ViewRecord, version: int, asked: Asked, progress: Progress) -> ViewReport:
        """Materialize one view; what stops it is in the report, and what was committed before stands.

        Holds the table's lease meanwhile, so two runs of one view never interleave.
        """
        began = time.monotonic()
        done: list[ChunkReport] = []
        error: FeatureStoreError | None = None
        published = 0
        try:
            with lease(self.tables.directory, table_name(view)):
                try:
                    self._commit_chunks(view, version, asked, done, progress)
                except FeatureStoreError as stopped:
                    error = stopped
                published = self._publish(view, done, progress)
        except FeatureStoreError as failure:
            error = error or failure
        snapshot = self.tables.snapshot(table_name(view))
        watermark = snapshot.watermark_us if snapshot else None
        return ViewReport(view.name, tuple(done), watermark, published, time.monotonic() - began, error)

    def _commit_chunks(
        self, view: ViewRecord, version: int, asked: Asked, done: list[ChunkReport], progress: Progress
    ) -> None:
        snapshot = self.tables.snapshot(table_name(view))
        chunks = self._chunks(view, asked, snapshot)
        if chunks:
            self._refuse_rows_without_time(view)
        for index, chunk in enumerate(chunks):
            progress(Step(view.name, "reading", index, len(chunks)))
            verdict = self._judged(view, chunk)
            progress(Step(view.name, "committing", index, len(chunks), verdict.rows))
            commit = _commit(view, version, chunk, snapshot, verdict)
            snapshot = self.tables.commit(commit, _stored_reader(view, verdict.accepted, commit.version))
            done.append(
                ChunkReport(
                    chunk.start_us,
                    chunk.end_us,
                    verdict.accepted.num_rows,
                    verdict.refused_rows if verdict.outcome is Outcome.DROPPED else 0,
                    snapshot.version,
                    verdict.summary,
                )
            )
            progress(Step(view.name, "committed", index + 1, len(chunks), verdict.accepted.num_rows))

    def _chunks(self, view: ViewRecord, asked: Asked, snapshot: Snapshot | None) -> tuple[Chunk, ...]:
        committed = Committed(snapshot.start_us, snapshot.watermark_us) if snapshot else None
        if view.source.timeless:
            plan_chunks(view.name, asked, committed, None)  # the bounds are checked; the rows have none
            watermark = max(asked.end_us, committed.watermark_us) if committed else asked.end_us
            return (Chunk(None, asked.end_us, Committed(None, watermark)),)
        if committed is not None and not plan_chunks(view.name, asked, committed, None):
            return ()
        bounds = self.engine.event_bounds(scan_of(view.source, self.root), str(view.source.event_timestamp))
        if bounds is None:
            raise _empty(view)
        return plan_chunks(view.name, asked, committed, bounds[0])

    def _refuse_rows_without_time(self, view: ViewRecord) -> None:
        """Rows without event time belong to no interval, so no chunk would ever show them to the gate."""
        time = view.source.event_timestamp
        if time is None or view.on_refusal == "drop":
            return
        scan = scan_of(view.source, self.root)
        column, table = (exp.to_identifier(name, quoted=True) for name in (time, scan.name))
        counting = (
            exp.select(exp.Count(this=exp.Star()))
            .from_(exp.Table(this=table))
            .where(exp.column(column).is_(exp.null()))
        )
        with self.engine.query(counting.sql("duckdb"), (scan,)) as reader:
            untimed = reader.read_all().column(0)[0].as_py()
        if untimed:
            raise GateRefused(
                f"View '{view.name}': {untimed} rows of source '{view.source.name}' have no event time ('{time}' is "
                "null), so they belong to no interval. Mend the source, filter them in a SqlSource, or declare "
                'on_refusal="drop".'
            )

    def _judged(self, view: ViewRecord, chunk: Chunk) -> Verdict:
        """The verdict on a chunk's rows; raises GateRefused, with the rows in quarantine, when it refuses."""
        occasion = Occasion(table_name(view), chunk.start_us, None if view.source.timeless else chunk.end_us)
        verdict = self.judge(view, _first_event(view, chunk), chunk.end_us, chunk.in_force, occasion)
        if view.source.timeless and not verdict.rows:
            raise _empty(view)
        if verdict.outcome is not Outcome.PASSED:
            entry = self.quarantine.keep(verdict, self.now_us())
            if verdict.outcome is Outcome.REFUSED:
                raise GateRefused(
                    f"{verdict.summary} See `featurestore quarantine show {entry.id}`; mend the source, or let the "
                    f"rows through with `featurestore quarantine release {entry.id} --reason ...`, then materialize "
                    "again."
                )
        return verdict

    def judge(
        self, view: ViewRecord, start_us: int | None, end_us: int | None, in_force: bool, occasion: Occasion
    ) -> Verdict:
        """The gate's verdict on a view's source rows of an interval; nothing is written."""
        contract = None if view.contract is None else self.load_contract(view.contract)
        rows = source_rows(view, self.root, extra=() if contract is None else self._carried(view, contract))
        timeless = view.source.timeless
        in_force = in_force and not view.aggregations
        plan = ExtractPlan(rows, None if timeless else start_us, None if timeless else end_us, in_force)
        with self.engine.extract(plan) as reader:
            table = reader.read_all()
        gate = Gate.of(rows, contract, view.on_refusal)
        return gate.check(table, occasion, self.quarantine.waivers(view.name))

    def rows_from_source(self, view: ViewRecord, snapshot: Snapshot | None) -> SourceRows:
        """The view's rows straight from its source, under the same contract and from the same committed start.

        Raises GateRefused when the contract refuses them as a whole.
        """
        start = None if snapshot is None else snapshot.reach_us if view.aggregations else snapshot.start_us
        if view.contract is None:
            return source_rows(view, self.root, start)
        verdict = self.judge(view, start, None, start is not None, Occasion(table_name(view), start, None))
        if verdict.outcome is Outcome.REFUSED:
            raise GateRefused(verdict.summary)
        return accepted_rows(view, verdict.accepted)

    def _carried(self, view: ViewRecord, contract: ContractModel) -> tuple[str, ...]:
        """The source columns that the contract asks for and the rows do not have anyway."""
        from featurestore.contracts.inspection import contract_columns  # pandera is slow to import

        wanted = contract_columns(contract)
        have = {
            *(key for key, _ in view.keys),
            *(column.stored for column in kept_columns(view)),
            view.source.event_timestamp,
            view.source.created_timestamp,
        }
        offered = [name for name, _ in self.engine.columns(scan_of(view.source, self.root)) if name not in have]
        return tuple(name for name in offered if any(_names(column, name) for column in wanted))

    def _publish(self, view: ViewRecord, done: list[ChunkReport], progress: Progress) -> int:
        snapshot = self.tables.snapshot(table_name(view))
        if snapshot is None:
            return 0
        progress(Step(view.name, "publishing", len(done), len(done)))
        first = done[0] if done else None
        run = Run(first.start_us, first.table_version - 1) if first and first.start_us is not None else None
        return self.publisher.publish(view, snapshot, run)


def _first_event(view: ViewRecord, chunk: Chunk) -> int | None:
    """Where a chunk's rows begin: a windowed view's first chunk also takes the events in its windows at the start."""
    if chunk.start_us is None or not (view.aggregations and chunk.in_force):
        return chunk.start_us
    reach = window_steps(view, source_rows(view, ""), None).reach_us
    return None if reach is None else chunk.start_us - reach


def _commit(view: ViewRecord, version: int, chunk: Chunk, snapshot: Snapshot | None, verdict: Verdict) -> Commit:
    whole = view.source.timeless
    return Commit(
        table=table_name(view),
        base_version=snapshot.version if snapshot else None,
        delete_from_us=None if whole or chunk.in_force else chunk.start_us,
        end_us=None if whole else chunk.end_us,
        start_us=chunk.after.start_us,
        watermark_us=chunk.after.watermark_us,
        notes={
            "view": view.name,
            "view_version": str(version),
            "start": "" if chunk.start_us is None else format_instant(chunk.start_us),
            "end": format_instant(chunk.end_us),
            "rows": str(verdict.accepted.num_rows),
            "dropped": str(verdict.refused_rows),
        },
        reach_us=_first_event(view, chunk) if snapshot is None or chunk.in_force else snapshot.reach_us,
    )


def _stored_reader(view: ViewRecord, accepted: pa.Table, commit: int) -> pa.RecordBatchReader:
    """The accepted rows in the table's types: canonical columns, then keys and features.

    The rows come in the order that decides ties, so their place in it becomes the sequence; the commit's number before
    it makes it unique in the table, whatever the source numbers its rows from.
    """
    times = [] if view.source.timeless else [(EVENT_TIMESTAMP, arrow_type(Timestamp))]
    created = [] if view.source.created_timestamp is None else [(CREATED_TIMESTAMP, arrow_type(Timestamp))]
    columns = [(name, arrow_type(dtype)) for name, dtype in stored_types(view)]
    schema = pa.schema([*times, *created, (SEQUENCE, pa.int64()), *columns])
    first = commit << _ROWS_PER_COMMIT_BITS
    sequence = pa.array(np.arange(first, first + accepted.num_rows, dtype=np.int64))
    place = accepted.column_names.index(SEQUENCE)
    table = accepted.set_column(place, SEQUENCE, sequence).select(schema.names).cast(schema)
    return table.to_reader(max_chunksize=1_000_000)


def _names(column: ContractColumn, name: str) -> bool:
    return bool(re.fullmatch(column.name, name)) if column.pattern else column.name == name


def accepted_rows(view: ViewRecord, accepted: pa.Table) -> SourceRows:
    """Rows that passed the gate, as if they were the source; their order is the ingestion order."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, accepted.schema) as writer:
        writer.write_table(accepted)
    rows = source_rows(view, "")
    return replace(
        rows,
        scan=FrameScan(view.source.name, sink.getvalue().to_pybytes()),
        event_timestamp=None if view.source.timeless else EVENT_TIMESTAMP,
        created_timestamp=None if view.source.created_timestamp is None else CREATED_TIMESTAMP,
        columns=tuple(Computed(column.name, column.dtype, column.name) for column in rows.columns),
    )


def _empty(view: ViewRecord) -> MaterializationError:
    return MaterializationError(
        f"View '{view.name}': source '{view.source.name}' has no rows, so there is nothing to materialize. Fill the "
        "source, or correct where it points, and run again."
    )
