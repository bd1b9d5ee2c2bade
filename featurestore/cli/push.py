"""`featurestore push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, print_json, print_table, print_text
from featurestore.cli.project import open_store


def push(
    name: Annotated[str, typer.Argument(help="A view, or a source: all views that read it directly.")],
    file: Annotated[Path, typer.Argument(help="Rows in the source's columns: .parquet, .csv, or .jsonl (JSON lines).")],
    as_json: JsonFlag = False,
) -> None:
    """Add rows to history and to the online store at once. These pass the contracts; again changes nothing."""
    from featurestore.materialization.report import push_document

    with open_store() as store:
        report = store.push(name, file)
    if as_json:
        print_json(push_document(report))
        return
    print_table(
        ("view", "version", "rows", "repeated", "dropped", "online", "table version"),
        [(v.view, f"v{v.version}", v.rows, v.repeated, v.dropped, v.published, v.table_version) for v in report.views],
    )
    for view, reason in report.skipped:
        print_text(f"{view} was not reached: {reason}.")
