"""Tiny view tables written as literals, in both forms an engine meets them, and comparison bit for bit.

Instants are int microseconds since 1970 throughout: 10 is as good an instant as any date, and easier to check.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.arrow import arrow_type
from featurestore.dtypes import DType, Int64, String, stored_type
from featurestore.plan.nodes import Column, Computed, FrameScan, Rows, Scan, SourceRows, StoredRows
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE

INSTANT = pa.timestamp("us", tz="UTC")
VIEW = "view"

Literal = tuple[object, ...]
Layout = Callable[["ViewTable"], Rows]


@dataclass(frozen=True, slots=True)
class ViewTable:
    """The rows of a view: `cells` has the keys and the columns by name, one Arrow array each, in ingestion order.

    `events` None: timeless. `created` None: the source tells no created times. `deleted` None: it has no markers.
    """

    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    cells: Mapping[str, pa.Array]
    events: Sequence[int | None] | None
    created: Sequence[int | None] | None = None
    deleted: Sequence[bool | None] | None = None

    @property
    def size(self) -> int:
        """How many rows there are."""
        arrays = [*self.cells.values(), *(times for times in (self.events, self.created) if times is not None)]
        return len(arrays[0]) if arrays else 0


def view_table(*rows: Literal, dtype: DType = Int64, key: DType = String) -> ViewTable:
    """A view keyed by `k` with one column `x`; a row is (key, event time, value)."""
    keys, events, values = _transposed(rows, 3)
    return _one_column(keys, events, None, values, (key, dtype))


def corrected_table(*rows: Literal, dtype: DType = Int64, key: DType = String) -> ViewTable:
    """A view keyed by `k` with one column `x`; a row is (key, event time, created time, value)."""
    keys, events, created, values = _transposed(rows, 4)
    return _one_column(keys, events, created, values, (key, dtype))


def marked_table(*rows: Literal, dtype: DType = Int64, key: DType = String) -> ViewTable:
    """A view keyed by `k` with one column `x` whose rows may be markers.

    A row is (key, event time, created time, value), a marker (key, event time, created time).
    """
    keys, events, created, values = _transposed([(*row, None)[:4] for row in rows], 4)
    view = _one_column(keys, events, created, values, (key, dtype))
    return replace(view, deleted=[len(row) == 3 for row in rows])


def timeless_table(*rows: Literal, dtype: DType = Int64, key: DType = String) -> ViewTable:
    """A timeless view keyed by `k` with one column `x`; a row is (key, value)."""
    keys, values = _transposed(rows, 2)
    return _one_column(keys, None, None, values, (key, dtype))


def global_table(*rows: Literal, dtype: DType = Int64) -> ViewTable:
    """A view without keys, with one column `x`; a row is (event time, value)."""
    events, values = _transposed(rows, 2)
    return ViewTable((), (Column("x", dtype),), {"x": array(values, dtype)}, _micros(events))


def with_column(
    view: ViewTable, name: str, values: Iterable[object], dtype: DType = String, *, key: bool = False
) -> ViewTable:
    """The view with one more column, or with one more key."""
    added, cells = (Column(name, dtype),), {**view.cells, name: array(values, dtype)}
    if key:
        return replace(view, keys=view.keys + added, cells=cells)
    return replace(view, columns=view.columns + added, cells=cells)


def array(values: Iterable[object], dtype: DType) -> pa.Array:
    """Python values (int microseconds for instants) as an Arrow array of a logical type."""
    return pa.array(list(values), arrow_type(dtype))


def instants(values: Iterable[object], unit: str = "us", zone: str | None = "UTC") -> pa.Array:
    """Ints as an Arrow array of instants."""
    return pa.array(list(values), pa.timestamp(unit, tz=zone))


def frame_scan(columns: Mapping[str, pa.Array] | pa.Table, name: str = "rows") -> FrameScan:
    """Literal rows as a scan."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return FrameScan(name, sink.getvalue().to_pybytes())


def source_columns(view: ViewTable) -> dict[str, pa.Array]:
    """The columns of a source that holds the view's rows: `happened`, `recorded`, `removed`, keys and columns."""
    columns = dict(view.cells)
    if view.events is not None:
        columns["happened"] = instants(view.events)
    if view.created is not None:
        columns["recorded"] = instants(view.created)
    if view.deleted is not None:
        columns["removed"] = pa.array(view.deleted, pa.bool_())
    return columns


def source_rows(view: ViewTable, scan: Scan | None = None) -> SourceRows:
    """The view computed from a source: literal rows, or another scan of the same columns."""
    return SourceRows(
        VIEW,
        scan or frame_scan(source_columns(view)),
        keys=tuple(Computed(key.name, key.dtype, key.name) for key in view.keys),
        event_timestamp=None if view.events is None else "happened",
        created_timestamp=None if view.created is None else "recorded",
        columns=tuple(Computed(column.name, column.dtype, column.name) for column in view.columns),
        deleted=None if view.deleted is None else "removed",
    )


def stored_rows(view: ViewTable, folder: Path, rows_per_file: int = 2, first: int = 0) -> StoredRows:
    """The view as committed: small Parquet files whose order is the reverse of the ingestion order.

    Sequences are counted from `first`.
    """
    columns: dict[str, pa.Array] = {}
    for column in (*view.keys, *view.columns):
        columns[column.name] = view.cells[column.name].cast(arrow_type(stored_type(column.dtype)))
    none = [None] * view.size
    columns[EVENT_TIMESTAMP] = instants(none if view.events is None else view.events)
    columns[CREATED_TIMESTAMP] = instants(none if view.created is None else view.created)
    columns[SEQUENCE] = pa.array(range(first, first + view.size), pa.int64())
    if view.deleted is not None:
        columns[DELETED] = pa.array([mark is True for mark in view.deleted], pa.bool_())
    table = pa.table(columns).take(pa.array(range(view.size - 1, -1, -1), pa.int64()))
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, view.size, rows_per_file):
        files.append(folder / f"{start}.parquet")
        pq.write_table(table.slice(start, rows_per_file), files[-1])
    return StoredRows(
        VIEW,
        tuple(map(str, files)),
        view.keys,
        view.columns,
        timeless=view.events is None,
        has_created=any(created is not None for created in view.created or ()),
        has_ties=_has_ties(view),
        deleted=view.deleted is not None,
    )


def bits(value: object) -> object:
    """The value in a form whose equality is that of its bits and type, all NaN being one."""
    match value:
        case float():
            return "NaN" if math.isnan(value) else struct.pack("<d", value)
        case list() | tuple():
            return [bits(item) for item in value]
        case dict():
            return {name: bits(item) for name, item in value.items()}
        case _:
            return (type(value).__name__, value)


def assert_same(actual: pa.Table, expected: pa.Table) -> None:
    """Fail unless names, types, order and bits of two tables are the same."""
    assert actual.column_names == expected.column_names
    for name in expected.column_names:
        assert (name, actual.column(name).type) == (name, expected.column(name).type)
        assert (name, bits(python_list(actual.column(name)))) == (name, bits(python_list(expected.column(name))))


def python_list(column: pa.ChunkedArray) -> list[object]:
    """The values of a column; times as plain integers, so that none is too fine or too far for Python."""
    arrow = column.type
    if pa.types.is_timestamp(arrow) or pa.types.is_duration(arrow) or pa.types.is_time64(arrow):
        column = column.cast(pa.int64())
    values: list[object] = column.to_pylist()
    return values


def _transposed(rows: Sequence[Literal], width: int) -> list[list[object]]:
    return [[row[place] for row in rows] for place in range(width)]


def _one_column(
    keys: list[object],
    events: list[object] | None,
    created: list[object] | None,
    values: list[object],
    types: tuple[DType, DType],
) -> ViewTable:
    key, dtype = types
    cells = {"k": array(keys, key), "x": array(values, dtype)}
    return ViewTable((Column("k", key),), (Column("x", dtype),), cells, _micros(events), _micros(created))


def _micros(values: list[object] | None) -> list[int | None] | None:
    return None if values is None else [value if isinstance(value, int) else None for value in values]


def _has_ties(view: ViewTable) -> bool:
    keys = zip(*(python_list(view.cells[key.name]) for key in view.keys), strict=True) if view.keys else None
    steps = list(zip(keys or [()] * view.size, view.events or [0] * view.size, strict=True))
    return len(set(steps)) < len(steps)
