"""`featurestore materialize`, `historical` and `sql`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.definitions import print_waiting, waiting_document
from featurestore.cli.output import (
    JsonFlag,
    console,
    error_console,
    print_error,
    print_frame,
    print_json,
    print_table,
    print_text,
)
from featurestore.cli.project import open_store
from featurestore.cli.versions import moved
from featurestore.errors import FeatureStoreError, InputError
from featurestore.timeline import format_instant, parse_duration, parse_instant, short_instant

if TYPE_CHECKING:
    from featurestore.dataset import Dataset
    from featurestore.materialization.report import LateReport, MaterializationReport, Progress, Step, ViewReport

Limit = Annotated[int, typer.Option(help="Rows to show.", min=1)]


def materialize(
    end: Annotated[str, typer.Option(help="End, excluded: a date, an instant with zone, or now.")] = "now",
    start: Annotated[str | None, typer.Option(help="Start; by default each view goes on from its watermark.")] = None,
    view: Annotated[
        list[str] | None, typer.Option("--view", "-v", help="Only this view, or version (last@2); repeatable.")
    ] = None,
    step: Annotated[str, typer.Option(help="Length of one chunk, which is one commit: 6h, 1d, 30d.")] = "30d",
    as_json: JsonFlag = False,
) -> None:
    """Fill the offline and the online store with new events. These pass the contracts first."""
    with open_store() as store, materialize_progress() as progress:
        report = store.materialize(
            parse_instant(end),
            None if start is None else parse_instant(start),
            view,
            step=parse_duration(step),
            progress=progress,
            check=False,
        )
        waiting = store.waiting()
    if as_json:
        print_json({**report_document(report), "waiting": waiting_document(waiting)})
    else:
        print_report(report)
        print_waiting(waiting)
    if report.error is not None:
        raise typer.Exit(report.error.exit_code)


@contextmanager
def materialize_progress() -> Iterator[Progress]:
    """A progress bar on stderr, one line per view, shown on a terminal only and gone in the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[view]:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    to = error_console()
    stage = TextColumn("{task.fields[stage]}")
    with Progress(*columns, stage, console=to, transient=True, disable=not to.is_terminal) as bars:
        tasks = {}

        def show(step: Step) -> None:
            if step.view not in tasks:
                tasks[step.view] = bars.add_task("", total=step.total, view=step.view, stage=step.stage)
            bars.update(tasks[step.view], completed=step.done, total=step.total, stage=step.stage)

        yield show


def print_report(report: MaterializationReport) -> None:
    """One line per view, then what a person should know."""
    print_table(
        ("view", "chunks", "rows", "late", "dropped", "online", "watermark", "seconds"),
        [
            (
                v.view,
                len(v.chunks),
                v.rows,
                v.late.rows if v.late else 0,
                v.dropped,
                v.published,
                _short(v.watermark_us),
                round(v.seconds, 2),
            )
            for v in report.views
        ],
        spare=("chunks",),
    )
    for view in report.views:
        for remark in view.remarks if view.error is None else view.remarks[:-1]:
            print_text(f"{view.view}: {remark}")
        if view.error is not None:
            print_error(view.error)
    if report.failure is not None:
        print_error(report.failure)
    for move in report.moves:
        print_text(moved(move))


def report_document(report: MaterializationReport) -> dict[str, object]:
    """The report as JSON."""
    return {
        "views": [_view_document(view) for view in report.views],
        "moves": [asdict(move) for move in report.moves],
        "failure": None if report.failure is None else _error_document(report.failure),
    }


def _error_document(error: FeatureStoreError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def _view_document(view: ViewReport) -> dict[str, object]:
    chunks = [
        {
            "start": _instant(chunk.start_us),
            "end": format_instant(chunk.end_us),
            "rows": chunk.rows,
            "dropped": chunk.dropped,
            "table_version": chunk.table_version,
        }
        for chunk in view.chunks
    ]
    return {
        "view": view.view,
        "version": view.version,
        "rows": view.rows,
        "pushed": view.pushed,
        "late": None if view.late is None else _late_document(view.late),
        "dropped": view.dropped,
        "published": view.published,
        "watermark": _instant(view.watermark_us),
        "seconds": round(view.seconds, 3),
        "chunks": chunks,
        "remarks": list(view.remarks),
        "error": None if view.error is None else _error_document(view.error),
    }


def _late_document(late: LateReport) -> dict[str, object]:
    behind = {"least": late.least_us, "median": late.median_us, "greatest": late.greatest_us}
    return {
        "rows": late.rows,
        "removed": late.removed,
        "dropped": late.dropped,
        "seconds_before_watermark": {name: None if us is None else us / 1_000_000 for name, us in behind.items()},
    }


def _short(micros: int | None) -> str | None:
    return None if micros is None else short_instant(micros)


def _instant(micros: int | None) -> str | None:
    return None if micros is None else format_instant(micros)


def historical(
    features: Annotated[list[str], typer.Argument(help="A service, or view:feature references.")],
    spine: Annotated[str, typer.Option(help="Parquet file, or SELECT over views, sources and datasets.")],
    timestamp: Annotated[str, typer.Option(help="The spine's column of instants.")] = "event_timestamp",
    out: Annotated[Path | None, typer.Option(help="Write all rows to this Parquet file.")] = None,
    save: Annotated[str | None, typer.Option(help="Save as the next version of this dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="With --save, record a split: time:14d,14d,gap=1d.")] = None,
    from_source: Annotated[bool, typer.Option("--from-source", help="Compute without materializing.")] = False,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Answer with what was committed by then.")] = None,
    statuses: Annotated[bool, typer.Option("--statuses", help="Add <feature>__status columns.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan; compute nothing.")] = False,
    limit: Limit = 10,
    as_json: JsonFlag = False,
) -> None:
    """Answer spine rows with features as they were known then. Each row with those of its own instant."""
    from featurestore.definitions.splits import parse_split

    if split is not None and save is None:
        raise InputError("--split is recorded with a dataset; give it a name with --save, or leave --split out.")
    with open_store() as store:
        asked = features[0] if len(features) == 1 else features
        training = store.get_historical_features(
            spine,
            asked,
            timestamp=timestamp,
            from_source=from_source,
            as_of=None if as_of is None else parse_instant(as_of),
            statuses=statuses,
        )
        if explain:
            typer.echo(training.explain())
        elif save is not None:
            _print_saved(training.save(save, None if split is None else parse_split(split)), as_json)
        elif out is not None:
            rows = training.to_parquet(out)
            print_json({"rows": rows, "path": str(out)}) if as_json else console().print(f"{rows:,} rows in {out}.")
        else:
            print_frame(training.to_polars(), limit, as_json)


def _print_saved(dataset: Dataset, as_json: bool) -> None:
    division, path = dataset.manifest.division, dataset.record.path
    if as_json:
        parts = None if division is None else division.rows
        print_json({"dataset": dataset.name, "version": dataset.version, "rows": dataset.rows, "path": path,
                    "split": parts})  # fmt: skip
        return
    console().print(f"Saved dataset {dataset.reference}: {dataset.rows:,} rows in {path}.")
    if division is not None:
        counts = ", ".join(f"{count:,} {part.replace('_', ' ')}" for part, count in division.rows.items())
        console().print(f"Split {division.split}: {counts}.")


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; views, sources and datasets are tables.")],
    limit: Limit = 50,
    as_json: JsonFlag = False,
) -> None:
    """Ask views, sources and datasets in DuckDB SQL, read-only."""
    with open_store() as store:
        print_frame(store.sql(query), limit, as_json)
