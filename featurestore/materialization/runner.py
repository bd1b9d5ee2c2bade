"""The materializer: each chunk from source through the gate into one commit, then the online records."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pyarrow as pa

from featurestore.contracts.verdict import Occasion, Outcome, Verdict
from featurestore.engines.base import OfflineEngine
from featurestore.errors import FeatureStoreError, GateRefused, MaterializationError
from featurestore.materialization.judging import Judge, accepted_rows
from featurestore.materialization.late import LateRows, LateTaker
from featurestore.materialization.publishing import Change, Publisher
from featurestore.materialization.replaying import Replayer
from featurestore.materialization.report import ChunkReport, Progress, Step, ViewReport
from featurestore.materialization.writing import LEASE_WAIT_S, TableWriter
from featurestore.offline.rates import ROWS, SECONDS
from featurestore.offline.tables import Marks, OfflineTables, Replaced, Snapshot
from featurestore.pinning import committed_interval
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.intervals import Asked, Chunk, Committed, plan_chunks
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import SourceRows
from featurestore.plan.views import scan_of, source_rows, stored_rows, table_name, window_steps
from featurestore.timeline import format_instant


@dataclass(frozen=True, slots=True)
class Materializer:
    """Materializes views of one project; `lease_wait_s` is how long it waits for another writer of the same view."""

    engine: OfflineEngine
    tables: OfflineTables
    judge: Judge
    publisher: Publisher
    replayer: Replayer
    lease_wait_s: float = LEASE_WAIT_S

    def run(self, view: ViewRecord, version: int, asked: Asked, progress: Progress) -> ViewReport:
        """Materialize one view; what stops it is in the report, and what was committed before stands.

        Pushes that the table lacks are taken first, whatever is asked for.
        Holds the table's lease meanwhile, so two runs of one view never interleave.
        """
        began = time.monotonic()
        done: list[ChunkReport] = []
        late, pushed = LateRows([], []), list[pa.Table]()
        error: FeatureStoreError | None = None
        published, behind = 0, None
        name = table_name(view)
        try:
            with self.tables.lease(name, self.lease_wait_s) as token:
                before, now_us = self.tables.snapshot(name), self.judge.now_us
                writer = TableWriter(self.tables, view, version, token, now_us, before, self.publisher.recorder)
                taker = LateTaker(self.engine, self.judge, writer, late)
                try:
                    self.replayer.catch_up(writer, pushed)
                    self._commit_chunks(taker, asked, done, progress)
                except FeatureStoreError as stopped:
                    error = stopped
                progress(Step(view.name, "publishing", len(done), len(done)))
                published = self._publish(writer, before, done, [*late.all, *pushed])
            behind = before.watermark_us if before else None
        except FeatureStoreError as failure:
            error = error or failure
        snapshot = self.tables.snapshot(name)
        watermark, seconds = snapshot.watermark_us if snapshot else None, time.monotonic() - began
        came = None if behind is None else late.report(behind)
        taken = sum(rows.num_rows for rows in pushed)
        return ViewReport(view.name, tuple(done), watermark, published, seconds, error, late=came, pushed=taken)

    def _commit_chunks(self, taker: LateTaker, asked: Asked, done: list[ChunkReport], progress: Progress) -> None:
        writer = taker.writer
        view = writer.view
        chunks = self._chunks(view, asked, writer.snapshot)
        created_us = None
        if chunks and not view.source.timeless:
            self.judge.refuse_untimed(view, scan_of(view.source, self.judge.root))
            created_us = self._take_late(taker, asked, Step(view.name, "late rows", 0, len(chunks)), progress)
        for index, chunk in enumerate(chunks):
            progress(Step(view.name, "reading", index, len(chunks)))
            began = time.monotonic()
            verdict = self._admitted(view, chunk)
            progress(Step(view.name, "committing", index, len(chunks), verdict.rows))
            snapshot = _committed(writer, chunk, verdict, created_us, time.monotonic() - began)
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

    def _take_late(self, taker: LateTaker, asked: Asked, step: Step, progress: Progress) -> int | None:
        """Take in what came late, when the run goes on from the watermark; the mark of created time afterwards."""
        marks = taker.writer.marks
        if marks.watermark_us is not None and asked.start_us is not None:
            return marks.created_us  # only an interval is read again, and rows may wait outside it
        newest_us = taker.newest_created()
        if marks.watermark_us is not None:
            progress(step)
            taker.take(newest_us)
        return marks.created_us if newest_us is None else newest_us

    def _chunks(self, view: ViewRecord, asked: Asked, snapshot: Snapshot | None) -> tuple[Chunk, ...]:
        committed = committed_interval(snapshot)
        if view.source.timeless:
            plan_chunks(view.name, asked, committed, None)  # the bounds are checked; the rows have none
            watermark = max(asked.end_us, committed.watermark_us) if committed else asked.end_us
            return (Chunk(None, asked.end_us, Committed(None, watermark)),)
        if committed is not None and not plan_chunks(view.name, asked, committed, None):
            return ()
        bounds = self.engine.event_bounds(scan_of(view.source, self.judge.root), str(view.source.event_timestamp))
        if bounds is None:
            raise _empty(view)
        return plan_chunks(view.name, asked, committed, bounds[0])

    def _admitted(self, view: ViewRecord, chunk: Chunk) -> Verdict:
        """The verdict on a chunk's rows; raises GateRefused, with the rows in quarantine, when it refuses."""
        if view.source.timeless:
            verdict = self.judge.admit(view, ExtractPlan(self.judge.rows(view), None, None), Occasion(table_name(view)))
            if not verdict.rows:
                raise _empty(view)
            return verdict
        plan = ExtractPlan(
            self.judge.rows(view), _first_event(view, chunk), chunk.end_us, chunk.in_force and not view.aggregations
        )
        return self.judge.admit(view, plan, Occasion(table_name(view), chunk.start_us, chunk.end_us))

    def rows_from_source(self, view: ViewRecord, snapshot: Snapshot | None) -> SourceRows:
        """The view's rows straight from its source, under the same contract and from the same committed start.

        What was pushed stands beside them. Raises GateRefused when the contract refuses the source's rows as a whole.
        """
        rows = self._source_rows(view, snapshot)
        if snapshot is None or not snapshot.pushed_files:
            return rows
        return replace(rows, pushed=stored_rows(view, snapshot.pushed_files, "pushed"))

    def _source_rows(self, view: ViewRecord, snapshot: Snapshot | None) -> SourceRows:
        start = None if snapshot is None else snapshot.reach_us if view.aggregations else snapshot.start_us
        if view.contract is None:
            return source_rows(view, self.judge.root, start)
        plan = ExtractPlan(self.judge.rows(view), start, None, start is not None and not view.aggregations)
        verdict = self.judge.verdict(view, plan, Occasion(table_name(view), start, None))
        if verdict.outcome is Outcome.REFUSED:
            raise GateRefused(verdict.summary)
        return accepted_rows(view, verdict.accepted)

    def _publish(
        self, writer: TableWriter, before: Snapshot | None, done: list[ChunkReport], rows: list[pa.Table]
    ) -> int:
        if writer.snapshot is None:
            return 0
        first_us = done[0].start_us if done else None
        change = None
        if before is not None and (first_us is not None or not done):
            changed = pa.concat_tables(rows, promote_options="default") if rows else None
            change = Change(before.version, first_us, changed)
        return self.publisher.publish(writer.view, writer.snapshot, change)


def _first_event(view: ViewRecord, chunk: Chunk) -> int | None:
    """Where a chunk's rows begin: a windowed view's first chunk also takes the events in its windows at the start."""
    if chunk.start_us is None or not (view.aggregations and chunk.in_force):
        return chunk.start_us
    reach = window_steps(view, source_rows(view, ""), None).reach_us
    return None if reach is None else chunk.start_us - reach


def _committed(writer: TableWriter, chunk: Chunk, verdict: Verdict, created_us: int | None, seconds: float) -> Snapshot:
    view = writer.view
    opens = writer.marks.watermark_us is None or chunk.in_force
    marks = Marks(
        start_us=chunk.after.start_us,
        watermark_us=chunk.after.watermark_us,
        reach_us=_first_event(view, chunk) if opens else writer.marks.reach_us,
        created_us=created_us,
    )
    replaced = Replaced(None if chunk.in_force else chunk.start_us, chunk.end_us)
    return writer.replace(
        verdict.accepted,
        Replaced(whole=True) if view.source.timeless else replaced,
        marks,
        {
            "start": "" if chunk.start_us is None else format_instant(chunk.start_us),
            "end": format_instant(chunk.end_us),
            ROWS: str(verdict.accepted.num_rows),
            "dropped": str(verdict.refused_rows),
            SECONDS: f"{seconds:.3f}",  # of reading and judging; the log knows itself what writing took
        },
    )


def _empty(view: ViewRecord) -> MaterializationError:
    return MaterializationError(
        f"View '{view.name}': source '{view.source.name}' has no rows, so there is nothing to materialize. Fill the "
        "source, or correct where it points, and run again."
    )
