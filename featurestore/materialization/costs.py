"""What a backfill will read and how long it will take, estimated before anything is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from sqlglot import exp

from featurestore.engines.base import OfflineEngine
from featurestore.offline.rates import commit_rate
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import Catalog, ViewPlace, ViewRecord
from featurestore.plan.views import scan_of, table_name
from featurestore.registry.diff import CatalogDiff, Change, Cost

DEFAULT_ROWS_PER_SECOND = 500_000  # measured on two cores, from one Parquet file, without a contract
_COMMIT_SECONDS = 0.1  # what a commit takes in any case
_KEYS_PER_SECOND = 120_000  # published and counted; measured likewise
_STEP_US = 30 * 86_400_000_000  # the default length of a chunk


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates backfills of one project; `root` is where relative source paths start."""

    root: str
    engine: OfflineEngine
    tables: OfflineTables
    now_us: int

    def with_costs(self, diff: CatalogDiff, applied: Catalog) -> CatalogDiff:
        """The diff with the cost of each backfill: one count of each source concerned."""
        return replace(diff, changes=tuple(self._with_cost(change, diff.target, applied) for change in diff.changes))

    def _with_cost(self, change: Change, target: Catalog, applied: Catalog) -> Change:
        if not change.backfill:
            return change
        return replace(change, cost=self.cost(target.views[change.name], applied))

    def cost(self, view: ViewRecord, applied: Catalog) -> Cost:
        """What filling a view up to now will read: the rows of its source that its table does not hold yet.

        The rate of reading is that of earlier large commits of the view, or else of any view, or else the default.
        """
        snapshot = self.tables.snapshot(table_name(view))
        rows, keys, span_us = self._counted(view, None if snapshot is None else snapshot.watermark_us)
        per_second, basis = self._rate(view, applied)
        commits = max(1, ceil(span_us / _STEP_US)) if rows else 0
        seconds = rows / per_second + commits * _COMMIT_SECONDS + keys / _KEYS_PER_SECOND
        return Cost(rows, round(seconds, 1), basis)

    def _rate(self, view: ViewRecord, applied: Catalog) -> tuple[float, str]:
        own = [table_name(record) for record in (view, applied.views.get(view.name)) if record is not None]
        every = [table_name(record) for record in applied.views.values()]
        for tables, whose in ((own, "this view"), (every, "the project")):
            rate = commit_rate(self.tables.directory, tables)
            if rate is not None:
                commits = f"{rate.commits} earlier commit{'s' if rate.commits > 1 else ''}"
                return rate.per_second, f"{rate.per_second:,.0f} rows/s, from {commits} of {whose}"
        return DEFAULT_ROWS_PER_SECOND, f"{DEFAULT_ROWS_PER_SECOND:,} rows/s, the default"

    def _counted(self, view: ViewRecord, since_us: int | None) -> tuple[int, int, int]:
        """How many rows a view's source has from an instant up to now, how many keys about, and how long they span.

        A view as a source counts with the rows of its own source.
        """
        source = view.source
        if isinstance(source.place, ViewPlace):
            return self._counted(source.place.view, since_us)
        scan = scan_of(source, self.root)
        keys = [exp.column(key, quoted=True) for key, _ in view.keys]
        distinct = exp.func("approx_count_distinct", exp.func("hash", *keys)) if keys else exp.Literal.number(1)
        table = exp.Table(this=exp.to_identifier(scan.name, quoted=True))
        query = exp.select(exp.Count(this=exp.Star()), distinct).from_(table)
        if source.event_timestamp is not None:
            instant = exp.cast(exp.column(source.event_timestamp, quoted=True), "TIMESTAMPTZ", dialect="duckdb")
            time = exp.func("epoch_us", instant)  # which knows no nanoseconds, as pandas writes them
            query = query.select(exp.Max(this=time) - exp.Min(this=time)).where(time < self.now_us)
            query = query if since_us is None else query.where(time >= since_us)
        with self.engine.query(query.sql("duckdb"), (scan,)) as reader:
            [row] = reader.read_all().to_pylist()
        rows, found, *span = row.values()
        return (rows, found, span[0] if span else 0) if rows else (0, 0, 0)
