"""Bins made from a frame's columns once, and any frame's columns counted in them, in DuckDB.

Numbers, times and dates have bins of numbers, whose ends are open; texts and truth values have categories and one bin
for all others; of lists, vectors and bytes the lengths are counted. Nulls and NaN have a bin each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import duckdb
import msgspec
import numpy as np
import polars as pl

from featurestore.statistics.bins import LONGEST, Bins, number_bins, text_bins

PARTS = 10  # bins of numbers hold equally many values of the frame that they are made from
_SINGLE = 40  # so many different numbers at most have a bin each
_CATEGORIES = 32
_TRUTH = Bins(categories=("false", "true"))


class Counts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many values of a column lie in each bin, and how many are null or NaN."""

    bins: tuple[int, ...]
    nulls: int = 0
    nans: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.bins) + self.nulls + self.nans

    @property
    def missing(self) -> int:
        """Rows without a value to compute with."""
        return self.nulls + self.nans

    @property
    def in_order(self) -> tuple[int, ...]:
        """All counts: nulls first, then the bins from low to high, NaN last, as the greatest."""
        return (self.nulls, *self.bins, self.nans)


def is_text(dtype: pl.DataType) -> bool:
    """Whether columns of the type have categories; else they have numbers."""
    return isinstance(dtype, pl.String | pl.Boolean | pl.Categorical | pl.Enum)


def make_bins(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, tuple[Bins, Counts]]:
    """Bins for values like those of the frame, with what it has in each; the same in any order of its rows.

    Up to 40 different numbers have a bin each; otherwise the edges cut the values into ten equal parts. The 32 most
    frequent texts are categories, of equally frequent ones the smaller; a text seen once is none.
    """
    with _database(frame, columns) as (database, names):
        made = {column: _bins_of(database, names[column], frame.schema[column]) for column in columns}
        return {
            column: (bins, _counts(database, names[column], bins, text=is_text(frame.schema[column])))
            for column, bins in made.items()
        }


def _bins_of(database: duckdb.DuckDBPyConnection, name: str, dtype: pl.DataType) -> Bins:
    if dtype == pl.Boolean:
        return _TRUTH
    if is_text(dtype):
        query = f"SELECT {name}, count(*) AS n FROM data WHERE length({name}) <= {LONGEST} GROUP BY 1 HAVING n > 1"
        return text_bins(database.execute(f"{query} ORDER BY n DESC, 1 LIMIT {_CATEGORIES}").fetchall())
    finite = f"FROM data WHERE isfinite({name})"
    different = database.execute(f"SELECT DISTINCT {name} {finite} LIMIT {_SINGLE + 1}").fetchall()
    if not different:
        return Bins(edges=())
    if len(different) <= _SINGLE:
        return number_bins(np.array([value for (value,) in different]), whole=not dtype.is_float())
    shares = [part / PARTS for part in range(1, PARTS)]
    ((edges,),) = database.execute(f"SELECT quantile_disc({name}, ?::DOUBLE[]) {finite}", [shares]).fetchall()
    return Bins(edges=tuple(sorted({float(edge) + 0.0 for edge in edges})))


def count_columns(frame: pl.DataFrame, bins: Mapping[str, Bins]) -> dict[str, Counts]:
    """The counts of each column that has bins; all of them are columns of the frame."""
    with _database(frame, tuple(bins)) as (database, names):
        return {
            column: _counts(database, names[column], made, text=is_text(frame.schema[column]))
            for column, made in bins.items()
        }


def _counts(database: duckdb.DuckDBPyConnection, name: str, bins: Bins, *, text: bool) -> Counts:
    """One pass: the place of each value, -1 for null and one beyond the last bin for NaN."""
    cases, last = [f"WHEN {name} IS NULL THEN -1"], len(bins) - 1
    if not text:
        cases += [f"WHEN isnan({name}) THEN {last + 1}"]
    cases += [f"WHEN {name} {'=' if text else '<'} ? THEN {place}" for place in range(last)]
    query = f"SELECT CASE {' '.join(cases)} ELSE {last} END AS place, count(*) FROM data GROUP BY place"
    found = dict(database.execute(query, [*(bins.categories or bins.edges)]).fetchall())
    return Counts(
        bins=tuple(found.get(place, 0) for place in range(last + 1)),
        nulls=found.get(-1, 0),
        nans=found.get(last + 1, 0),
    )


@contextmanager
def _database(
    frame: pl.DataFrame, columns: Sequence[str]
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Mapping[str, str]]]:
    """The columns as a table `data` of numbers and texts, under names of ours: those of DuckDB ignore case."""
    names = {column: f"c{place}" for place, column in enumerate(columns)}
    plain = frame.select(_plain(frame.schema[column], column).alias(name) for column, name in names.items())
    config: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False,
        "enable_external_access": False,
    }
    with duckdb.connect(":memory:", config=config) as database:
        if names:
            database.register("data", plain.to_arrow())
        yield database, names


def _plain(dtype: pl.DataType, column: str) -> pl.Expr:
    """The values as Float64 or String."""
    values = pl.col(column)
    match dtype:
        case pl.String() | pl.Categorical() | pl.Enum() | pl.Boolean():
            return values.cast(pl.String)
        case pl.List():
            values = values.list.len()
        case pl.Array(size=size):
            values = pl.when(values.is_not_null()).then(size)
        case pl.Binary():
            values = values.bin.size()
        case _ if dtype.is_temporal():
            values = values.to_physical()
    return values.cast(pl.Float64)
