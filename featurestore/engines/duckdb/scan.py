"""Scans as relations.

Rows count as ingested in the order of file path and row: that place is their sequence, and nothing is sorted to get
it. Only the result of a SQL query has no such order; its rows are ordered by content: ascending, column by column,
nulls lowest.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count

import duckdb
import pyarrow as pa

from featurestore.engines.duckdb.delta import delta_relation
from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.files import list_files, pattern
from featurestore.engines.duckdb.relation import Relation, columns_of, file_place
from featurestore.engines.duckdb.text import listed, literal, literals, quoted, unused
from featurestore.errors import InputError, SourceError
from featurestore.plan.nodes import CsvScan, DeltaScan, FrameScan, ParquetScan, Scan, SqlScan, ViewScan

_FRAMES = count()  # registered frames need names that differ


def relation(cursor: duckdb.DuckDBPyConnection, scan: Scan, as_text: Collection[str] = ()) -> Relation:
    """The rows of a scan; raises SourceError when it cannot be read.

    Types of columns in `as_text` are not guessed where the source knows text only (CSV, folder names).
    """
    what = f"Source '{scan.name}'"
    with translated(what):
        match scan:
            case ParquetScan():
                return _parquet(cursor, scan, what, as_text)
            case CsvScan():
                return _csv(cursor, scan, what, as_text)
            case DeltaScan():
                return delta_relation(cursor, scan, what)
            case FrameScan():
                return _frame(cursor, scan, what)
            case SqlScan():
                return _sql(cursor, scan, what)
            case ViewScan():
                return _table(cursor, _steps(cursor, scan), what)
    raise NotImplementedError(f"The duckdb engine has no scan {type(scan).__name__}.")


def with_tables(cursor: duckdb.DuckDBPyConnection, scans: tuple[Scan, ...]) -> str:
    """A WITH clause that names each scan; empty when there is none."""
    tables = [f"{quoted(scan.name)} AS NOT MATERIALIZED ({relation(cursor, scan).rows()})" for scan in scans]
    return f"WITH {listed(tables)} " if tables else ""


def named_in(sql: str, scans: tuple[Scan, ...]) -> tuple[Scan, ...]:
    """The scans whose name stands somewhere in the query: the others need not even be readable."""
    text = sql.casefold()
    return tuple(scan for scan in scans if scan.name.casefold() in text)


def statement(cursor: duckdb.DuckDBPyConnection, sql: str, what: str) -> str:
    """The text of the one SELECT in a user's SQL, which DuckDB's own parser found whole: it may stand in brackets."""
    with translated(what, InputError):
        found = cursor.extract_statements(sql)
    if len(found) != 1 or found[0].type is not duckdb.StatementType.SELECT:
        raise InputError(f"{what}: it is no SELECT; a query reads, so write one SELECT or WITH ... SELECT.")
    from featurestore.sql import without_end

    return without_end(sql)


def _parquet(cursor: duckdb.DuckDBPyConnection, scan: ParquetScan, what: str, as_text: Collection[str]) -> Relation:
    found = list_files(scan.path, ".parquet", what)
    files = literals(pattern(file) for file in found)
    options = ["hive_partitioning = false"]
    if len(found) > 1:
        options.append("union_by_name = true")
    texts: frozenset[str] = frozenset()
    if scan.hive_partitions:
        folders = {part.partition("=")[0] for part in found[0].split("/")[:-1] if "=" in part}
        texts = frozenset(folders)
        kept = listed(f"{literal(name)}: VARCHAR" for name in sorted(folders & set(as_text)))
        options[0] = "hive_partitioning = true" + (f", hive_types = {{{kept}}}" if kept else "")
    table = f"read_parquet({listed([files, *options])})"
    columns = columns_of(cursor, table)
    place = file_place(cursor, files, len(found), columns, what)
    return Relation(what, table, columns, place, texts & set(columns))


def _csv(cursor: duckdb.DuckDBPyConnection, scan: CsvScan, what: str, as_text: Collection[str]) -> Relation:
    found = list_files(scan.path, ".csv", what)
    options = [
        literals(pattern(file) for file in found),
        f"delim = {literal(scan.delimiter)}",
        "header = true",
        "sample_size = -1",  # types come from all rows: a late value must not change what the first ones are
        "allow_quoted_nulls = false",
        "union_by_name = true",
    ]
    guessed = columns_of(cursor, f"read_csv({listed(options)})")
    kept = listed(f"{literal(name)}: 'VARCHAR'" for name in guessed if name in as_text)
    if kept:
        options.append(f"types = {{{kept}}}")
    table = f"(SELECT *, row_number() OVER () - 1 AS __row FROM read_csv({listed(options)}))"
    columns = {name: "VARCHAR" if name in as_text else found_type for name, found_type in guessed.items()}
    return Relation(what, table, columns, "__row", frozenset(columns))


def _frame(cursor: duckdb.DuckDBPyConnection, scan: FrameScan, what: str) -> Relation:
    return _table(cursor, pa.ipc.open_stream(scan.data).read_all(), what)


def _steps(cursor: duckdb.DuckDBPyConnection, scan: ViewScan) -> pa.Table:
    from featurestore.engines.duckdb.windows import step_rows  # a view's rows are read from scans in their turn

    with cursor.cursor() as own:  # its temporary tables are not those of who reads the steps
        return step_rows(own, scan)


def _table(cursor: duckdb.DuckDBPyConnection, frame: pa.Table, what: str) -> Relation:
    name = f"__frame_{next(_FRAMES)}"
    place = unused("__row", frame.column_names)
    cursor.register(name, frame.append_column(place, pa.array(range(frame.num_rows), pa.int64())))
    columns = columns_of(cursor, name)
    del columns[place]
    return Relation(what, name, columns, quoted(place))


def _sql(cursor: duckdb.DuckDBPyConnection, scan: SqlScan, what: str) -> Relation:
    from featurestore.sql import check_query  # takes a while to import, and few sources are queries

    try:
        check_query(scan.sql, [source.name for source in scan.inputs])
    except InputError as error:
        raise SourceError(f"{what}: {error}") from error
    rows = f"({with_tables(cursor, scan.inputs)}SELECT * FROM (\n{statement(cursor, scan.sql, what)}\n))"
    columns = columns_of(cursor, rows)
    place = quoted(unused("__row", columns))
    order = listed(f"{quoted(column)} ASC NULLS FIRST" for column in columns)
    table = f"(SELECT *, row_number() OVER (ORDER BY {order}) - 1 AS {place} FROM {rows})"
    return Relation(what, table, columns, place)
