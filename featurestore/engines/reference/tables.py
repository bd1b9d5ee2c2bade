"""Scans, stored files and SQL text as Arrow tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from featurestore.arrow import arrow_type
from featurestore.dtypes import Bool, String
from featurestore.engines.reference.steps import step_rows
from featurestore.engines.reference.values import INSTANT, converted, instants
from featurestore.errors import FeatureStoreError, InputError, SourceError, closest_first
from featurestore.plan.nodes import (
    Computed,
    CsvScan,
    DeltaScan,
    FrameScan,
    ParquetScan,
    Rows,
    Scan,
    SourceRows,
    SqlScan,
    StoredRows,
    ViewScan,
)
from featurestore.sql import check_expression, check_query
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE


def read_scan(scan: Scan, as_text: str | None = None) -> pa.Table:
    """All rows of a scan, in its order; a SQL result is ordered by all its columns, nulls lowest.

    Types of CSV columns are guessed, but for `as_text`.
    """
    where = f"Source '{scan.name}'"
    match scan:
        case FrameScan():
            return pa.ipc.open_stream(scan.data).read_all()
        case ParquetScan():
            files = _files(where, scan.path, ".parquet")
            return _concatenated(where, files, lambda file: _read_parquet(file, scan.hive_partitions))
        case CsvScan():
            parse = pa.csv.ParseOptions(delimiter=scan.delimiter)
            convert = pa.csv.ConvertOptions(
                column_types={as_text: pa.string()} if as_text else {},
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            )
            files = _files(where, scan.path, ".csv")
            return _concatenated(where, files, lambda file: pa.csv.read_csv(file, None, parse, convert))
        case DeltaScan():
            try:
                files = sorted(DeltaTable(scan.path, version=scan.version).file_uris())
            except DeltaError as error:
                raise SourceError(f"{where}: no Delta table can be read at {scan.path}: {error}") from error
            return _concatenated(where, files, lambda file: _read_parquet(file, hive_partitions=True))
        case SqlScan():
            _check_query(scan, where)
            query = f"SELECT * FROM ({scan.sql.strip().rstrip(';')}\n) ORDER BY ALL NULLS FIRST"
            return run_sql(query, scan.inputs, where, SourceError)
        case ViewScan():
            return step_rows(scan, canonical_table(scan.steps.rows))


def _check_query(scan: SqlScan, where: str) -> None:
    try:
        check_query(scan.sql, [source.name for source in scan.inputs])
    except InputError as error:
        raise SourceError(f"{where}: {error}") from error


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


def run_expression(table: pa.Table, expression: str, where: str, wrong: type[FeatureStoreError]) -> pa.ChunkedArray:
    """The value of an expression for each row; raises `wrong` when it fails or may not stand in a declaration."""
    try:
        check_expression(expression)
    except InputError as error:
        raise wrong(f"{where}: {error}") from error
    return run_sql_on(f"SELECT ({expression}\n) FROM source", {"source": table}, where, wrong).column(0)


def column_types(table: pa.Table) -> tuple[tuple[str, str], ...]:
    """Names and DuckDB-spelled types of a table's columns."""
    with duckdb.connect() as connection:
        relation = connection.from_arrow(table)
        return tuple(zip(relation.columns, map(str, relation.types), strict=True))


def canonical_table(rows: Rows) -> pa.Table:
    """A view's rows: keys, event time, created time, sequence, columns in their logical types, then extra columns.

    Times that a source does not have are null. Where rows may be markers `__deleted` stands behind the sequence.
    """
    if isinstance(rows, StoredRows):
        return _stored_table(rows)
    source, where = read_scan(rows.scan), f"FeatureView '{rows.view}', source '{rows.scan.name}'"
    columns = {key.name: _computed(rows, source, key, where) for key in rows.keys}
    for name, time in ((EVENT_TIMESTAMP, rows.event_timestamp), (CREATED_TIMESTAMP, rows.created_timestamp)):
        missing = pa.nulls(source.num_rows, INSTANT)
        columns[name] = instants(_column(source, time, where), f"{where}: column '{time}'") if time else missing
    columns[SEQUENCE] = pa.array(range(source.num_rows), pa.int64())
    if rows.deleted is not None:
        marks = _computed(rows, source, Computed(DELETED, Bool, rows.deleted), where)
        columns[DELETED] = pa.chunked_array([[mark is True for mark in marks.to_pylist()]], pa.bool_())
    columns |= {column.name: _computed(rows, source, column, where) for column in rows.columns}
    columns |= {name: _column(source, name, where) for name in rows.extra}
    table = pa.table(columns)
    return (
        table
        if rows.pushed is None
        else pa.concat_tables([table, _stored_table(rows.pushed).select(table.schema.names)])
    )


def _stored_table(rows: StoredRows) -> pa.Table:
    fields = [(key.name, arrow_type(key.dtype)) for key in rows.keys]
    fields += [(EVENT_TIMESTAMP, INSTANT), (CREATED_TIMESTAMP, INSTANT), (SEQUENCE, pa.int64())]
    fields += [(DELETED, pa.bool_())] if rows.deleted else []
    fields += [(column.name, arrow_type(column.dtype)) for column in rows.columns]
    schema = pa.schema(fields)
    files = [pq.ParquetFile(file).read(columns=schema.names) for file in rows.files]
    table = pa.concat_tables([schema.empty_table(), *(file.select(schema.names).cast(schema) for file in files)])
    pushed = [sequence >= FIRST_PUSHED for sequence in table.column(SEQUENCE).to_pylist()]
    if rows.origin == "all":
        return table
    return table.filter(pa.array([is_pushed == (rows.origin == "pushed") for is_pushed in pushed], pa.bool_()))


def _computed(rows: SourceRows, source: pa.Table, computed: Computed, where: str) -> pa.ChunkedArray:
    if computed.expression is not None:
        what = f"{where}: '{computed.name}'"
        values = run_expression(source, computed.expression, what, SourceError)
        return converted(values, computed.dtype, what)
    text_only = isinstance(rows.scan, CsvScan) or (isinstance(rows.scan, ParquetScan) and rows.scan.hive_partitions)
    if isinstance(rows.scan, CsvScan) and computed.dtype == String:
        source = read_scan(rows.scan, as_text=computed.column)
    column = _column(source, computed.column, where)
    return converted(column, computed.dtype, f"{where}: column '{computed.column}'", text_only)


def _column(source: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in source.column_names:
        listing = ", ".join(closest_first(name, source.column_names))
        raise SourceError(f"{where}: there is no column '{name}'. Columns: {listing}.")
    return source.column(name)


def _files(where: str, path: str, suffix: str) -> list[str]:
    """The file at a path, or all of that suffix below a directory that are not hidden, or those a glob matches."""
    place = Path(path)
    if place.is_dir():
        found = [file for file in place.rglob(f"*{suffix}") if not _hidden(file.relative_to(place))]
    elif place.exists():
        found = [place]
    else:
        found = list(Path(place.anchor).glob(str(place.relative_to(place.anchor))))
    files = sorted(str(file) for file in found if file.is_file())
    if not files:
        raise SourceError(f"{where}: there is no {suffix} file at {path}.")
    return files


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


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
