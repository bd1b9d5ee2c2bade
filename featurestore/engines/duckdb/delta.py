"""Delta tables: the file list comes from the table's log, the rows from DuckDB's own Parquet reader.

The log also holds what the files do not: values of partition columns, and the declared type of each column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from featurestore.engines.duckdb.files import pattern
from featurestore.engines.duckdb.relation import Relation, columns_of, file_place
from featurestore.engines.duckdb.text import listed, literal, literals, quoted, unused
from featurestore.errors import SourceError
from featurestore.plan.nodes import DeltaScan

_TYPES = {
    "string": "VARCHAR", "long": "BIGINT", "integer": "INTEGER", "short": "SMALLINT", "byte": "TINYINT",
    "float": "FLOAT", "double": "DOUBLE", "boolean": "BOOLEAN", "binary": "BLOB", "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP",
}  # fmt: skip
_PARTITION = "partition."


def delta_relation(cursor: duckdb.DuckDBPyConnection, scan: DeltaScan, what: str) -> Relation:
    """The rows of a Delta table; raises SourceError when it cannot be read, or uses what Parquet files do not show."""
    table = _opened(scan, what)
    declared = {field["name"]: _duckdb_type(field["type"]) for field in json.loads(table.schema().to_json())["fields"]}
    actions = sorted(pa.table(table.get_add_actions(flatten=True)).to_pylist(), key=lambda action: action["path"])
    if not actions:
        columns = {name: dtype or "VARCHAR" for name, dtype in declared.items()}
        return Relation(what, f"({_no_rows(columns)})", columns, "CAST(0 AS BIGINT)")
    files = literals(pattern(_local(scan.path, action["path"])) for action in actions)
    source = f"read_parquet({files}, hive_partitioning = false, union_by_name = true)"
    found = columns_of(cursor, source)
    row = quoted(unused("__row", declared))
    place = f"{file_place(cursor, files, len(actions), found, what)} AS {row}"
    names = table.metadata().partition_columns
    partitions = {name: [action[_PARTITION + name] for action in actions] for name in names}
    values = [f"{_value(name, dtype, found, partitions)} AS {quoted(name)}" for name, dtype in declared.items()]
    rows = f"(SELECT {listed([*values, place])} FROM {source})"
    columns = {name: dtype for name, dtype in columns_of(cursor, rows).items() if quoted(name) != row}
    return Relation(what, rows, columns, row)


def _opened(scan: DeltaScan, what: str) -> DeltaTable:
    if not (Path(scan.path) / "_delta_log").is_dir():
        raise SourceError(f"{what}: there is no Delta table at '{scan.path}'. Correct the path.")
    try:
        table = DeltaTable(scan.path, version=scan.version)
        features = set(table.protocol().reader_features or ())
        deleted = "deletionVectors" in features and pa.table(table.deletion_vectors()).num_rows > 0
    except (DeltaError, OSError) as error:
        version = "" if scan.version is None else f" at version {scan.version}"
        raise SourceError(
            f"{what}: no Delta table can be read at '{scan.path}'{version}: {str(error).splitlines()[0].rstrip('.')}. "
            "Correct the path or the version."
        ) from error
    if deleted:
        raise SourceError(
            f"{what}: the Delta table at '{scan.path}' has deletion vectors, which cannot be read here. Rewrite its "
            "files with REORG TABLE ... APPLY (PURGE)."
        )
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        raise SourceError(
            f"{what}: the Delta table at '{scan.path}' maps column names, which cannot be read here. Write a copy "
            "without column mapping."
        )
    return table


def _local(root: str, path: str) -> str:
    return str(Path(root) / unquote(path))


def _duckdb_type(delta: object) -> str | None:
    """DuckDB's type of a type in the table's schema; None for one that is taken as the file has it."""
    match delta:
        case str() if delta.startswith("decimal"):
            return delta.upper()
        case str():
            return _TYPES.get(delta)
        case {"type": "array", "elementType": element}:
            inner = _duckdb_type(element)
            return f"{inner}[]" if inner else None
        case _:
            return None


def _value(name: str, dtype: str | None, found: Mapping[str, str], partitions: Mapping[str, list[object]]) -> str:
    if name in partitions:
        return f"CAST([{listed(_texts(partitions[name]))}][CAST(file_index AS BIGINT) + 1] AS {dtype})"
    if name not in found:
        return f"CAST(NULL AS {dtype or 'VARCHAR'})"
    return quoted(name) if dtype is None or dtype == found[name] else f"CAST({quoted(name)} AS {dtype})"


def _texts(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        match value:
            case None:
                yield "CAST(NULL AS VARCHAR)"
            case bytes():
                yield literal("".join(f"\\x{byte:02X}" for byte in value))
            case datetime():
                yield literal(value.isoformat(sep=" "))
            case _:
                yield literal(str(value))


def _no_rows(columns: Mapping[str, str]) -> str:
    nulls = listed(f"CAST(NULL AS {dtype}) AS {quoted(name)}" for name, dtype in columns.items())
    return f"SELECT {nulls} WHERE false"
