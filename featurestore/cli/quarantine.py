"""`featurestore quarantine list|show|release`."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_frame, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.timeline import format_instant, short_instant

app = typer.Typer(help="Rows that a contract refused: see them, and let them through.", no_args_is_help=True)

EntryId = Annotated[str, typer.Argument(help="The entry, as `quarantine list` names it.")]


@app.command("list")
def list_entries(as_json: JsonFlag = False) -> None:
    """List what was refused, the oldest first."""
    with open_store() as store:
        entries = store.quarantine.list()
    written = format_instant if as_json else short_instant
    rows = [
        (
            entry.id,
            entry.view,
            entry.outcome.value,
            entry.refused_rows,
            entry.rows,
            written(entry.at_us),
            f"{entry.waiver.actor}: {entry.waiver.reason}" if entry.waiver else None,
            "; ".join(str(reason) for reason in entry.reasons[:3]),
        )
        for entry in entries
    ]
    columns = ("id", "view", "outcome", "refused", "of rows", "at", "released", "reasons")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        kept = columns[:-1] if any(entry.waiver for entry in entries) else columns[:-2]
        print_table(kept, [row[: len(kept)] for row in rows], spare=("of rows", "outcome"))
        for row in rows:
            print_text(f"{row[0]}: {row[-1]}")
    else:
        console().print("The quarantine is empty.")


@app.command("show")
def show(
    entry: EntryId,
    limit: Annotated[int, typer.Option(help="Rows to show.", min=1)] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the refused rows of an entry, each with its reasons."""
    import polars as pl

    with open_store() as store:
        _, rows = store.quarantine.show(entry)
    frame = pl.DataFrame(rows)
    shown = frame.select("__reasons", *(name for name in frame.columns if name != "__reasons"))
    print_frame(shown.with_columns(pl.col("__reasons").list.join("; ")), limit, as_json)


@app.command("release")
def release(
    entry: EntryId,
    reason: Annotated[str, typer.Option(help="Why the rows are right after all; it is recorded with your name.")],
    as_json: JsonFlag = False,
) -> None:
    """Let an entry's rows through. The next materialization of their interval takes them in."""
    with open_store() as store:
        waiver = store.quarantine.release(entry, store.actor, reason, store.now_us())
    if as_json:
        print_json({"entry": waiver.entry, "view": waiver.view, "rows": len(waiver.rows), "by": waiver.actor})
        return
    again = "" if waiver.start_us is None else f" --start {format_instant(waiver.start_us)}"
    again += "" if waiver.end_us is None else f" --end {format_instant(waiver.end_us)}"
    console().print(f"Released {waiver.entry}. Take the rows in: featurestore materialize --view {waiver.view}{again}")
