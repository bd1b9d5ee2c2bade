"""The engine: each method of the seam, compiled and run on a cursor of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from featurestore.engines.base import STATUS_SUFFIX, Spine
from featurestore.engines.duckdb import query
from featurestore.engines.duckdb.aligned import side_by_side
from featurestore.engines.duckdb.connection import Session
from featurestore.engines.duckdb.current import current_rows
from featurestore.engines.duckdb.extract import extract_rows
from featurestore.engines.duckdb.historical import join_columns
from featurestore.engines.duckdb.ranges import plain_steps
from featurestore.engines.duckdb.rows import view_rows
from featurestore.engines.duckdb.spine import WHAT, SpineKeys, entity_keys, opened, spine_keys
from featurestore.errors import InputError
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import Column, Scan, SourceRows
from featurestore.plan.ranges import RangePlan
from featurestore.plan.windows import CurrentWindowsPlan, WindowJoin


class DuckDbEngine:
    """DuckDB in memory. What exceeds `memory_limit` (such as `2GB`; None: 80% of the machine's memory) spills to disk.

    `temp_directory` None is the system's; `threads` None is all cores. Nothing is kept between calls. Conversions are
    strict: `featurestore.engines.duckdb.types` says which values pass.
    """

    def __init__(
        self, memory_limit: str | None = None, temp_directory: Path | None = None, threads: int | None = None
    ) -> None:
        self._session = Session(memory_limit, temp_directory, threads)

    def columns(self, scan: Scan) -> tuple[tuple[str, str], ...]:
        """Names and DuckDB's types of a scan's columns, in order."""
        with self._session.cursor() as cursor:
            return query.scan_columns(cursor, scan)

    def expression_types(self, scan: Scan, expressions: tuple[str, ...]) -> tuple[Column | str, ...]:
        """For each SQL expression over the scan its logical type, or the message why it has none."""
        with self._session.cursor() as cursor:
            return query.expression_types(cursor, scan, expressions)

    def check(self, rows: SourceRows) -> None:
        """Raises SourceError for a column that is missing, or none of whose values would pass; reads none of them."""
        with self._session.cursor() as cursor:
            view_rows(cursor, rows, again=False)

    @contextmanager
    def historical(self, plan: HistoricalPlan, spine: Spine) -> Iterator[pa.RecordBatchReader]:
        """The spine's columns, each join's columns, then each join's status; one row per spine row, same order."""
        with ExitStack() as stack:
            rows = stack.enter_context(opened(self._session, spine))
            keys = spine_keys(rows, plan)
            joined = [_joined(stack.enter_context(self._session.cursor()), join, keys) for join in plan.joins]
            schema = _schema(rows.schema, [reader.schema for reader in joined])
            batches = side_by_side([rows.batches(), *joined], _unordered(rows.schema, joined))
            yield pa.RecordBatchReader.from_batches(schema, (batch.select(schema.names) for batch in batches))

    @contextmanager
    def in_range(self, plan: RangePlan, entities: pa.Table | None = None) -> Iterator[pa.RecordBatchReader]:
        """The steps of a view in a range, ordered by key, then beginning; of some entities or of all."""
        asked = None if entities is None else entity_keys(entities, plan.join)
        with self._session.cursor() as cursor:
            match plan.join:
                case PointInTimeJoin():
                    yield plain_steps(cursor, plan, asked)
                case WindowJoin():
                    from featurestore.engines.duckdb.window_ranges import windowed_steps  # numba is slow to import

                    yield windowed_steps(cursor, plan, asked)

    @contextmanager
    def extract(self, plan: ExtractPlan) -> Iterator[pa.RecordBatchReader]:
        """The rows of an interval, ordered by key, event time, created time, sequence."""
        with self._session.cursor() as cursor:
            yield extract_rows(cursor, plan)

    @contextmanager
    def current(self, plan: CurrentPlan) -> Iterator[pa.RecordBatchReader]:
        """The rows to publish, ordered by key, event time, created time, sequence."""
        with self._session.cursor() as cursor:
            yield current_rows(cursor, plan)

    @contextmanager
    def current_windows(self, plan: CurrentWindowsPlan) -> Iterator[pa.RecordBatchReader]:
        """The values to publish of a windowed view, ordered by key, then event time."""
        from featurestore.engines.duckdb.windows import current_windows  # numba is slow to import

        with self._session.cursor() as cursor:
            yield current_windows(cursor, plan)

    def event_bounds(self, scan: Scan, event_timestamp: str) -> tuple[int, int] | None:
        """Smallest and greatest event time of a scan, in microseconds; None when it has no row."""
        with self._session.cursor() as cursor:
            return query.event_bounds(cursor, scan, event_timestamp)

    @contextmanager
    def query(self, sql: str, tables: tuple[Scan, ...]) -> Iterator[pa.RecordBatchReader]:
        """The result of one read-only SQL statement over the given scans."""
        with self._session.cursor() as cursor:
            yield query.run_query(cursor, sql, tables)

    def close(self) -> None:
        """Free memory and remove temporary files."""
        self._session.close()


def _joined(
    cursor: duckdb.DuckDBPyConnection, join: PointInTimeJoin | WindowJoin, keys: SpineKeys
) -> pa.RecordBatchReader:
    match join:
        case PointInTimeJoin():
            return join_columns(cursor, join, keys)
        case WindowJoin():
            from featurestore.engines.duckdb.windows import window_columns  # numba is slow to import

            return window_columns(cursor, join, keys)


def _unordered(spine: pa.Schema, joined: list[pa.RecordBatchReader]) -> pa.Schema:
    return pa.schema([*spine, *(field for reader in joined for field in reader.schema)])


def _schema(spine: pa.Schema, joins: list[pa.Schema]) -> pa.Schema:
    fields = [field for schema in joins for field in schema]
    for field in fields:
        if field.name in spine.names:
            raise InputError(f"{WHAT}: its column '{field.name}' has the name of a feature; rename the column.")
    values = [field for field in fields if not field.name.endswith(STATUS_SUFFIX)]
    statuses = [field for field in fields if field.name.endswith(STATUS_SUFFIX)]
    return pa.schema([*spine, *values, *statuses], metadata=spine.metadata)
