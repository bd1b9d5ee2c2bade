"""A version of a view beside the one that serves: what it holds less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from featurestore.engines.base import OfflineEngine
from featurestore.offline.tables import Snapshot
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.nodes import DeltaScan
from featurestore.plan.views import EVENT_ID
from featurestore.timeline import EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE, format_instant

_BEFORE, _AFTER = "before", "after"


@dataclass(frozen=True, slots=True)
class Succession:
    """A version of a view that would take the place of the one that serves; `forced`: though it holds less."""

    record: ViewRecord
    version: int
    before: ViewRecord
    served: int
    forced: bool = False

    def shortfall(self, before: Snapshot, after: Snapshot) -> str | None:
        """What the table of the version has of its source less than that of the one that serves; None when nothing."""
        if self.forced:
            return None
        if before.watermark_us is not None:
            if after.watermark_us is None:
                return "nothing of its source is materialized; run `featurestore materialize`"
            if after.start_us is not None and (before.start_us is None or before.start_us < after.start_us):
                since = "the beginning" if before.start_us is None else format_instant(before.start_us)
                return (
                    f"its history begins at {format_instant(after.start_us)}, and that of v{self.served} at {since}; "
                    "materialize what is missing, or `featurestore switch` it"
                )
            if after.watermark_us < before.watermark_us:
                reached = format_instant(before.watermark_us)
                return (
                    f"it stands at {format_instant(after.watermark_us)}, and v{self.served} at {reached}; run "
                    "`featurestore materialize`"
                )
        if before.rows and not after.rows:
            return (
                f"it has no rows, and v{self.served} has {before.rows:,}; check its source, or `featurestore switch` it"
            )
        return None

    @property
    def identity(self) -> tuple[str, ...] | None:
        """The stored columns that tell which row of one version is which of the other; None when nothing does."""
        if self.record.keys != self.before.keys:
            return None
        if self.record.source.event_id != self.before.source.event_id:
            return None
        if self.record.aggregations and self.record.source.event_id is not None:
            return (EVENT_ID,)
        return (*(key for key, _ in self.record.keys), EVENT_TIMESTAMP)


def missing_pushed(step: Succession, before: Snapshot, after: Snapshot, engine: OfflineEngine, directory: Path) -> int:
    """How many rows were pushed to the version that serves and are not in the other, from its source or pushed.

    Where nothing tells which rows are the same, the pushed ones are counted against each other.
    """
    tables = tuple(
        DeltaScan(name, str(directory / snapshot.table), snapshot.version)
        for name, snapshot in ((_BEFORE, before), (_AFTER, after))
    )
    pushed = exp.select(exp.Count(this=exp.Star())).from_(_BEFORE).where(_is_pushed(_BEFORE))
    if step.identity is None:
        there = exp.select(exp.Count(this=exp.Star())).from_(_AFTER).where(_is_pushed(_AFTER))
        query = exp.select(exp.func("greatest", pushed.subquery() - there.subquery(), exp.Literal.number(0)))
    else:
        same = exp.and_(*(_column(name, _BEFORE).eq(_column(name, _AFTER)) for name in step.identity))
        query = pushed.where(exp.Not(this=exp.Exists(this=exp.select("1").from_(_AFTER).where(same))))
    with engine.query(query.sql("duckdb"), tables) as reader:
        return int(reader.read_all().column(0)[0].as_py())


def _is_pushed(table: str) -> exp.Expression:
    return _column(SEQUENCE, table) >= FIRST_PUSHED


def _column(name: str, table: str) -> exp.Column:
    return exp.column(name, table, quoted=True)
