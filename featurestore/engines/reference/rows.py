"""A view's rows as plain Python: keys, times and the place in their table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.engines.reference.values import INSTANT, micros, python_values
from featurestore.plan.nodes import Column, Computed, Rows, SourceRows
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE, Visibility

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row's key and times in microseconds, and where it stands in its table."""

    key: Key
    event: int | None  # null in timeless views only
    created: int | None
    sequence: int
    index: int
    deleted: bool = False  # whether it is a marker

    @property
    def at(self) -> int:
        """The event time of a row that has one."""
        assert self.event is not None
        return self.event

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """What decides between rows of one key: event time, created time with null lowest, sequence."""
        return (self.event or 0, self.created is not None, self.created or 0, self.sequence)

    def visible_from(self, delay: int, visibility: Visibility) -> int:
        """The first instant at which the row is visible."""
        known = self.at + delay
        return max(known, self.created) if visibility == "created" and self.created is not None else known


def rows_in(table: pa.Table, rows: Rows) -> list[Row]:
    """The rows of a view's canonical table; a row without event time is at no instant, so it is none."""
    key_of = keys_of(table, rows.keys)
    event, created, sequence = (micros(table.column(name)) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE))
    marks = table.column(DELETED).to_pylist() if DELETED in table.column_names else [False] * table.num_rows
    found = [Row(key_of[i], event[i], created[i], sequence[i] or 0, i, marks[i]) for i in range(table.num_rows)]
    timeless = rows.event_timestamp is None if isinstance(rows, SourceRows) else rows.timeless
    if not timeless:
        found = [row for row in found if row.event is not None]
    if isinstance(rows, SourceRows) and rows.start_us is not None:
        start = rows.start_us
        pushed = [row for row in found if row.sequence >= FIRST_PUSHED]
        found = [row for row in found if row.sequence < FIRST_PUSHED]
        marked = rows.deleted is not None
        kept = [row for row in found if row.at >= start] if rows.events else from_start(found, start, marked)
        return [*kept, *pushed]
    return found


def keys_of(table: pa.Table, keys: Sequence[Column | Computed]) -> list[Key]:
    """The key of each row of a table that has the keys in columns of their names."""
    columns = [python_values(table.column(key.name)) for key in keys]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows


def null_rows(of: Iterable[Key], keys: Sequence[Column | Computed], schema: pa.Schema) -> pa.Table:
    """A row for each key, in their order, which is null in all other columns."""
    ordered = sorted(of, key=key_order)
    place = {key.name: place for place, key in enumerate(keys)}
    columns = [
        pa.array([key[place[f.name]] for key in ordered], f.type) if f.name in place else pa.nulls(len(ordered), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def from_start(rows: list[Row], start: int, marked: bool) -> list[Row]:
    """The rows at or after the start, and each key's last row before it.

    With `marked` rows may be markers: each key's rows count from the last event time on that none cancels.
    """
    kept = [row for row in rows if row.at >= start]
    for key in {row.key for row in rows}:
        earlier = [row for row in rows if row.key == key and row.at < start]
        if marked:
            last = last_standing(earlier)
            kept += [row for row in earlier if last is None or row.at >= last.at]
        elif earlier:
            kept.append(max(earlier, key=lambda row: row.rank))
    return kept


def last_standing(rows: list[Row]) -> Row | None:
    """Of one key's rows the greatest of the last event time whose greatest row is no marker."""
    for event in sorted({row.event or 0 for row in rows}, reverse=True):
        greatest = max((row for row in rows if (row.event or 0) == event), key=lambda row: row.rank)
        if not greatest.deleted:
            return greatest
    return None


def key_order(key: Key) -> list[tuple[bool, object]]:
    """What orders keys: column by column, nulls lowest."""
    return [(value is not None, value) for value in key]


def without(table: pa.Table, rows: list[Row], others: pa.Table, other_rows: list[Row]) -> list[Row]:
    """The rows that are more than the others of equal content; of equal ones the first as many as stand there go."""
    names = [name for name in others.column_names if name != SEQUENCE]
    there = Counter(_content(others.select(names), other_rows))
    kept = []
    for row, content in sorted(
        zip(rows, _content(table.select(names), rows), strict=True), key=lambda pair: pair[0].sequence
    ):
        if there[content] > 0:
            there[content] -= 1
        else:
            kept.append(row)
    return kept


def _content(table: pa.Table, rows: list[Row]) -> list[str]:
    """What makes each of the rows what it is, to the bit: the text of a float tells it whole."""
    columns = [column.cast(pa.int64()) if column.type == INSTANT else column for column in table.columns]
    values = [column.to_pylist() for column in columns]
    return [repr([column[row.index] for column in values]) for row in rows]
