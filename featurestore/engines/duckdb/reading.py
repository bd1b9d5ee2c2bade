"""Results as Arrow readers: exact types, and failures as sentences also while a result is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import arrow_type
from featurestore.dtypes import DType
from featurestore.engines.duckdb.errors import What, translated
from featurestore.errors import FeatureStoreError, SourceError

BATCH_ROWS = 131_072


def read(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    what: What,
    types: Iterable[tuple[str, DType]] = (),
    raised: type[FeatureStoreError] = SourceError,
    columns: Iterable[str] = (),
) -> pa.RecordBatchReader:
    """The result of a query, in its order; columns named in `types` get exactly that logical type's Arrow type.

    `columns` are listed when the query names one that does not exist.
    """
    with translated(what, raised, columns):
        found = _reader(cursor, sql)
    exact = {name: arrow_type(dtype) for name, dtype in types}
    schema = pa.schema([pa.field(f.name, exact.get(f.name, f.type)) for f in found.schema])
    return pa.RecordBatchReader.from_batches(schema, _batches(found, schema, what, raised))


def schema_of(cursor: duckdb.DuckDBPyConnection, table: str) -> pa.Schema:
    """Names and Arrow types of a table's columns."""
    return _reader(cursor, f"SELECT * FROM {table} LIMIT 0").schema


def _reader(cursor: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    found = cursor.sql(sql).to_arrow_reader(BATCH_ROWS)  # of execute(): a copy of all rows first
    assert found is not None  # DuckDB's stub says it may be
    return found


def _batches(
    found: pa.RecordBatchReader, schema: pa.Schema, what: What, raised: type[FeatureStoreError]
) -> Iterator[pa.RecordBatch]:
    with translated(what, raised):
        for batch in found:
            columns = [
                column if column.type.equals(field.type) else column.cast(field.type)
                for column, field in zip(batch.columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def first_of_each(found: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The first row of each run of rows with the same number in the first column, without that column."""
    schema = pa.schema(list(found.schema)[1:])
    return pa.RecordBatchReader.from_batches(schema, _firsts(found))


def _firsts(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    last: pa.Array | None = None
    for batch in found:
        numbers = batch.column(0)
        if len(numbers) == 0:
            continue
        last = pc.bit_wise_not(numbers[:1]) if last is None else last  # no number equals its complement
        new = pc.not_equal(numbers, pa.concat_arrays([last, numbers[:-1]]))
        last = numbers[-1:]
        rows = batch.select(batch.schema.names[1:])
        yield rows if new.true_count == len(new) else rows.filter(new)
