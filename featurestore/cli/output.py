"""How commands speak: tables for people on stdout, JSON for machines, progress and errors on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.errors import DefinitionError, FeatureStoreError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?$")
_ENOUGH = 12  # characters, for a column of words beside instants

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def console() -> Console:
    """The console on stdout."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=True)


def error_console() -> Console:
    """The console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def print_text(text: str, markup: bool = False) -> None:
    """A paragraph on stdout: broken between words on a terminal, else one line."""
    to = console()
    to.print(text, markup=markup, soft_wrap=not to.is_terminal)


def print_json(value: object) -> None:
    """One JSON document on stdout; signs that its encoding lacks are escaped, so that nothing is lost."""
    knows_all = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    typer.echo(json.dumps(value, indent=2, ensure_ascii=not knows_all))


def print_error(error: FeatureStoreError) -> None:
    """An error in its own words; as JSON on stdout too when the command was asked for JSON."""
    if "--json" in sys.argv:
        document: dict[str, object] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, DefinitionError):
            document["faults"] = [{"file": f.file, "line": f.line, "message": f.message} for f in error.faults]
        print_json({"error": document})
        return
    to = error_console()
    if isinstance(error, DefinitionError) and len(error.faults) > 1:
        to.print(f"[bold red]{len(error.faults)} faults[/]")
    for line in str(error).splitlines():
        to.print(line, style="red", markup=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    spare: Sequence[str] = (),
    counts: bool = True,
) -> None:
    """A table; columns whose cells are all numbers stand right, a rich Text as it is. Instants in tables are UTC.

    Instants are not broken where there is room for the other columns beside them. `spare` are left out, one after the
    other, where all columns are too wide. Integers are `counts`, with commas, or else values, as they are.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    for name in spare:
        if name in columns and _natural_width(columns, cells) > console().width:
            place = list(columns).index(name)
            columns = [column for column in columns if column != name]
            cells = [[*row[:place], *row[place + 1 :]] for row in cells]
    whole = {0, *_instants(columns, cells)}
    table = Table(
        title=escape(title) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for index, column in enumerate(columns):
        values = [row[index] for row in cells if row[index] is not None]
        numeric = bool(values) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        table.add_column(
            escape(column), justify="right" if numeric else "left", overflow="fold", no_wrap=index in whole
        )
    for row in cells:
        table.add_row(*(value if isinstance(value, Text) else Text(_cell(value, counts)) for value in row))
    console().print(table)


def _instants(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[int]:
    """The places of columns that hold instants alone, when the others keep enough of the width beside them."""
    widths = [max([len(column), *(len(_cell(row[i])) for row in rows)]) for i, column in enumerate(columns)]
    places = [
        i
        for i in range(len(columns))
        if (told := [_cell(row[i]) for row in rows if row[i] is not None]) and all(map(_INSTANT.match, told))
    ]
    needed = sum(widths[i] if i in places or i == 0 else min(widths[i], _ENOUGH) for i in range(len(columns)))
    return places if needed + 2 * len(columns) <= console().width else []


def print_records(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows of values one below the other, a line for each column: for what is wider than the terminal."""
    from rich.text import Text

    out = console()
    width = max(len(column) for column in columns)
    for number, row in enumerate(rows, start=1):
        out.print(Text(f"row {number}", style="dim"))
        for column, value in zip(columns, row, strict=True):
            out.print(Text.assemble((f"  {column:<{width}}  ", "bold"), _cell(value, counts=False)))


def _natural_width(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> int:
    widths = [max([len(column), *(len(_cell(row[i])) for row in rows)]) for i, column in enumerate(columns)]
    return sum(widths) + 3 * len(widths)


def print_frame(frame: pl.DataFrame, limit: int, as_json: bool) -> None:
    """The first `limit` rows of a frame as a table, or all rows as JSON."""
    if as_json:
        print_json([{name: _json(value) for name, value in row.items()} for row in frame.iter_rows(named=True)])
        return
    rows = list(frame.head(limit).iter_rows())
    if _natural_width(frame.columns, rows) > console().width:
        print_records(frame.columns, rows)
    else:
        print_table(frame.columns, rows, counts=False)
    if frame.height > limit:
        shown = f"the first {limit} are" if limit > 1 else "the first is"
        console().print(f"{frame.height:,} rows; {shown} shown.", style="dim")


def _json(value: object) -> object:
    """A JSON value of a value of any polars type: those of features as everywhere, others as text."""
    from datetime import date
    from decimal import Decimal

    from featurestore.dtypes import to_json

    match value:
        case dict():
            return {str(key): _json(inner) for key, inner in value.items()}
        case list():
            return [_json(inner) for inner in value]
        case None | bool() | str() | int() | float() | bytes() | date() | Decimal():
            return to_json(value)
        case _:
            return str(value)


def _cell(value: object, counts: bool = True) -> str:
    from datetime import datetime

    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}" if counts else str(value)
        case float():
            return f"{value:.6g}"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
