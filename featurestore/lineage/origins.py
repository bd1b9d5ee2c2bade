"""What is known of a query's columns: where each comes from, and which name each has in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

ALL = "*"
Origin = tuple[str, str | None]  # a table, and its column, or ALL, or None: which rows it has
Origins = frozenset[Origin]
NONE: Origins = frozenset()


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of a query: `values` are what it is computed from, `conditions` what picks those (in a subquery).

    `many`: it stands for one column or more, which only the engine can name.
    """

    name: str
    values: Origins
    conditions: Origins = NONE
    many: bool = False


@dataclass(frozen=True, slots=True)
class QueryLineage:
    """The columns of a query in order, and what decides which rows it has (filters, joins, groups, its tables)."""

    columns: tuple[OutputColumn, ...]
    rows: Origins


def plain(column: OutputColumn) -> OutputColumn:
    """The column as people are told of it: each origin once, as a value where it is one."""
    values = simplest(column.values)
    return OutputColumn(column.name, values, simplest(column.conditions - values))


def simplest(origins: Origins) -> Origins:
    """Without the columns of tables of which ALL are there."""
    whole = {table for table, column in origins if column == ALL}
    return frozenset((table, column) for table, column in origins if column in (ALL, None) or table not in whole)


def anything(found: QueryLineage) -> Origins:
    """All columns of all tables of the query."""
    return frozenset((table, ALL) for table, _ in found.rows.union(*(column.values for column in found.columns)))


def named(columns: Sequence[OutputColumn], names: Sequence[str], unknown: Origins) -> tuple[OutputColumn, ...]:
    """The columns under their names: by place, where those that stand for many leave no doubt which place it is.

    Where they do, a name has the origins of all that stand there; where nothing fits, the origins `unknown`.
    """
    spread = [place for place, column in enumerate(columns) if column.many]
    if len(columns) == len(names):
        before, after = len(columns), 0
    elif spread and len(columns) < len(names):
        before, after = spread[0], len(columns) - spread[-1] - 1
    else:
        return tuple(OutputColumn(name, unknown) for name in names)
    middle = columns[before : len(columns) - after]
    values = NONE.union(*(column.values for column in middle))
    conditions = NONE.union(*(column.conditions for column in middle))
    found = []
    for place, name in enumerate(names):
        from_end = place - len(names)
        if place < before:
            found.append(replace(columns[place], name=name, many=False))
        elif -from_end <= after:
            found.append(replace(columns[from_end], name=name, many=False))
        else:
            found.append(OutputColumn(name, values, conditions))
    return tuple(found)


def looked_up(query: QueryLineage, name: str) -> OutputColumn:
    """The column of that name; else what those stand for that stand for many, or else all columns together."""
    for column in query.columns:
        if column.name.lower() == name.lower() and not column.many:
            return column
    many = [column for column in query.columns if column.many] or query.columns
    values = NONE.union(*(column.values for column in many))
    return OutputColumn(name, values, NONE.union(*(column.conditions for column in many)), many=True)


def by_place(branches: Sequence[QueryLineage]) -> tuple[OutputColumn, ...]:
    """The columns of a set operation that matches them by place."""
    if len({len(branch.columns) for branch in branches}) > 1:
        return (_merged(ALL, [column for branch in branches for column in branch.columns], many=True),)
    return tuple(_merged(columns[0].name, columns) for columns in zip(*(b.columns for b in branches), strict=True))


def by_name(branches: Sequence[QueryLineage]) -> tuple[OutputColumn, ...]:
    """The columns of a set operation BY NAME."""
    columns: dict[str, list[OutputColumn]] = {}
    for branch in branches:
        for column in branch.columns:
            columns.setdefault(column.name.lower(), []).append(column)
    return tuple(_merged(found[0].name, found) for found in columns.values())


def _merged(name: str, columns: Sequence[OutputColumn], *, many: bool = False) -> OutputColumn:
    return OutputColumn(
        name,
        NONE.union(*(column.values for column in columns)),
        NONE.union(*(column.conditions for column in columns)),
        many or any(column.many for column in columns),
    )


def picked(found: QueryLineage) -> QueryLineage:
    """A query whose columns decide which rows it has."""
    return replace(found, rows=found.rows.union(*(column.values | column.conditions for column in found.columns)))
