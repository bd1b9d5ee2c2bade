"""Rows that came late: the source has them now, and their interval was committed without them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.contracts.verdict import Occasion, Outcome, Verdict
from featurestore.engines.base import OfflineEngine
from featurestore.materialization.judging import Judge, accepted_rows
from featurestore.materialization.report import LateReport
from featurestore.materialization.writing import TableWriter
from featurestore.offline.rates import ROWS
from featurestore.offline.tables import Replaced
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import EVENT_TIMESTAMP, Rows, SourceRows, StoredRows
from featurestore.plan.views import scan_of, stored_rows
from featurestore.timeline import format_instant

ALL_US = -(2**63)  # a created time before every other


@dataclass(slots=True)
class LateRows:
    """What was taken in late, over all commits: rows that came, rows that went, and what the gate dropped."""

    came: list[pa.Table]
    went: list[pa.Table]
    dropped: int = 0

    @property
    def all(self) -> tuple[pa.Table, ...]:
        """All rows that came or went."""
        return (*self.came, *self.went)

    def report(self, watermark_us: int) -> LateReport | None:
        """What a person should know; None when there was nothing."""
        if not (self.came or self.went or self.dropped):
            return None
        behind = sorted(watermark_us - us for rows in self.came for us in _events(rows))
        if not behind:
            return LateReport(0, sum(rows.num_rows for rows in self.went), self.dropped)
        return LateReport(
            rows=len(behind),
            removed=sum(rows.num_rows for rows in self.went),
            dropped=self.dropped,
            least_us=behind[0],
            median_us=behind[(len(behind) - 1) // 2],
            greatest_us=behind[-1],
        )


@dataclass(frozen=True, slots=True)
class LateTaker:
    """Takes the late rows of one view into its table, before a run goes on from the watermark."""

    engine: OfflineEngine
    judge: Judge
    writer: TableWriter
    found: LateRows

    def newest_created(self) -> int | None:
        """The greatest created time that the source has now; None when it tells none."""
        source = self.writer.view.source
        if source.created_timestamp is None:
            return None
        bounds = self.engine.event_bounds(scan_of(source, self.judge.root), source.created_timestamp)
        return None if bounds is None else bounds[1]

    def take(self, newest_us: int | None) -> None:
        """Commit late rows: created after the mark of the last run, or within the source's lookback.

        `newest_us` is the new mark, read from the source before its rows. Rows that are stored already are no late
        ones, however often they are read. What is committed is in `found` also when a gate stops the rest.
        """
        marks, view = self.writer.marks, self.writer.view
        assert marks.watermark_us is not None  # before anything is committed nothing is late
        start_us = marks.reach_us if view.aggregations else marks.start_us
        border_us = marks.watermark_us - (view.source.lookback_us or 0)
        border_us = border_us if start_us is None else max(border_us, start_us)
        if newest_us is not None:
            # a source that lost its newest rows was written anew: there is no telling what came since
            since_us = ALL_US if marks.created_us is None or marks.created_us > newest_us else marks.created_us
            self._take_before(start_us, since_us)
        if border_us < marks.watermark_us:
            self._look_back(border_us, marks.watermark_us)
        if newest_us is not None:
            self._take_created(start_us, border_us, since_us, newest_us)

    def _take_created(self, start_us: int | None, end_us: int, since_us: int, newest_us: int) -> None:
        """Add the rows of an interval that were created later, and move the mark with them."""
        view = self.writer.view
        plan = ExtractPlan(self.judge.rows(view), start_us, end_us, created_after_us=since_us, excluding=self._stored())
        verdict = self._admitted(plan, Occasion(self.writer.table, None, end_us))
        if verdict.accepted.num_rows:
            marks = replace(self.writer.marks, created_us=newest_us)
            self.writer.add(verdict.accepted, marks, _notes(verdict, start_us, end_us))
            self.found.came.append(verdict.accepted)

    def _take_before(self, start_us: int | None, since_us: int) -> None:
        """Replace what is in force at the committed start, when a late row changes it; else nothing is before it."""
        if start_us is None or self.writer.view.aggregations:
            return
        rows = self.judge.rows(self.writer.view, start_us=start_us)
        plan = ExtractPlan(rows, None, start_us, created_after_us=since_us, excluding=self._stored())
        with self.engine.extract(plan) as reader:
            came = reader.read_all().num_rows
        if came:
            self._take_whole(rows, None, start_us)

    def _look_back(self, start_us: int, end_us: int) -> None:
        """Replace an interval by what the source has of it now, when that differs."""
        self._take_whole(self.judge.rows(self.writer.view), start_us, end_us)

    def _take_whole(self, rows: SourceRows, start_us: int | None, end_us: int) -> None:
        verdict = self._admitted(ExtractPlan(rows, start_us, end_us), Occasion(self.writer.table, start_us, end_us))
        now, there = accepted_rows(self.writer.view, verdict.accepted), self._stored()
        came = self._more(now, there, start_us, end_us)
        went = self._more(there, now, start_us, end_us)
        if came.num_rows or went.num_rows:
            notes = _notes(verdict, start_us, end_us)
            self.writer.replace(verdict.accepted, Replaced(start_us, end_us), self.writer.marks, notes)
            self.found.came += [came] if came.num_rows else []
            self.found.went += [went] if went.num_rows else []

    def _admitted(self, plan: ExtractPlan, occasion: Occasion) -> Verdict:
        verdict = self.judge.admit(self.writer.view, plan, occasion)
        if verdict.outcome is Outcome.DROPPED:
            self.found.dropped += verdict.refused_rows
        return verdict

    def _more(self, rows: Rows, than: Rows, start_us: int | None, end_us: int) -> pa.Table:
        """The rows of an interval that do not stand elsewhere."""
        with self.engine.extract(ExtractPlan(rows, start_us, end_us, excluding=than)) as reader:
            return reader.read_all()

    def _stored(self) -> StoredRows:
        """The rows that came from the source, as committed."""
        assert self.writer.snapshot is not None
        return stored_rows(self.writer.view, self.writer.snapshot.files, "source")


def _events(rows: pa.Table) -> list[int]:
    times: list[int] = pc.cast(rows.column(EVENT_TIMESTAMP), pa.int64()).to_pylist()
    return times


def _notes(verdict: Verdict, start_us: int | None, end_us: int) -> dict[str, str]:
    return {
        "late": str(verdict.accepted.num_rows),
        "start": "" if start_us is None else format_instant(start_us),
        "end": format_instant(end_us),
        ROWS: "0",  # rates are told by chunks, which are read whole
        "dropped": str(verdict.refused_rows),
    }
