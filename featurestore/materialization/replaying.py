"""Pushes that a table has not taken yet: made before it was, or while it stood still, or lost between log and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from featurestore.arrow import ipc_stream
from featurestore.contracts.verdict import Occasion, Verdict
from featurestore.errors import FeatureStoreError, InputError, SourceError
from featurestore.materialization.judging import Judge, accepted_rows
from featurestore.materialization.writing import TableWriter
from featurestore.offline.pushed import Pushed, PushLog, Reader
from featurestore.offline.rates import ROWS
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE, FrameScan, Scan
from featurestore.plan.views import EVENT_ID, kept_columns, scan_of, stored_rows, table_name

_TOGETHER = 500  # pushes in one commit


@dataclass(frozen=True, slots=True)
class Replayer:
    """Takes into a table what the push log has for it, through the same gate as a push."""

    judge: Judge
    log: PushLog

    def catch_up(self, writer: TableWriter, taken: list[pa.Table]) -> None:
        """Commit the pushes that wait for a table, in their order; what is committed is appended to `taken`.

        Each is judged alone, as it was when it was pushed; rows that are there already are left out. Source columns
        that a push did not have yet are null. Raises GateRefused, and SourceError for a push that does not look as the
        source declares now; what came before it is committed then.
        """
        view = writer.view
        last = self.log.last()
        if last is None or not takes_pushes(view):
            return
        waiting = self.log.waiting(reader_of(view), writer.taken, last)
        columns = self._source_columns(view) if waiting else ()
        for first in range(0, len(waiting), _TOGETHER):
            self._take(writer, waiting[first : first + _TOGETHER], columns, taken)
        writer.taken = max(last, writer.taken or 0)

    def _take(
        self, writer: TableWriter, pushes: Sequence[Pushed], columns: Sequence[pa.Field], taken: list[pa.Table]
    ) -> None:
        found: list[pa.Table] = []
        dropped, stopped = 0, None
        for pushed in pushes:
            try:
                verdict = self._admitted(writer, pushed, columns, found)
            except FeatureStoreError as error:
                stopped = error
                break
            if verdict is not None:
                dropped += verdict.refused_rows
                found.append(_canonical(writer.view, verdict.accepted))
            writer.taken = pushed.number
        if found and (writer.snapshot is not None or any(rows.num_rows for rows in found)):  # without rows for the mark
            rows = pa.concat_tables(found)
            notes = {"pushed": str(rows.num_rows), ROWS: "0", "dropped": str(dropped)}
            writer.add(rows, writer.marks, notes, pushed=True)
            taken.append(rows)
        if stopped is not None:
            raise stopped

    def _admitted(
        self, writer: TableWriter, pushed: Pushed, columns: Sequence[pa.Field], found: list[pa.Table]
    ) -> Verdict | None:
        view, rows = writer.view, self.log.read(pushed)
        if rows is None:
            return None
        have = {name.casefold() for name in rows.column_names}
        for column in columns:
            if column.name.casefold() not in have:
                rows = rows.append_column(column.name, pa.nulls(rows.num_rows, column.type))
        try:
            return admit_pushed(self.judge, writer, FrameScan(view.source.name, ipc_stream(rows)), found)
        except (SourceError, InputError) as error:
            raise SourceError(
                f"View '{view.name}': what was pushed to {pushed.address.kind} '{pushed.address.name}' with number "
                f"{pushed.number} does not fit it any more: {error} Declare its columns as they were, or remove "
                f"{pushed.path} to forget that push."
            ) from error

    def _source_columns(self, view: ViewRecord) -> tuple[pa.Field, ...]:
        """The columns that the source has now, but those that every row must have."""
        source, engine = view.source, self.judge.engine
        never_null = {*(key for key, _ in view.keys), source.event_timestamp}
        try:
            offered = engine.columns(scan_of(source, self.judge.root))
        except SourceError:  # it may be gone by now: what was pushed is there
            return ()
        nulls = [
            exp.cast(exp.null(), dtype, dialect="duckdb").as_(name, quoted=True)
            for name, dtype in offered
            if name not in never_null
        ]
        if not nulls:
            return ()
        with engine.query(exp.select(*nulls).sql("duckdb"), ()) as reader:
            return tuple(reader.schema)


def admit_pushed(judge: Judge, writer: TableWriter, scan: Scan, beside: Sequence[pa.Table] = ()) -> Verdict:
    """What is new of pushed rows, in the view's columns; `beside` are rows that will be committed before them.

    Raises GateRefused, SourceError for rows that do not look as declared, and InputError for events without an id.
    """
    view = writer.view
    stored = None
    if writer.snapshot is not None:
        stored = stored_rows(view, writer.snapshot.pushed_files, "pushed")
    there = replace(accepted_rows(view, pa.concat_tables(beside)), pushed=stored) if beside else stored
    plan = ExtractPlan(judge.rows(view, scan), None, None, excluding=there)
    verdict = judge.admit(view, plan, Occasion(writer.table))
    unnamed = pc.sum(verdict.accepted.column(EVENT_ID).is_null()).as_py() or 0 if view.aggregations else 0
    if unnamed:
        raise InputError(
            f"View '{view.name}' counts events, and {unnamed} of the pushed rows have no id ('{view.source.event_id}' "
            "is null), so they would count twice if they were pushed again; give each event its id."
        )
    return verdict


def takes_pushes(view: ViewRecord) -> bool:
    """Whether rows can be pushed to a view: not to a timeless one, nor to windows whose events have no id."""
    return not view.source.timeless and not (view.aggregations and view.source.event_id is None)


def reader_of(view: ViewRecord) -> Reader:
    """The view's table as the push log knows it."""
    return Reader(table_name(view), view.name, view.source.name)


def _canonical(view: ViewRecord, rows: pa.Table) -> pa.Table:
    """Without the source columns that the contract saw, which may differ between pushes."""
    marker = [] if view.source.deleted is None else [DELETED]
    times = [EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE]
    return rows.select([*(k for k, _ in view.keys), *times, *marker, *(c.stored for c in kept_columns(view))])
