"""What people ask of scans directly: their columns, types of expressions, bounds, and read-only SQL."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

from featurestore.engines.duckdb.errors import translated
from featurestore.engines.duckdb.reading import read
from featurestore.engines.duckdb.rows import expression_sql
from featurestore.engines.duckdb.scan import named_in, relation
from featurestore.engines.duckdb.text import quoted
from featurestore.engines.duckdb.types import instant, logical
from featurestore.errors import FeatureStoreError, InputError, SourceError, UnknownNameError
from featurestore.plan.nodes import Column, Scan

_MISSING_TABLE = re.compile(r"Table with name (\S+) does not exist")
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def scan_columns(cursor: duckdb.DuckDBPyConnection, scan: Scan) -> tuple[tuple[str, str], ...]:
    """Names and DuckDB's types of a scan's columns, in order."""
    return tuple(relation(cursor, scan).columns.items())


def expression_types(
    cursor: duckdb.DuckDBPyConnection, scan: Scan, expressions: tuple[str, ...]
) -> tuple[Column | str, ...]:
    """For each SQL expression over the scan its logical type, or the message why it has none."""
    source = relation(cursor, scan)
    return tuple(_type_of(cursor, expression, f"({source.rows()})", source.columns) for expression in expressions)


def _type_of(cursor: duckdb.DuckDBPyConnection, expression: str, table: str, columns: dict[str, str]) -> Column | str:
    try:
        sql = expression_sql(expression)
        with translated(f"Expression '{expression}'", InputError, columns):
            found = str(cursor.sql(f"SELECT {sql} FROM {table}").types[0])
    except FeatureStoreError as error:
        return str(error)
    dtype = logical(found)
    if dtype is None:
        return f"Expression '{expression}' gives {found}, which is no feature type; convert it with CAST(... AS ...)."
    return Column(expression, dtype)


def event_bounds(cursor: duckdb.DuckDBPyConnection, scan: Scan, event_timestamp: str) -> tuple[int, int] | None:
    """Smallest and greatest event time of a scan, in microseconds; None when it has none."""
    source = relation(cursor, scan)
    sql = instant(quoted(event_timestamp), source.type_of(event_timestamp), event_timestamp, source.what)
    with translated(source.what):
        found = cursor.execute(f"SELECT min({sql}), max({sql}) FROM {source.table}").fetchone()
    return None if found is None or found[0] is None else (int(found[0]), int(found[1]))


def run_query(cursor: duckdb.DuckDBPyConnection, sql: str, tables: tuple[Scan, ...]) -> pa.RecordBatchReader:
    """The result of one statement that only reads; tables are visible to it under the names of the scans."""
    with translated("Query", InputError):
        found = cursor.extract_statements(sql)
    if len(found) != 1 or found[0].type not in _READING:
        kinds = ", ".join(statement.type.name for statement in found) or "nothing"
        raise InputError(f"Query: found {kinds}; write one SELECT, DESCRIBE, SUMMARIZE or EXPLAIN.")
    columns = _make_views(cursor, sql, tables)
    try:
        return read(cursor, found[0].query, "Query", raised=InputError, columns=columns)
    except InputError as error:
        if missing := _MISSING_TABLE.search(str(error.__cause__)):
            known = UnknownNameError("table", missing[1], (scan.name for scan in tables), "the query")
            raise InputError(str(known)) from error.__cause__
        raise


def _make_views(cursor: duckdb.DuckDBPyConnection, sql: str, tables: tuple[Scan, ...]) -> list[str]:
    """Make a view of each scan that the query names, and return their columns.

    When it names none, as SHOW TABLES does, of each that can be read.
    """
    named = named_in(sql, tables)
    columns: list[str] = []
    for scan in named or tables:
        try:
            with translated(f"Source '{scan.name}'"):
                source = relation(cursor, scan)
                cursor.execute(f"CREATE TEMP VIEW {quoted(scan.name)} AS {source.rows()}")
                columns += source.columns
        except SourceError:
            if named:
                raise
    return columns
