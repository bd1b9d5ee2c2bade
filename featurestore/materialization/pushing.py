"""A push: rows that were handed in, through the same gate into the same tables, then the records of their keys."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow.compute as pc

from featurestore.contracts.verdict import Occasion, Verdict
from featurestore.errors import InputError, SourceError
from featurestore.materialization.judging import Judge
from featurestore.materialization.publishing import Change, Publisher
from featurestore.materialization.report import PushedView, PushReport
from featurestore.materialization.targets import Target, Targets
from featurestore.materialization.writing import LEASE_WAIT_S, TableWriter
from featurestore.offline.rates import ROWS
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Scan
from featurestore.plan.views import EVENT_ID, stored_rows


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes rows to views of one project; `lease_wait_s` is how long it waits for other writers of each table."""

    tables: OfflineTables
    judge: Judge
    publisher: Publisher
    lease_wait_s: float = LEASE_WAIT_S

    def push(self, targets: Targets, scan: Scan) -> PushReport:
        """Commit the rows of a scan, which has the source's columns, to every target, and publish what they change.

        A row that was pushed before changes nothing. Nothing is written unless the gates of all targets let the rows
        pass. What a crash keeps from being published, the next push or materialization publishes.
        """
        with ExitStack() as leases:
            writers = [self._writer(target, leases) for target in targets.tables]
            admitted = [self._admitted(writer, scan) for writer in writers]
            pushed = [
                self._commit(target, writer, chunk)
                for target, writer, chunk in zip(targets.tables, writers, admitted, strict=True)
            ]
        return PushReport(tuple(pushed), targets.skipped)

    def _writer(self, target: Target, leases: ExitStack) -> TableWriter:
        token = leases.enter_context(self.tables.lease(target.table, self.lease_wait_s))
        snapshot = self.tables.snapshot(target.table)
        version = target.versions[0]
        now_us, recorder = self.judge.now_us, self.publisher.recorder
        return TableWriter(self.tables, version.record, version.version, token, now_us, snapshot, recorder)

    def _admitted(self, writer: TableWriter, scan: Scan) -> _Admitted:
        """What is new of the rows; raises GateRefused, and InputError for rows that do not look as declared."""
        view = writer.view
        try:
            given, untimed = self.judge.refuse_untimed(view, scan)
            there = None if writer.snapshot is None else stored_rows(view, writer.snapshot.pushed_files, "pushed")
            plan = ExtractPlan(self.judge.rows(view, scan), None, None, excluding=there)
            verdict = self.judge.admit(view, plan, Occasion(writer.table))
        except SourceError as error:
            raise InputError(f"The pushed rows do not look as source '{view.source.name}' declares: {error}") from error
        _refuse_unnamed(view, verdict)
        return _Admitted(verdict, repeated=given - untimed - verdict.rows, untimed=untimed)

    def _commit(self, target: Target, writer: TableWriter, admitted: _Admitted) -> PushedView:
        rows = admitted.verdict.accepted
        change = None
        if rows.num_rows:
            change = Change(writer.version, rows=rows)
            notes = {"pushed": str(rows.num_rows), ROWS: "0", "dropped": str(admitted.dropped)}
            writer.add(rows, writer.marks, notes, pushed=True)
        published = 0
        if writer.snapshot is not None:
            snapshot = writer.snapshot
            published = sum(self.publisher.publish(v.record, snapshot, change) for v in target.versions)
        return PushedView(
            view=target.record.name,
            version=target.versions[0].version,
            rows=rows.num_rows,
            repeated=admitted.repeated,
            dropped=admitted.dropped,
            published=published,
            table_version=writer.snapshot.version if writer.snapshot else None,
        )


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What a gate said of rows that were not pushed before; `repeated` were, and `untimed` have no event time."""

    verdict: Verdict
    repeated: int
    untimed: int

    @property
    def dropped(self) -> int:
        """Rows that were left out."""
        return self.verdict.refused_rows + self.untimed


def _refuse_unnamed(view: ViewRecord, verdict: Verdict) -> None:
    if not view.aggregations:
        return
    unnamed = pc.sum(verdict.accepted.column(EVENT_ID).is_null()).as_py() or 0
    if unnamed:
        raise InputError(
            f"View '{view.name}' counts events, and {unnamed} of the pushed rows have no id ('{view.source.event_id}' "
            "is null), so they would count twice if they were pushed again; give each event its id."
        )
