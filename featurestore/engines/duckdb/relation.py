"""A relation: what stands behind FROM, its columns, and where each of its rows stands."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import duckdb

from featurestore.engines.duckdb.errors import missing_column
from featurestore.engines.duckdb.text import listed, quoted, unused
from featurestore.errors import SourceError

_VIRTUAL = frozenset({"file_index", "file_row_number"})


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows of a scan.

    `table` stands behind FROM; `columns` maps its columns to DuckDB's types, in order; `place` is SQL over `table`, the
    row's place in the scan: int64, from 0. Values of `texts` came as text (CSV, folder names), whatever is declared.
    """

    what: str  # for people: "Source 'weather'"
    table: str
    columns: dict[str, str]
    place: str
    texts: frozenset[str] = frozenset()

    def type_of(self, column: str) -> str:
        """DuckDB's type of a column; raises SourceError when there is none of that name."""
        if column not in self.columns:
            raise SourceError(missing_column(self.what, column, self.columns))
        return self.columns[column]

    def rows(self) -> str:
        """A query of the columns alone."""
        return f"SELECT {listed(quoted(column) for column in self.columns)} FROM {self.table}"

    def numbered(self) -> tuple[str, str]:
        """What stands behind FROM to see the columns and, under the returned identifier, the place."""
        place = quoted(unused("__place", self.columns))
        columns = listed([*(quoted(column) for column in self.columns), f"{self.place} AS {place}"])
        return f"(SELECT {columns} FROM {self.table})", place


def columns_of(cursor: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Columns of what stands behind FROM, in order, with DuckDB's types."""
    found = cursor.sql(f"SELECT * FROM {table}")
    return dict(zip(found.columns, map(str, found.types), strict=True))


def file_place(cursor: duckdb.DuckDBPyConnection, files: str, count: int, columns: dict[str, str], what: str) -> str:
    """SQL of a row's place in a list of `count` Parquet files, given as a SQL list."""
    if taken := _VIRTUAL & {column.casefold() for column in columns}:
        raise SourceError(f"{what}: column '{sorted(taken)[0]}' has a name that DuckDB needs for itself; rename it.")
    if count == 1:
        return "file_row_number"
    rows = cursor.execute(f"SELECT num_rows FROM parquet_file_metadata({files})").fetchall()
    offsets = [0, *accumulate(int(number) for (number,) in rows)][:-1]
    return f"CAST([{listed(map(str, offsets))}] AS BIGINT[])[CAST(file_index AS BIGINT) + 1] + file_row_number"
