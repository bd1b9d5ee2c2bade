"""The spine as a table, its instants, and its keys as plain Python values."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.arrow import arrow_type
from featurestore.dtypes import DType
from featurestore.engines.base import FileSpine, FrameSpine, QuerySpine, Spine
from featurestore.engines.reference.tables import run_sql
from featurestore.engines.reference.values import decoded, instants, micros, python_values
from featurestore.errors import InputError, closest_first
from featurestore.plan.historical import PointInTimeJoin
from featurestore.plan.windows import WindowJoin


def read_spine(spine: Spine) -> pa.Table:
    """The spine's rows in order; raises InputError when it cannot be read or two columns share a name."""
    match spine:
        case FrameSpine():
            table = spine.table
        case FileSpine():
            try:
                table = pq.ParquetFile(spine.path).read()
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"Spine: {spine.path} cannot be read as Parquet: {error}") from error
        case QuerySpine():
            table = run_sql(spine.sql, spine.inputs, "Spine", InputError)
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise InputError(f"Spine: two columns are named '{twice[0]}'; rename one.")
    return table


def spine_instants(spine: pa.Table, timestamp: str) -> list[int | None]:
    """The instant of each spine row, in microseconds."""
    found = instants(_column(spine, timestamp, "timestamp"), f"Spine: column '{timestamp}'", InputError)
    return micros(found)


def spine_keys(spine: pa.Table, join: PointInTimeJoin | WindowJoin, what: str = "Spine") -> list[tuple[object, ...]]:
    """The key of each row of a spine, or of what else is asked, in the order of the view's join keys."""
    columns = dict(join.keys)
    keys = [_spine_key(spine, columns[key.name], key.dtype, join.label, what) for key in join.rows.keys]
    return list(zip(*keys, strict=True)) if keys else [()] * spine.num_rows


def _spine_key(spine: pa.Table, name: str, dtype: DType, label: str, what: str) -> list[object]:
    column = decoded(_column(spine, name, f"join key of '{label}'", what))
    if pa.types.is_null(column.type):
        return [None] * spine.num_rows
    if _family(column.type) != _family(arrow_type(dtype)):
        raise InputError(
            f"{what}: column '{name}' is a join key of '{label}' and must hold {dtype}, found {column.type}; cast it."
        )
    if _family(column.type) == "instant":
        column = instants(column, f"{what}: column '{name}'", InputError)
    return python_values(column)


def _family(arrow: pa.DataType) -> str:
    """Types whose values compare with each other: integers of all widths, texts of all layouts and so on."""
    match arrow:
        case _ if pa.types.is_integer(arrow):
            return "integer"
        case _ if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
            return "text"
        case _ if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow):
            return "bytes"
        case _ if pa.types.is_date(arrow):
            return "date"
        case _ if pa.types.is_timestamp(arrow):
            return "instant"
        case _:
            return str(arrow)


def _column(spine: pa.Table, name: str, role: str, what: str = "Spine") -> pa.ChunkedArray:
    if name not in spine.column_names:
        listing = ", ".join(closest_first(name, spine.column_names))
        raise InputError(f"{what}: the {role} column '{name}' is missing. Columns: {listing}.")
    return spine.column(name)
