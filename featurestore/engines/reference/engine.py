"""Point-in-time retrieval, extraction and the current rows, as their definitions say it, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from featurestore.arrow import logical_type
from featurestore.engines.base import STATUS_SUFFIX, Spine
from featurestore.engines.reference.spine import python_values, read_spine, spine_instants, spine_keys
from featurestore.engines.reference.tables import canonical_table, column_types, read_scan, run_expression, run_sql
from featurestore.engines.reference.values import micros
from featurestore.errors import InputError
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import Column, Rows, Scan, SourceRows
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SEQUENCE, Status, Visibility


@dataclass(frozen=True, slots=True)
class _Row:
    """A row's key and times in microseconds, and where it stands in its table."""

    key: tuple[object, ...]
    event: int | None  # null in timeless views only
    created: int | None
    sequence: int
    index: int

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """What decides between rows of one key: event time, created time with null lowest, sequence."""
        return (self.event or 0, self.created is not None, self.created or 0, self.sequence)

    def visible_from(self, delay: int, visibility: Visibility) -> int:
        """The first instant at which the row is visible."""
        assert self.event is not None
        known = self.event + delay
        return max(known, self.created) if visibility == "created" and self.created is not None else known


class ReferenceEngine:
    """Nested loops in plain Python; needs no memory limit, keeps nothing between calls."""

    def columns(self, scan: Scan) -> tuple[tuple[str, str], ...]:
        """Names and DuckDB-spelled types of a scan's columns."""
        return column_types(read_scan(scan))

    def expression_types(self, scan: Scan, expressions: tuple[str, ...]) -> tuple[Column | str, ...]:
        """For each SQL expression over the scan its logical type, or the message why it has none."""
        source = read_scan(scan)
        return tuple(_expression_type(source, expression) for expression in expressions)

    @contextmanager
    def historical(self, plan: HistoricalPlan, spine: Spine) -> Iterator[pa.RecordBatchReader]:
        """The spine's columns, each join's columns, then each join's status."""
        table = read_spine(spine)
        at = spine_instants(table, plan.timestamp)
        statuses: dict[str, list[Status]] = {}
        answers: dict[str, pa.ChunkedArray] = {}
        for join in plan.joins:
            rows_table, rows = _rows(join.rows)
            keys = spine_keys(table, join)
            found = [_in_force(rows, key, t, join) for key, t in zip(keys, at, strict=True)]
            statuses[join.label + STATUS_SUFFIX] = [status for _, status in found]
            indices = pa.array([row.index if row else None for row, _ in found], pa.int64())
            answers |= {c.name: rows_table.column(c.column).take(indices) for c in join.columns}
        answers |= {name: pa.array(values, pa.int8()) for name, values in statuses.items()}
        for name in answers:
            if name in table.column_names:
                raise InputError(f"Spine: its column '{name}' has the name of a feature; rename the column.")
        columns = [*table.columns, *answers.values()]
        yield pa.table(columns, names=[*table.column_names, *answers]).to_reader()

    @contextmanager
    def extract(self, plan: ExtractPlan) -> Iterator[pa.RecordBatchReader]:
        """The rows of an interval, and each key's last row before it when asked for."""
        table, rows = _rows(plan.rows)
        start, end = plan.start_us, plan.end_us
        if start is not None:
            rows = _from_start(rows, start) if plan.in_force_at_start else [r for r in rows if _event(r) >= start]
        if end is not None:
            rows = [row for row in rows if _event(row) < end]
        yield _taken(table, rows).to_reader()

    @contextmanager
    def current(self, plan: CurrentPlan) -> Iterator[pa.RecordBatchReader]:
        """Every row that is in force at some instant at or after `at_us`."""
        table, rows = _rows(plan.rows)
        if not plan.rows.timeless:
            rows = [row for key in {row.key for row in rows} for row in _current_of_key(rows, key, plan)]
        yield _taken(table, rows).drop_columns([SEQUENCE]).to_reader()

    def event_bounds(self, scan: Scan, event_timestamp: str) -> tuple[int, int] | None:
        """Smallest and greatest event time of a scan, in microseconds."""
        timed = SourceRows("event bounds", scan, (), event_timestamp, None, ())
        times = [_event(row) for row in _rows(timed)[1]]
        return (min(times), max(times)) if times else None

    @contextmanager
    def query(self, sql: str, tables: tuple[Scan, ...]) -> Iterator[pa.RecordBatchReader]:
        """The result of one query over the given scans."""
        yield run_sql(sql, tables, "Query", InputError).to_reader()

    def close(self) -> None:
        """Nothing is kept."""


def _rows(rows: Rows) -> tuple[pa.Table, list[_Row]]:
    """A view's table and its rows; a row without event time is at no instant, so it is none."""
    table = canonical_table(rows)
    keys = [python_values(table.column(key.name)) for key in rows.keys]
    key_of = list(zip(*keys, strict=True)) if keys else [()] * table.num_rows
    event, created, sequence = (micros(table.column(name)) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE))
    found = [_Row(key_of[i], event[i], created[i], sequence[i] or 0, i) for i in range(table.num_rows)]
    timeless = rows.event_timestamp is None if isinstance(rows, SourceRows) else rows.timeless
    if not timeless:
        found = [row for row in found if row.event is not None]
    if isinstance(rows, SourceRows) and rows.start_us is not None:
        found = _from_start(found, rows.start_us)
    return table, found


def _from_start(rows: list[_Row], start: int) -> list[_Row]:
    """The rows at or after the start, and each key's last row before it."""
    earlier: dict[tuple[object, ...], _Row] = {}
    for row in rows:
        if _event(row) < start and (row.key not in earlier or row.rank > earlier[row.key].rank):
            earlier[row.key] = row
    return [*earlier.values(), *(row for row in rows if _event(row) >= start)]


def _event(row: _Row) -> int:
    assert row.event is not None
    return row.event


def _in_force(
    rows: list[_Row], key: tuple[object, ...], t: int | None, join: PointInTimeJoin
) -> tuple[_Row | None, Status]:
    """The row of the key in force at t and its status; the row is None unless PRESENT."""
    best: _Row | None = None
    for row in rows:
        if row.key == key and None not in key and _visible(row, t, join) and (best is None or row.rank > best.rank):
            best = row
    if best is None:
        return None, Status.NOT_FOUND
    if join.ttl_us is not None and best.event is not None and t is not None and t - best.event > join.ttl_us:
        return None, Status.OUTSIDE_MAX_AGE
    return best, Status.PRESENT


def _visible(row: _Row, t: int | None, join: PointInTimeJoin) -> bool:
    return join.timeless or (t is not None and row.visible_from(join.delay_us, join.visibility) <= t)


def _current_of_key(rows: list[_Row], key: tuple[object, ...], plan: CurrentPlan) -> list[_Row]:
    """Of one key the row in force at `at_us`, and at each later instant at which a row becomes visible."""
    mine = [row for row in rows if row.key == key]
    since = plan.changed_since_us
    if since is not None and not any(_event(row) >= since for row in mine):
        return []
    visible_from = {row.index: row.visible_from(plan.delay_us, plan.visibility) for row in mine}
    later = {t for t in visible_from.values() if t > plan.at_us}
    in_force: dict[int, _Row] = {}
    for t in (plan.at_us, *later):
        visible = [row for row in mine if visible_from[row.index] <= t]
        if visible:
            best = max(visible, key=lambda row: row.rank)
            in_force[best.index] = best
    return list(in_force.values())


def _expression_type(source: pa.Table, expression: str) -> Column | str:
    try:
        found_type = run_expression(source, expression, "Expression", InputError).type
    except InputError as error:
        return str(error)
    dtype = logical_type(found_type)
    return Column(expression, dtype) if dtype else f"'{expression}' gives {found_type}, which is no feature type."


def _taken(table: pa.Table, rows: list[_Row]) -> pa.Table:
    """The rows of the table, ordered by key with nulls lowest, then rank."""
    ordered = sorted(rows, key=lambda row: ([(value is not None, value) for value in row.key], row.rank))
    return table.take(pa.array([row.index for row in ordered], pa.int64()))
