"""What holds of every chunk, with or without a contract: declared columns and types, keys, times, vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import logical_type
from featurestore.contracts.failures import Failure, Mask
from featurestore.dtypes import Bool, Timestamp, Vector
from featurestore.plan.nodes import DELETED, EVENT_TIMESTAMP, Column

NOT_NULL = "not_nullable"  # as pandera calls it: the same rule, whoever sets it


@dataclass(frozen=True, slots=True)
class Shape:
    """What a view declares of its rows. A timeless view has no event time and one row per key; `marked` ones tell
    which rows are markers.
    """

    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    timeless: bool = False
    marked: bool = False

    @property
    def declared(self) -> tuple[Column, ...]:
        """Every column that a chunk must have: keys, event time, marker, columns."""
        times = () if self.timeless else (Column(EVENT_TIMESTAMP, Timestamp),)
        marker = (Column(DELETED, Bool),) if self.marked else ()
        return (*self.keys, *times, *marker, *self.columns)

    @property
    def never_null(self) -> tuple[str, ...]:
        """The columns without which a row can neither be found nor ordered."""
        return tuple(column.name for column in self.declared if column not in self.columns)


def structure_failures(chunk: pa.Table, shape: Shape) -> tuple[Failure, ...]:
    """Missing columns and wrong types; none of them can be waived, and nothing else can be judged beside them."""
    return tuple(_structure_failures(chunk.schema, shape))


def _structure_failures(schema: pa.Schema, shape: Shape) -> Iterator[Failure]:
    for column in shape.declared:
        at = schema.get_field_index(column.name)
        if at < 0:
            yield Failure("column_in_dataframe", column.name, found="no such column", waivable=False)
        elif logical_type(schema.field(at).type) != column.dtype:
            found = str(schema.field(at).type)
            yield Failure(f"type {column.dtype}", column.name, found=found, waivable=False)


def row_failures(chunk: pa.Table, shape: Shape) -> tuple[Failure, ...]:
    """Null keys and event times, vectors that hold a null, and the duplicate keys of a timeless view.

    None of them can be waived: no lookup would ever find such a row, or two would answer one.
    """
    return tuple(_row_failures(chunk, shape))


def _row_failures(chunk: pa.Table, shape: Shape) -> Iterator[Failure]:
    for name in shape.never_null:
        if chunk.column(name).null_count:
            rows: Mask = pc.is_null(chunk.column(name)).to_numpy()
            yield Failure(NOT_NULL, name, rows, row_wise=True, waivable=False)
    for column in shape.columns:
        if isinstance(column.dtype, Vector):
            holed = pl.DataFrame(chunk.select([column.name]))[column.name].arr.contains(None, nulls_equal=True)
            if holed.any():
                yield Failure("no null in a vector", column.name, holed.fill_null(False).to_numpy(), None, True, False)
    if shape.timeless and (twins := _duplicate_keys(chunk, shape)).any():
        yield Failure("one row per key", None, twins, row_wise=False, waivable=False)


def _duplicate_keys(chunk: pa.Table, shape: Shape) -> Mask:
    """True where another row has the same key; a row without a key is nobody's twin."""
    if not shape.keys:
        return np.full(chunk.num_rows, chunk.num_rows > 1)
    keys = pl.DataFrame(chunk.select([key.name for key in shape.keys]))
    complete = keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    return (keys.is_duplicated() & complete).to_numpy()
