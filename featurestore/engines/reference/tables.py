"""Scans, stored files and SQL text as Arrow tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from featurestore.arrow import arrow_type
from featurestore.errors import FeatureStoreError, SourceError, closest_first
from featurestore.plan.nodes import (
    Computed,
    CsvScan,
    DeltaScan,
    FrameScan,
    ParquetScan,
    Rows,
    Scan,
    SqlScan,
    StoredRows,
)
from featurestore.timeline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SEQUENCE

INSTANT = pa.timestamp("us", tz="UTC")


def read_scan(scan: Scan) -> pa.Table:
    """All rows of a scan, in its order; a SQL result is ordered by all its columns, nulls lowest."""
    where = f"Source '{scan.name}'"
    match scan:
        case FrameScan():
            return pa.ipc.open_stream(scan.data).read_all()
        case ParquetScan():
            files = _files(where, scan.path, ".parquet")
            return _concatenated(where, files, lambda file: _read_parquet(file, scan.hive_partitions))
        case CsvScan():
            parse = pa.csv.ParseOptions(delimiter=scan.delimiter)
            nulls = pa.csv.ConvertOptions(strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False)
            files = _files(where, scan.path, ".csv")
            return _concatenated(where, files, lambda file: pa.csv.read_csv(file, None, parse, nulls))
        case DeltaScan():
            try:
                files = sorted(DeltaTable(scan.path, version=scan.version).file_uris())
            except DeltaError as error:
                raise SourceError(f"{where}: no Delta table can be read at {scan.path}: {error}") from error
            return _concatenated(where, files, lambda file: _read_parquet(file, hive_partitions=True))
        case SqlScan():
            query = f"SELECT * FROM ({scan.sql.strip().rstrip(';')}\n) ORDER BY ALL NULLS FIRST"
            return run_sql(query, scan.inputs, where, SourceError)


def run_sql(sql: str, scans: tuple[Scan, ...], where: str, wrong: type[FeatureStoreError]) -> pa.Table:
    """The result of one query over scans, visible to it under their names; raises `wrong` when it fails."""
    return run_sql_on(sql, {scan.name: read_scan(scan) for scan in scans}, where, wrong)


def run_sql_on(sql: str, tables: dict[str, pa.Table], where: str, wrong: type[FeatureStoreError]) -> pa.Table:
    """The result of one query over tables; raises `wrong` when it fails or is no query."""
    with duckdb.connect() as connection:
        for setting in ("TimeZone = 'UTC'", "python_enable_replacements = false", "enable_external_access = false"):
            connection.execute(f"SET {setting}")
        for name, table in tables.items():
            connection.register(name, table)
        try:
            statements = connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise wrong(f"{where}: {sql!r} is not one query; give exactly one SELECT.")
            return connection.sql(statements[0]).to_arrow_table()
        except duckdb.Error as error:
            raise wrong(f"{where}: the SQL {sql!r} fails: {error}") from error


def column_types(table: pa.Table) -> tuple[tuple[str, str], ...]:
    """Names and DuckDB-spelled types of a table's columns."""
    with duckdb.connect() as connection:
        relation = connection.from_arrow(table)
        return tuple(zip(relation.columns, map(str, relation.types), strict=True))


def canonical_table(rows: Rows) -> pa.Table:
    """A view's rows: keys, event time, created time, sequence, columns in their logical types, then extra columns.

    Times that a source does not have are null.
    """
    if isinstance(rows, StoredRows):
        return _stored_table(rows)
    source, where = read_scan(rows.scan), f"FeatureView '{rows.view}', source '{rows.scan.name}'"
    columns = {key.name: _computed(source, key, where) for key in rows.keys}
    for name, time in ((EVENT_TIMESTAMP, rows.event_timestamp), (CREATED_TIMESTAMP, rows.created_timestamp)):
        missing = pa.nulls(source.num_rows, INSTANT)
        columns[name] = instants(_column(source, time, where), f"{where}: column '{time}'") if time else missing
    columns[SEQUENCE] = pa.array(range(source.num_rows), pa.int64())
    columns |= {column.name: _computed(source, column, where) for column in rows.columns}
    columns |= {name: _column(source, name, where) for name in rows.extra}
    return pa.table(columns)


def instants(column: pa.ChunkedArray, where: str, wrong: type[FeatureStoreError] = SourceError) -> pa.ChunkedArray:
    """A column of instants in microseconds; raises `wrong` for other types, no time zone, and finer than that."""
    if not pa.types.is_timestamp(column.type):
        raise wrong(f"{where} must hold timestamps, found {column.type}.")
    if column.type.tz is None:
        raise wrong(f"{where} holds timestamps without a time zone; say which instants they are by giving them one.")
    try:
        return column.cast(INSTANT)
    except pa.ArrowInvalid as error:
        raise wrong(f"{where} holds instants that are no microseconds; round them first: {error}") from error


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _stored_table(rows: StoredRows) -> pa.Table:
    fields = [(key.name, arrow_type(key.dtype)) for key in rows.keys]
    fields += [(EVENT_TIMESTAMP, INSTANT), (CREATED_TIMESTAMP, INSTANT), (SEQUENCE, pa.int64())]
    fields += [(column.name, arrow_type(column.dtype)) for column in rows.columns]
    schema = pa.schema(fields)
    files = [pq.ParquetFile(file).read(columns=schema.names) for file in rows.files]
    return pa.concat_tables([schema.empty_table(), *(file.select(schema.names).cast(schema) for file in files)])


def _computed(source: pa.Table, computed: Computed, where: str) -> pa.ChunkedArray:
    target = arrow_type(computed.dtype)
    if computed.expression is None:
        what = f"{where}: column '{computed.column}'"
        column = _column(source, computed.column, where)
    else:
        what = f"{where}: '{computed.name}'"
        query = f"SELECT ({computed.expression}\n) FROM source"
        column = run_sql_on(query, {"source": source}, what, SourceError).column(0)
    if target == INSTANT and not pa.types.is_null(column.type):
        return instants(column, what)
    try:
        return _cast(decoded(column), target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(f"{what} holds {column.type} that is no {computed.dtype}: {error}") from error


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """The values in another type; raises ArrowInvalid when one would be lost, or is a null inside a vector."""
    if pa.types.is_decimal(target) and pa.types.is_integer(column.type):
        column = column.cast(pa.decimal128(20, 0))  # Arrow would ask for room for every integer, not for those here
    cast = column.cast(target)
    if pa.types.is_fixed_size_list(target) and pc.list_flatten(cast).null_count:
        raise pa.ArrowInvalid("a vector holds a null")
    return cast


def _column(source: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in source.column_names:
        listing = ", ".join(closest_first(name, source.column_names))
        raise SourceError(f"{where}: there is no column '{name}'. Columns: {listing}.")
    return source.column(name)


def _files(where: str, path: str, suffix: str) -> list[str]:
    """The files at a path: itself, all of that suffix below a directory, or those that a glob matches."""
    place = Path(path)
    pattern = str(place.relative_to(place.anchor))
    found = place.rglob(f"*{suffix}") if place.is_dir() else Path(place.anchor).glob(pattern)
    files = sorted(str(file) for file in found if file.is_file())
    if not files:
        raise SourceError(f"{where}: there is no {suffix} file at {path}.")
    return files


def _concatenated(where: str, files: Iterable[str], read: Callable[[str], pa.Table]) -> pa.Table:
    tables = []
    for file in files:
        try:
            tables.append(read(file))
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{where}: {file} cannot be read: {error}") from error
    return pa.concat_tables(tables, promote_options="permissive")


def _read_parquet(file: str, hive_partitions: bool) -> pa.Table:
    table = pq.ParquetFile(file).read()
    folders = [part.split("=", 1) for part in Path(file).parts[:-1] if "=" in part] if hive_partitions else []
    for name, value in folders:
        if name not in table.column_names:
            table = table.append_column(name, pa.array([unquote(value)] * table.num_rows, pa.string()))
    return table
