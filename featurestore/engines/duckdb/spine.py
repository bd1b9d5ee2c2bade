"""The spine: its rows untouched, and beside them what a join needs of it, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import arrow
from featurestore.arrow import arrow_type
from featurestore.dtypes import DType
from featurestore.engines.base import FileSpine, FrameSpine, QuerySpine, Spine
from featurestore.engines.duckdb.connection import Session
from featurestore.engines.duckdb.errors import missing_column, translated
from featurestore.engines.duckdb.reading import BATCH_ROWS, read, schema_of
from featurestore.engines.duckdb.scan import named_in, statement, with_tables
from featurestore.engines.duckdb.text import quoted
from featurestore.errors import InputError
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin
from featurestore.plan.nodes import Column, Computed
from featurestore.plan.windows import WindowJoin

WHAT = "Spine"
_QUERIES = count()  # tables of query spines need names that differ


class OpenSpine(Protocol):
    """A spine that can be read more than once."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""
        ...

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows in order; some columns, or all."""
        ...


@dataclass(frozen=True, slots=True)
class _Frame:
    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        table = self.table if columns is None else self.table.select(columns)
        yield from table.to_batches(BATCH_ROWS)


@dataclass(frozen=True, slots=True)
class _File:
    file: pq.ParquetFile

    @property
    def schema(self) -> pa.Schema:
        return self.file.schema_arrow

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        with translated(WHAT, InputError):
            yield from self.file.iter_batches(BATCH_ROWS, columns=columns)


@dataclass(frozen=True, slots=True)
class _Table:
    """A query's result, kept in a table of the in-memory database, which spills to disk."""

    session: Session
    name: str
    schema: pa.Schema

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = ", ".join(quoted(name) for name in columns or self.schema.names)
        with self.session.cursor() as cursor:
            yield from read(cursor, f"SELECT {names} FROM {self.name}", WHAT, raised=InputError)


@contextmanager
def opened(session: Session, spine: Spine) -> Iterator[OpenSpine]:
    """The spine, to be read; raises InputError when it cannot be, or two columns share a name."""
    match spine:
        case FrameSpine():
            yield _distinct(_Frame(spine.table))
        case FileSpine():
            if not spine.path.exists():
                raise InputError(f"{WHAT}: there is no file '{spine.path}'. Correct the path.")
            with translated(f"{WHAT} '{spine.path}'", InputError):
                file = pq.ParquetFile(spine.path)
            with file:
                yield _distinct(_File(file))
        case QuerySpine():
            with _queried(session, spine) as table:
                yield _distinct(table)
        case _:
            raise NotImplementedError(f"The duckdb engine has no spine {type(spine).__name__}.")


@contextmanager
def _queried(session: Session, spine: QuerySpine) -> Iterator[_Table]:
    name = f"__spine_{next(_QUERIES)}"
    with session.cursor() as cursor:
        query = statement(cursor, spine.sql, WHAT)
        inputs = named_in(spine.sql, spine.inputs)
        with translated(WHAT, InputError):
            cursor.execute(f"CREATE TABLE {name} AS {with_tables(cursor, inputs)}SELECT * FROM (\n{query}\n)")
            schema = schema_of(cursor, name)
        try:
            yield _Table(session, name, schema)
        finally:
            cursor.execute(f"DROP TABLE {name}")


def _distinct(spine: OpenSpine) -> OpenSpine:
    names = spine.schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{WHAT}: two columns are named '{twice[0]}'; rename one.")
    return spine


@dataclass(frozen=True, slots=True)
class SpineKeys:
    """What the joins read: row number `__row`, instant `__at`, and a column for each pair of column and key type."""

    table: pa.Table
    columns: dict[tuple[str, DType], str]


def spine_keys(spine: OpenSpine, plan: HistoricalPlan) -> SpineKeys:
    """The spine's row numbers, instants (int64 microseconds) and join keys; raises InputError for other types."""
    pairs = dict.fromkeys((dict(join.keys)[key.name], key.dtype) for join in plan.joins for key in join.rows.keys)
    columns = {pair: f"__key_{place}" for place, pair in enumerate(pairs)}
    needed = list(dict.fromkeys([plan.timestamp, *(name for name, _ in pairs)]))
    for name in needed:
        if name not in spine.schema.names:
            named = " Or name the one that holds the instants, as timestamp." if name == plan.timestamp else ""
            raise InputError(f"{missing_column(WHAT, name, spine.schema.names)}{named}")
    found = pa.Table.from_batches(spine.batches(needed), pa.schema([spine.schema.field(name) for name in needed]))
    at = arrow.instants(found.column(plan.timestamp), plan.timestamp, WHAT)
    keys = {column: _key(found.column(name), name, dtype, WHAT) for (name, dtype), column in columns.items()}
    table = pa.table({"__row": pa.arange(0, found.num_rows, 1), "__at": at, **keys})
    return SpineKeys(table, columns)


def entity_keys(entities: pa.Table, join: PointInTimeJoin | WindowJoin) -> SpineKeys:
    """Join keys that are asked for at no instant, `__at` being null; raises InputError for other types."""
    what, named = "Entities", dict(join.keys)
    keyed: tuple[Column | Computed, ...] = join.rows.keys
    columns = {(named[key.name], key.dtype): f"__key_{place}" for place, key in enumerate(keyed)}
    for name, _ in columns:
        if name not in entities.column_names:
            raise InputError(missing_column(what, name, entities.column_names))
    keys = {column: _key(entities.column(name), name, dtype, what) for (name, dtype), column in columns.items()}
    count = entities.num_rows
    return SpineKeys(pa.table({"__row": pa.arange(0, count, 1), "__at": pa.nulls(count, pa.int64()), **keys}), columns)


def _key(column: pa.ChunkedArray, name: str, dtype: DType, what: str) -> pa.ChunkedArray:
    column = _decoded(column)
    target = arrow_type(dtype)
    if pa.types.is_null(column.type):
        return column.cast(target)
    if _family(column.type) != _family(target):
        raise InputError(
            f"{what}: column '{name}' is a join key and must hold {dtype}, found {column.type}. Cast the column."
        )
    if _family(target) == "instant":
        return arrow.instants(column, name, what).cast(target)
    return column.cast(target) if pa.types.is_date(column.type) else column


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as their values; text views, which polars makes, become text, for Arrow cannot take from them."""
    if not pa.types.is_dictionary(column.type):
        return column
    found = column.type.value_type
    values = pa.large_string() if pa.types.is_string_view(found) else found
    return pa.chunked_array([part.dictionary.cast(values).take(part.indices) for part in column.chunks], values)


def _family(found: pa.DataType) -> str:
    """Types whose values compare with each other: integers of all widths, texts of all layouts and so on."""
    match found:
        case _ if pa.types.is_integer(found):
            return "integer"
        case _ if pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found):
            return "text"
        case _ if pa.types.is_binary(found) or pa.types.is_large_binary(found) or pa.types.is_binary_view(found):
            return "bytes"
        case _ if pa.types.is_date(found):
            return "date"
        case _ if pa.types.is_timestamp(found):
            return "instant"
        case _:
            return str(found)
