"""Rows of one entity, found in files of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.dtypes import Value
from featurestore.errors import OfflineStoreError

Entity = Mapping[str, Value]


def is_entity(columns: Mapping[str, pa.ChunkedArray | pa.Array], entity: Entity) -> pa.ChunkedArray | pa.Array:
    """Where all columns hold the entity's values; null is none."""
    found = None
    for name, value in entity.items():
        same = pc.fill_null(_equal(columns[name], value), False)
        found = same if found is None else pc.and_(found, same)
    return found


def _equal(column: pa.ChunkedArray | pa.Array, value: Value) -> pa.ChunkedArray | pa.Array:
    """Equality in the column's type; by text where the value is none of that type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return pc.equal(column, pa.scalar(value, column.type))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    try:
        return pc.equal(column.cast(pa.string()), str(value))
    except pa.ArrowException:
        return pa.array([False] * len(column))


def rows_of(path: Path, entity: Entity, also: Sequence[str] = ()) -> pa.Table:
    """The entity's rows of a Parquet file: its columns, and those of `also`."""
    names = [*entity, *also]
    try:
        with pq.ParquetFile(path) as file:
            batches = (_plain(batch) for batch in file.iter_batches(columns=names))
            found = [batch.filter(is_entity(_columns(batch), entity)).select(names) for batch in batches]
            schema = _plain(pa.RecordBatch.from_pylist([], file.schema_arrow)).select(names).schema
        return pa.Table.from_batches(found, schema)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise OfflineStoreError(f"{path} cannot be read: {error}.") from error


def named(table: pa.Table, lookups: Iterable[Mapping[str, str]], entity: Entity) -> pa.ChunkedArray | None:
    """Where a row names the entity in one of the lookups, which map join keys to columns; None when no lookup can."""
    found = None
    for keys in lookups:
        if entity.keys() <= keys.keys() and all(keys[name] in table.column_names for name in entity):
            here = is_entity({name: table.column(keys[name]) for name in entity}, entity)
            found = here if found is None else pc.or_(found, here)
    return found


def without(rows: pa.Table, mask: pa.ChunkedArray | pa.Array | None) -> pa.Table:
    """The rows where a mask is false, in their order, of columns of any type: not all of them can be filtered."""
    stays = ~np.asarray(mask, dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], stays, [False]])))
    return pa.concat_tables([rows.slice(0, 0), *(rows.slice(a, b - a) for a, b in edges.reshape(-1, 2).tolist())])


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts and bytes in the layout that pyarrow can filter: delta-rs writes views when it writes rows anew."""
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    columns = [column.cast(views[column.type]) if column.type in views else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {name: batch.column(name) for name in batch.schema.names}
