"""`featurestore dataset list|show|rebuild|diff|split`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.dtypes import to_json
from featurestore.timeline import format_instant, short_instant

if TYPE_CHECKING:
    from featurestore.dataset import Dataset, MadeView
    from featurestore.datasets import ColumnDifference, DatasetDiff, Rebuild

app = typer.Typer(help="Saved training sets and what they were made from.", no_args_is_help=True)
_Name = Annotated[str, typer.Argument(help="NAME, its newest version, or NAME@VERSION.", metavar="NAME")]


@app.command("list")
def list_datasets(as_json: JsonFlag = False) -> None:
    """List the saved datasets, the newest first."""
    with open_store() as store:
        saved = store.registry.datasets()
    columns = ("name", "version", "rows", "saved at", "by", "path")
    written = format_instant if as_json else short_instant
    rows = [(d.name, d.version, d.rows, written(d.saved_at_us), d.saved_by, d.path) for d in saved]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table(columns, rows)
    else:
        console().print("No dataset is saved. `featurestore historical ... --save NAME` saves one.")


@app.command("show")
def show(name: _Name, as_json: JsonFlag = False) -> None:
    """Show one dataset: its columns, and what it was made from."""
    with open_store() as store:
        dataset = store.datasets.get(name)
        columns = dataset.columns()
    if as_json:
        print_json({"name": dataset.name, "version": dataset.version, "rows": dataset.rows,
                    "path": dataset.record.path, "columns": dict(columns),
                    "manifest": dataset.manifest.document()})  # fmt: skip
        return
    _print_dataset(dataset, columns)


def _print_dataset(dataset: Dataset, columns: tuple[tuple[str, str], ...]) -> None:
    record, made = dataset.record, dataset.manifest
    saved = f"saved {short_instant(record.saved_at_us)} by {record.saved_by}"
    console().print(f"[bold]{dataset.reference}[/]: {dataset.rows:,} rows in {record.path}, {saved}")
    origin = "" if made.spine.origin is None else f" {made.spine.origin}"
    print_text(f"{made.features} at '{made.timestamp}', revision {made.revision}{' from source' * made.from_source}")
    print_text(f"spine: {made.spine.rows:,} rows from the {made.spine.read}{origin}, kept in {made.spine.path}")
    if made.division is not None:
        print_text(f"split {made.division.split}: {_counts(made.division.rows)}")
    print_table(
        ("view", "version", "table version", "watermark"),
        [(name, view.version, view.table_version, view.watermark) for name, view in made.views.items()],
    )
    print_table(("column", "type"), columns)


@app.command("rebuild")
def rebuild(
    name: _Name,
    out: Annotated[Path | None, typer.Option(help="Write the rebuilt rows to this Parquet file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a dataset again from what was recorded, and compare. Byte by byte; exit code 1 when it differs."""
    with open_store() as store:
        answer = store.datasets.rebuild(name, out)
    if as_json:
        print_json(_rebuild_document(answer))
    else:
        _print_rebuild(answer)
    if not answer.identical:
        raise typer.Exit(1)


def _print_rebuild(answer: Rebuild) -> None:
    to = console()
    if answer.identical:
        restored = "; the saved file was lost or altered, and is whole again" if answer.restored else ""
        to.print(f"{answer.dataset}: {answer.rows:,} rows, the same bytes{restored}.")
    elif answer.obstacles:
        to.print(f"{answer.dataset} cannot be rebuilt:")
    else:
        to.print(f"{answer.dataset}: the bytes differ.")
    for line in (*answer.obstacles, *answer.changes):
        print_text(f"- {line}")
    if answer.columns:
        _print_columns(answer.columns, ("saved", "rebuilt"))
    if answer.path is not None:
        to.print(f"The rebuilt rows are in {answer.path}.")


def _rebuild_document(answer: Rebuild) -> dict[str, object]:
    return {
        "dataset": answer.dataset,
        "identical": answer.identical,
        "obstacles": list(answer.obstacles),
        "changes": list(answer.changes),
        "rows": answer.rows,
        "columns": [_column_document(column) for column in answer.columns],
        "restored": answer.restored,
        "path": answer.path,
    }


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(help="NAME, its newest version, or NAME@VERSION.")],
    other: Annotated[str, typer.Argument(help="The dataset to compare it with.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what tells two datasets apart. Spine, features, versions, rows, and for each column its values."""
    with open_store() as store:
        found = store.datasets.diff(one, other)
    if as_json:
        print_json(_diff_document(found))
    else:
        _print_diff(found)


def _print_diff(found: DatasetDiff) -> None:
    to = console()
    if found.same_bytes:
        to.print(f"{found.one} and {found.other} have the same bytes.")
    to.print(f"spine: {'the same' if found.same_spine else 'another one'}")
    if found.unmatched is None:
        to.print(f"rows: {found.common:,} in both, {found.removed:,} only in {found.one}, {found.added:,} only in "
                 f"{found.other}")  # fmt: skip
    else:
        print_text(f"rows: {found.rows[0]:,} and {found.rows[1]:,}, not to be matched: {found.unmatched}")
    for names, only in ((found.only_one, found.one), (found.only_other, found.other)):
        if names:
            print_text(f"only in {only}: {', '.join(names)}")
    for package, before, after in found.engine:
        to.print(f"{package}: {before or '-'} and {after or '-'}")
    print_table(
        ("view", "version", "table version", "watermark"),
        [(view.name, *(_both(view.one, view.other, what) for what in ("version", "table_version", "watermark")))
         for view in found.views],
    )  # fmt: skip
    _print_columns(found.columns, (found.one, found.other))


def _both(one: MadeView | None, other: MadeView | None, what: str) -> object:
    before, after = (None if view is None else getattr(view, what) for view in (one, other))
    return before if before == after else f"{'-' if before is None else before} -> {'-' if after is None else after}"


def _print_columns(columns: tuple[ColumnDifference, ...], names: tuple[str, str]) -> None:
    print_table(
        ("column", "differ", *(f"{what} {name}" for what in ("nulls", "mean") for name in names), "mean shift"),
        [
            (c.name, c.differ if c.types[0] == c.types[1] else " -> ".join(c.types), *c.nulls, *c.means, _shift(c))
            for c in columns
        ],
    )


def _shift(column: ColumnDifference) -> float | None:
    one, other = column.means
    return None if one is None or other is None else other - one


def _column_document(column: ColumnDifference) -> dict[str, object]:
    return {
        "column": column.name,
        "types": list(column.types),
        "differ": column.differ,
        "nulls": list(column.nulls),
        "means": [to_json(mean) for mean in column.means],
        "mean_shift": to_json(_shift(column)),
    }


def _diff_document(found: DatasetDiff) -> dict[str, object]:
    return {
        "one": found.one,
        "other": found.other,
        "same_bytes": found.same_bytes,
        "same_spine": found.same_spine,
        "rows": {
            "one": found.rows[0],
            "other": found.rows[1],
            "common": found.common,
            "removed": found.removed,
            "added": found.added,
            "unmatched": found.unmatched,
        },
        "only_one": list(found.only_one),
        "only_other": list(found.only_other),
        "views": {v.name: [_view_document(v.one), _view_document(v.other)] for v in found.views},
        "engine": {package: [before, after] for package, before, after in found.engine},
        "columns": [_column_document(column) for column in found.columns],
    }


def _view_document(view: MadeView | None) -> dict[str, object] | None:
    return None if view is None else {name: getattr(view, name) for name in view.__struct_fields__}


@app.command("split")
def split(
    name: _Name,
    out: Annotated[Path, typer.Option(help="Folder for train.parquet, validation.parquet and test.parquet.")],
    by: Annotated[
        str | None, typer.Option(help="time:14d,14d,gap=1d, entity:KEY or random:0.8/0.1/0.1,seed=7; else as recorded.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a dataset's train, validation and test rows to Parquet files."""
    from featurestore.definitions.splits import parse_split

    with open_store() as store:
        rows = store.datasets.get(name).split_to_parquet(out, None if by is None else parse_split(by))
    print_json({"folder": str(out), "rows": rows}) if as_json else console().print(f"{_counts(rows)} in {out}.")


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {part.replace('_', ' ')}" for part, count in rows.items())
