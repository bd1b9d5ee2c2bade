"""`featurestore dataset list|show`."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.timeline import format_instant, short_instant

app = typer.Typer(help="Saved training sets and what they were made from.", no_args_is_help=True)


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
def show(
    name: Annotated[str, typer.Argument(help="NAME, its newest version, or NAME@VERSION.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one dataset: its columns, and what it was made from."""
    with open_store() as store:
        dataset = store.datasets.get(name)
        columns = store.datasets.columns(dataset)
    if as_json:
        print_json({"name": dataset.name, "version": dataset.version, "rows": dataset.rows, "path": dataset.path,
                    "columns": dict(columns), "manifest": dict(dataset.manifest)})  # fmt: skip
        return
    saved = f"saved {short_instant(dataset.saved_at_us)} by {dataset.saved_by}"
    console().print(f"[bold]{dataset.name} v{dataset.version}[/]: {dataset.rows:,} rows in {dataset.path}, {saved}")
    views = dataset.manifest["views"]
    assert isinstance(views, dict)
    print_table(
        ("view", "version", "table version", "watermark"),
        [(view, made["version"], made["table_version"], made["watermark"]) for view, made in views.items()],
    )
    print_table(("column", "type"), columns)
