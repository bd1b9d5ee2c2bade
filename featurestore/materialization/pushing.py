"""A push: rows that were handed in, through the same gate into the same tables, then the records of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pyarrow as pa
from sqlglot import exp

from featurestore.contracts.verdict import Verdict
from featurestore.engines.base import OfflineEngine
from featurestore.errors import FeatureStoreError, GateRefused, InputError, OfflineStoreError, SourceError
from featurestore.materialization.publishing import Change, Publisher
from featurestore.materialization.replaying import Replayer, admit_pushed, reader_of
from featurestore.materialization.report import PushedView, PushReport
from featurestore.materialization.targets import Target, Targets
from featurestore.materialization.writing import LEASE_WAIT_S, TableWriter
from featurestore.offline.rates import ROWS
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import reference
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import Computed, CsvScan, FrameScan, Scan, SourceRows
from featurestore.plan.views import declared_types


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes rows to views of one project; `lease_wait_s` is how long it waits for other writers of each table."""

    tables: OfflineTables
    replayer: Replayer
    publisher: Publisher
    lease_wait_s: float = LEASE_WAIT_S

    def push(self, targets: Targets, scan: Scan) -> PushReport:
        """Commit the rows of a scan, which has the source's columns, to every target, and publish what they change.

        A row that was pushed before changes nothing. Nothing is written unless the gates of all targets let the rows
        pass; then they are in the push log for good, and what a crash keeps from being committed or published, the next
        push or materialization makes up for. A target first takes the pushes that it lacks; one that cannot is left
        behind with them, unless it is the only one.
        """
        with ExitStack() as leases:
            ready, behind = self._ready([self._filling(target, leases) for target in targets.tables])
            for filling in ready:
                filling.admitted = self._admitted(filling.writer, scan)
            self._log(targets, scan, ready)
            pushed = [self._commit(filling) for filling in ready]
            for filling in behind:
                self._publish(filling)
        names = [(reference(f.target.record.name, f.writer.view_version), _behind(f)) for f in behind]
        return PushReport(tuple(pushed), (*targets.skipped, *names))

    def _filling(self, target: Target, leases: ExitStack) -> _Filling:
        token = leases.enter_context(self.tables.lease(target.table, self.lease_wait_s))
        snapshot = self.tables.snapshot(target.table)
        version = target.versions[0]
        now_us, recorder = self.replayer.judge.now_us, self.publisher.recorder
        writer = TableWriter(self.tables, version.record, version.version, token, now_us, snapshot, recorder)
        return _Filling(target, writer, writer.version)

    def _ready(self, fillings: Sequence[_Filling]) -> tuple[list[_Filling], list[_Filling]]:
        """The targets that have taken all earlier pushes, and those that cannot."""
        for filling in fillings:
            try:
                self.replayer.catch_up(filling.writer, filling.rows)
            except (GateRefused, SourceError) as error:
                filling.error = error
        ready = [filling for filling in fillings if filling.error is None]
        behind = [filling for filling in fillings if filling.error is not None]
        if not ready and behind[0].error is not None:
            raise behind[0].error
        return ready, behind

    def _admitted(self, writer: TableWriter, scan: Scan) -> _Admitted:
        """What is new of the rows; raises GateRefused, and InputError for rows that do not look as declared."""
        view, judge = writer.view, self.replayer.judge
        try:
            given, untimed = judge.refuse_untimed(view, scan)
            verdict = admit_pushed(judge, writer, scan)
        except SourceError as error:
            raise InputError(f"The pushed rows do not look as source '{view.source.name}' declares: {error}") from error
        return _Admitted(verdict, repeated=given - untimed - verdict.rows, untimed=untimed)

    def _log(self, targets: Targets, scan: Scan, fillings: Sequence[_Filling]) -> None:
        """Write the rows to the push log, when they are new to any table."""
        if not any(filling.admitted and filling.admitted.verdict.accepted.num_rows for filling in fillings):
            return
        rows = handed_in(targets, scan, self.replayer.judge.engine)
        marks = [filling.writer.taken for filling in fillings]
        entry, between = self.replayer.log.append(targets.address, rows, marks)
        for filling in fillings:
            reader, taken = reader_of(filling.writer.view), filling.writer.taken or 0
            # where others pushed meanwhile the mark stays, and the next run finds these rows stored already
            if not any(other.number > taken and other.address.reaches(reader) for other in between):
                filling.writer.taken = entry.number

    def _commit(self, filling: _Filling) -> PushedView:
        writer, admitted = filling.writer, filling.admitted
        assert admitted is not None
        rows = admitted.verdict.accepted
        if rows.num_rows:
            notes = {"pushed": str(rows.num_rows), ROWS: "0", "dropped": str(admitted.dropped)}
            try:
                writer.add(rows, writer.marks, notes, pushed=True)
            except OfflineStoreError as error:
                kept = (
                    f"{error} The pushed rows are in the push log, and the next push or materialization commits them."
                )
                raise OfflineStoreError(kept) from error
            filling.rows.append(rows)
        return PushedView(
            view=filling.target.record.name,
            version=writer.view_version,
            rows=rows.num_rows,
            repeated=admitted.repeated,
            dropped=admitted.dropped,
            published=self._publish(filling),
            table_version=writer.snapshot.version if writer.snapshot else None,
        )

    def _publish(self, filling: _Filling) -> int:
        snapshot, rows = filling.writer.snapshot, filling.rows
        if snapshot is None:
            return 0
        change = Change(filling.base_version, rows=pa.concat_tables(rows, promote_options="default")) if rows else None
        return sum(self.publisher.publish(v.record, snapshot, change) for v in filling.target.versions)


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


@dataclass(slots=True)
class _Filling:
    """A target under its lease: where its table stood, the rows committed since, and what the gate said of the push.

    `error` is what keeps it from taking earlier pushes.
    """

    target: Target
    writer: TableWriter
    base_version: int
    rows: list[pa.Table] = field(default_factory=list)
    admitted: _Admitted | None = None
    error: FeatureStoreError | None = None


def handed_in(targets: Targets, scan: Scan, engine: OfflineEngine) -> pa.Table:
    """The rows of a push as they are kept: all columns, in their order, texts of CSV read as the views declare them."""
    match scan:
        case FrameScan(data=data):
            return pa.ipc.open_stream(data).read_all()
        case CsvScan():
            records = [target.record for target in targets.tables]
            types = declared_types(targets.source, records)
            names = [name for name, _ in engine.columns(scan)]
            rows = SourceRows(
                view=records[0].name,
                scan=scan,
                keys=(),
                event_timestamp=None,
                created_timestamp=None,
                columns=tuple(Computed(name, types[name], name) for name in names if name in types),
                extra=tuple(name for name in names if name not in types),
            )
            with engine.extract(ExtractPlan(rows, None, None)) as reader:
                return reader.read_all().select(names)
        case _:
            table = exp.to_table(f'"{scan.name}"')
            with engine.query(exp.select("*").from_(table).sql("duckdb"), (scan,)) as reader:
                return reader.read_all()


def _behind(filling: _Filling) -> str:
    return f"it lacks earlier pushes, and takes this one with them: {filling.error}".rstrip(".")
