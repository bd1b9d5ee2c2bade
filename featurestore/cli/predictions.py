"""`featurestore pipeline label` and `monitor`: labels that come later, and how good predictions were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, error_console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.errors import InputError
from featurestore.timeline import format_instant, parse_duration, short_instant

if TYPE_CHECKING:
    import polars as pl

    from pipelines.prediction.monitoring import LiveWindow

Name = Annotated[str, typer.Argument(help="A training pipeline, and the model that it keeps.")]


def label(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="Parquet file of labels; by default those of the pipeline's source.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="The label's column; by default the label's name.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="The column of instants; by default the pipeline's.")] = None,
    known_at: Annotated[str | None, typer.Option(help="When each label became known; by default now.")] = None,
    within: Annotated[str, typer.Option(help="How long before its label a prediction may have been asked.")] = "1d",
    as_json: JsonFlag = False,
) -> None:
    """Join late labels to logged predictions. By prediction_id where the file has it, else by entity and time."""
    from pipelines.prediction.labels import LabelColumns, record_labels

    columns = LabelColumns(column, timestamp, known_at, parse_duration(within))
    frame = None if file is None else read_frame(file)
    with open_store() as store:
        found = record_labels(store, name, frame, columns)
    if as_json:
        print_json(asdict(found))
    else:
        print_text(
            f"{found.labels:,} labels: {found.joined:,} belong to predictions of {name}, {found.new:,} of them are new."
        )


def read_frame(path: Path) -> pl.DataFrame:
    """The rows of a Parquet file; raises InputError."""
    import polars as pl

    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}.") from error


def predict(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Parquet file with join keys and request columns.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    timestamp: Annotated[
        str | None, typer.Option(help="A column of instants: features as they were known then, not now.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="By default the champion.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Predict for each row of a file. Score, version of the model and of the features, prediction id."""
    from rich.progress import Progress

    from pipelines.prediction.batch import BatchPredictor, write_predictions
    from pipelines.rooms import PipelineRooms

    rows, to = read_frame(file), error_console()
    if not out.absolute().parent.is_dir():  # told before anything is predicted, and logged
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}; make it, or name another.")
    with open_store() as store, Progress(console=to, transient=True, disable=not to.is_terminal) as bars:
        PipelineRooms(store).check_known(name)
        batch = BatchPredictor(store, name, version)
        task = bars.add_task("predicting", total=rows.height)
        if timestamp is None:
            found = batch.online(rows, lambda done: bars.advance(task, done))
        else:
            found = batch.at(rows, timestamp)
    write_predictions(found, out)
    told = {"model": name, "version": int(found["version"][0]), "rows": found.height, "path": str(out)}
    if as_json:
        print_json(told)
    else:
        print_text(f"{found.height:,} predictions of {name}@{told['version']} in {out}.")


def monitor(
    name: Name,
    metric: Annotated[str | None, typer.Option(help="By default that of the pipeline's PerformanceDrop.")] = None,
    limit: Annotated[int, typer.Option(help="Windows to show, the newest.", min=1)] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show how good predictions were, window by window. As far as labels have come; intervals hold 95%."""
    from pipelines.prediction.monitoring import live_windows, rule_of
    from pipelines.rooms import PipelineRooms

    with open_store() as store:
        rooms = PipelineRooms(store)
        rule = rule_of(rooms.pipeline(name), metric)
        windows = live_windows(rooms, name, rule, newest=limit)
    if as_json:
        print_json({"pipeline": name, "metric": rule.metric, "windows": [_document(window) for window in windows]})
    elif windows:
        _show(name, rule.metric, windows)
    else:
        console().print(f"{name} has predicted nothing that was logged yet.")


def _document(window: LiveWindow) -> dict[str, object]:
    document = asdict(window) | {"state": window.state.value}
    for side in ("start", "end"):
        document[side] = format_instant(document.pop(f"{side}_us"))
    return document


def _show(name: str, metric: str, windows: Sequence[LiveWindow]) -> None:
    from featurestore.cli.sparkline import sparkline

    rows = [
        (
            short_instant(window.start_us),
            f"{name}@{window.version}",
            window.predictions,
            window.labels,
            window.state.value,
            *(None if value is None else round(value, 4) for value in (window.value, window.low, window.high)),
        )
        for window in windows
    ]
    print_table(("from", "model", "predictions", "labels", "state", metric, "low", "high"), rows)
    values = [window.value for window in windows if window.value is not None]
    if values:
        console().print(f"{metric} {sparkline(values)} {values[0]:.4f} to {values[-1]:.4f}")
