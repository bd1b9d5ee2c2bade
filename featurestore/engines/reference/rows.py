"""A view's rows as plain Python: keys, times and the place in their table."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from featurestore.engines.reference.values import micros, python_values
from featurestore.plan.nodes import Rows, SourceRows
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SEQUENCE, Visibility

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row's key and times in microseconds, and where it stands in its table."""

    key: Key
    event: int | None  # null in timeless views only
    created: int | None
    sequence: int
    index: int

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
    keys = [python_values(table.column(key.name)) for key in rows.keys]
    key_of: list[Key] = list(zip(*keys, strict=True)) if keys else [()] * table.num_rows
    event, created, sequence = (micros(table.column(name)) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE))
    found = [Row(key_of[i], event[i], created[i], sequence[i] or 0, i) for i in range(table.num_rows)]
    timeless = rows.event_timestamp is None if isinstance(rows, SourceRows) else rows.timeless
    if not timeless:
        found = [row for row in found if row.event is not None]
    if isinstance(rows, SourceRows) and rows.start_us is not None:
        start = rows.start_us
        return [row for row in found if row.at >= start] if rows.events else from_start(found, start)
    return found


def from_start(rows: list[Row], start: int) -> list[Row]:
    """The rows at or after the start, and each key's last row before it."""
    earlier: dict[Key, Row] = {}
    for row in rows:
        if row.at < start and (row.key not in earlier or row.rank > earlier[row.key].rank):
            earlier[row.key] = row
    return [*earlier.values(), *(row for row in rows if row.at >= start)]


def key_order(key: Key) -> list[tuple[bool, object]]:
    """What orders keys: column by column, nulls lowest."""
    return [(value is not None, value) for value in key]
