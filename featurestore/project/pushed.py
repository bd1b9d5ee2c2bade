"""What a caller may push: a frame, or a file of a source's rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from featurestore.arrow import arrow_type, as_table, ipc_stream
from featurestore.dtypes import DType, from_json
from featurestore.errors import InputError
from featurestore.plan.catalog import CsvPlace, SourceRecord, ViewRecord
from featurestore.plan.nodes import CsvScan, FrameScan, ParquetScan, Scan
from featurestore.plan.views import declared_types

_LINES = (".jsonl", ".ndjson", ".json")


def pushed_scan(frame: object, source: SourceRecord, views: Iterable[ViewRecord]) -> Scan:
    """The rows to push: a polars or pandas frame, Arrow data, a list of dicts, or the path of a file.

    A file is Parquet, CSV (as the source's own files are) or JSON lines, whose values are read as the types that the
    views declare for their columns. Raises InputError.
    """
    if not isinstance(frame, str | os.PathLike):
        table = as_table(frame, "What to push")
        if not table.num_columns:
            raise InputError("What to push has no rows; give at least one.")
        try:
            return FrameScan(source.name, ipc_stream(table))
        except pa.ArrowException as error:
            raise InputError(f"What to push cannot be read: {error}.") from error
    path = Path(frame).absolute()
    if not path.is_file():
        raise InputError(f"There is no file {path} to push; give the path of a Parquet, CSV or JSON lines file.")
    match path.suffix.lower():
        case ".parquet" | ".pq":
            return ParquetScan(source.name, str(path))
        case ".csv":
            return CsvScan(
                source.name, str(path), source.place.delimiter if isinstance(source.place, CsvPlace) else ","
            )
        case suffix if suffix in _LINES:
            return FrameScan(source.name, ipc_stream(_lines(path, declared_types(source, views))))
    raise InputError(
        f"{path} is neither Parquet, CSV nor JSON lines; give a file that ends in .parquet, .csv or .jsonl."
    )


def rows_from_json(rows: Iterable[Mapping[str, object]], types: Mapping[str, DType], what: str) -> pa.Table:
    """Rows as JSON has them as a table; columns that have a type there are read as it, others as they are.

    Every row has the same columns, but a null one may be left out. Raises InputError, which says where in `what`.
    """
    given = list(rows)
    if not given:
        raise InputError(f"{what}: there are none; give at least one.")
    columns: dict[str, list[object]] = {name: [] for row in given for name in row}
    for number, row in enumerate(given, start=1):
        for name, values in columns.items():
            try:
                value = row.get(name)
                values.append(from_json(types[name], value) if name in types else value)  # type: ignore[arg-type]  # JSON
            except InputError as error:
                raise InputError(f"{what}, row {number}: column '{name}': {error}") from error
    try:
        return pa.table(
            {
                name: pa.array(values, arrow_type(types[name])) if name in types else pa.array(values)
                for name, values in columns.items()
            }
        )
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise InputError(
            f"{what}: a column holds values of several kinds, or one that does not fit: {error}"
        ) from error


def _lines(path: Path, types: Mapping[str, DType]) -> pa.Table:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: no JSON ({error}); write one object per line.") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: no JSON object; write one object per line.")
            rows.append(row)
    return rows_from_json(rows, types, str(path))
