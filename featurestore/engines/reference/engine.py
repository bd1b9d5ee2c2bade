"""Point-in-time retrieval, extraction and the current rows, as their definitions say it, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from featurestore.arrow import logical_type
from featurestore.engines.base import STATUS_SUFFIX, Spine
from featurestore.engines.reference.ranges import plain_steps, windowed_steps
from featurestore.engines.reference.rows import (
    Key,
    Row,
    from_start,
    key_order,
    keys_of,
    last_standing,
    null_rows,
    rows_in,
    without,
)
from featurestore.engines.reference.spine import read_spine, spine_instants, spine_keys
from featurestore.engines.reference.steps import current_steps, window_answers
from featurestore.engines.reference.tables import canonical_table, column_types, read_scan, run_expression, run_sql
from featurestore.errors import InputError
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import Column, Scan, SourceRows
from featurestore.plan.ranges import RangePlan
from featurestore.plan.windows import CurrentWindowsPlan, WindowJoin
from featurestore.timeline import SEQUENCE, Status

Asked = list[tuple[Key, int | None]]  # key and instant of each spine row


class ReferenceEngine:
    """Nested loops in plain Python; needs no memory limit, keeps nothing between calls."""

    def columns(self, scan: Scan) -> tuple[tuple[str, str], ...]:
        """Names and DuckDB-spelled types of a scan's columns."""
        return column_types(read_scan(scan))

    def expression_types(self, scan: Scan, expressions: tuple[str, ...]) -> tuple[Column | str, ...]:
        """For each SQL expression over the scan its logical type, or the message why it has none."""
        source = read_scan(scan)
        return tuple(_expression_type(source, expression) for expression in expressions)

    def check(self, rows: SourceRows) -> None:
        """Raises SourceError for a column that is missing, or holds what its type cannot."""
        canonical_table(rows)

    @contextmanager
    def historical(self, plan: HistoricalPlan, spine: Spine) -> Iterator[pa.RecordBatchReader]:
        """The spine's columns, each join's columns, then each join's status."""
        table = read_spine(spine)
        at = spine_instants(table, plan.timestamp)
        answers: dict[str, pa.ChunkedArray] = {}
        statuses: dict[str, pa.Array] = {}
        for join in plan.joins:
            keys = spine_keys(table, join)
            match join:
                case WindowJoin():
                    columns, found = window_answers(join, canonical_table(join.rows), keys, at)
                case PointInTimeJoin():
                    columns, found = _latest(join, list(zip(keys, at, strict=True)))
            answers |= columns
            statuses[join.label + STATUS_SUFFIX] = pa.array(found, pa.int8())
        answers |= statuses
        for name in answers:
            if name in table.column_names:
                raise InputError(f"Spine: its column '{name}' has the name of a feature; rename the column.")
        yield pa.table([*table.columns, *answers.values()], names=[*table.column_names, *answers]).to_reader()

    @contextmanager
    def in_range(self, plan: RangePlan, entities: pa.Table | None = None) -> Iterator[pa.RecordBatchReader]:
        """The steps of a view in a range, as RangePlan says; of some entities or of all."""
        table = canonical_table(plan.join.rows)
        keys = None if entities is None else set(spine_keys(entities, plan.join, "Entities"))
        match plan.join:
            case WindowJoin():
                yield windowed_steps(plan, table, keys).to_reader()
            case PointInTimeJoin():
                yield plain_steps(plan, table, keys, lambda *asked: _in_force(*asked)[0]).to_reader()

    @contextmanager
    def extract(self, plan: ExtractPlan) -> Iterator[pa.RecordBatchReader]:
        """The rows of an interval, and each key's last row before it when asked for."""
        table = canonical_table(plan.rows)
        rows = _within(rows_in(table, plan.rows), plan)
        if plan.excluding is not None:
            others = canonical_table(plan.excluding)
            rows = without(table, rows, others, _within(rows_in(others, plan.excluding), plan))
        yield _taken(table, rows).to_reader()

    @contextmanager
    def current(self, plan: CurrentPlan) -> Iterator[pa.RecordBatchReader]:
        """What is in force at some instant at or after `at_us`, as CurrentPlan says."""
        table = canonical_table(plan.rows)
        rows = rows_in(table, plan.rows)
        if plan.rows.timeless:
            yield _taken(table, rows).drop_columns([SEQUENCE]).to_reader()
            return
        asked = _asked_keys(rows, plan)
        found = [row for key in asked for row in _current_of_key(rows, key, plan)]
        answer = _taken(table, found).drop_columns([SEQUENCE])
        gone = asked - {row.key for row in found} if plan.is_partial else set()
        yield pa.concat_tables([answer, null_rows(gone, plan.rows.keys, answer.schema)]).to_reader()

    @contextmanager
    def current_windows(self, plan: CurrentWindowsPlan) -> Iterator[pa.RecordBatchReader]:
        """The values at every step in force at some instant at or after `at_us`."""
        only = None if plan.only is None else read_scan(plan.only)
        yield current_steps(plan, canonical_table(plan.steps.rows), only).to_reader()

    def event_bounds(self, scan: Scan, event_timestamp: str) -> tuple[int, int] | None:
        """Smallest and greatest event time of a scan, in microseconds."""
        timed = SourceRows("event bounds", scan, (), event_timestamp, None, ())
        times = [row.at for row in rows_in(canonical_table(timed), timed)]
        return (min(times), max(times)) if times else None

    @contextmanager
    def query(self, sql: str, tables: tuple[Scan, ...]) -> Iterator[pa.RecordBatchReader]:
        """The result of one query over the given scans."""
        yield run_sql(sql, tables, "Query", InputError).to_reader()

    def close(self) -> None:
        """Nothing is kept."""


def _within(rows: list[Row], plan: ExtractPlan) -> list[Row]:
    """The rows within the bounds of the plan."""
    start, end, created = plan.start_us, plan.end_us, plan.created_after_us
    if start is not None:
        later = [row for row in rows if row.at >= start]
        rows = from_start(rows, start, bool(plan.rows.deleted)) if plan.in_force_at_start else later
    if end is not None:
        rows = [row for row in rows if row.at < end]
    return [row for row in rows if created is None or (row.created is not None and row.created > created)]


def _latest(join: PointInTimeJoin, asked: Asked) -> tuple[dict[str, pa.ChunkedArray], list[Status]]:
    """The columns of the row in force and the status, for each spine row."""
    table = canonical_table(join.rows)
    rows = rows_in(table, join.rows)
    found = [_in_force(rows, key, t, join) for key, t in asked]
    indices = pa.array([row.index if row else None for row, _ in found], pa.int64())
    columns = {column.name: table.column(column.column).take(indices) for column in join.columns}
    return columns, [status for _, status in found]


def _in_force(rows: list[Row], key: Key, t: int | None, join: PointInTimeJoin) -> tuple[Row | None, Status]:
    """The row of the key in force at t and its status; the row is None unless PRESENT."""
    known = [row for row in rows if row.key == key and None not in key and _visible(row, t, join)]
    best = last_standing(known)
    if best is None:
        return None, Status.NOT_FOUND
    if join.ttl_us is not None and best.event is not None and t is not None and t - best.event > join.ttl_us:
        return None, Status.OUTSIDE_MAX_AGE
    return best, Status.PRESENT


def _visible(row: Row, t: int | None, join: PointInTimeJoin) -> bool:
    return join.timeless or (t is not None and row.visible_from(join.delay_us, join.visibility) <= t)


def _asked_keys(rows: list[Row], plan: CurrentPlan) -> set[Key]:
    """The keys that the plan asks for."""
    asked = set() if plan.only is None else set(keys_of(read_scan(plan.only), plan.rows.keys))
    since = plan.changed_since_us
    return asked | {row.key for row in rows if (not plan.is_partial) or (since is not None and row.at >= since)}


def _current_of_key(rows: list[Row], key: Key, plan: CurrentPlan) -> list[Row]:
    """Of one key the row in force at `at_us`, and at each later instant at which a row becomes visible.

    Besides, the greater markers of their event times.
    """
    mine = [row for row in rows if row.key == key]
    visible_from = {row.index: row.visible_from(plan.delay_us, plan.visibility) for row in mine}
    later = {t for t in visible_from.values() if t > plan.at_us}
    in_force: dict[int, Row] = {}
    for t in (plan.at_us, *later):
        best = last_standing([row for row in mine if visible_from[row.index] <= t])
        if best is not None:
            in_force[best.index] = best
    answers = list(in_force.values())
    return answers + [row for row in mine if row.deleted and any(_cancels(row, answer) for answer in answers)]


def _cancels(marker: Row, row: Row) -> bool:
    return marker.event == row.event and marker.rank > row.rank


def _expression_type(source: pa.Table, expression: str) -> Column | str:
    try:
        found_type = run_expression(source, expression, "Expression", InputError).type
    except InputError as error:
        return str(error)
    dtype = logical_type(found_type)
    return Column(expression, dtype) if dtype else f"'{expression}' gives {found_type}, which is no feature type."


def _taken(table: pa.Table, rows: list[Row]) -> pa.Table:
    """The rows of the table, ordered by key with nulls lowest, then rank."""
    ordered = sorted(rows, key=lambda row: (key_order(row.key), row.rank))
    return table.take(pa.array([row.index for row in ordered], pa.int64()))
