"""`featurestore pipeline ...`: what runs, and what a person decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import pipeline_views as views
from featurestore.cli.output import JsonFlag, console, error_console, print_json, print_text
from featurestore.cli.project import open_store
from featurestore.errors import InputError

if TYPE_CHECKING:
    from pipelines.ledger.records import AliasMove
    from pipelines.rooms import PipelineRooms
    from pipelines.run_report import RunReport
    from pipelines.stepping import Progress

app = typer.Typer(help="Training pipelines: their runs, gates and models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A training pipeline, and the model that it keeps.")]
SomeName = Annotated[str | None, typer.Argument(help="A training pipeline; by default all.")]
Version = Annotated[int, typer.Argument(help="The version of the model.", min=1)]
Reason = Annotated[str, typer.Option(help="Why, for those who read the log.")]
Limit = Annotated[int, typer.Option(help="How many, the newest first.", min=1)]


@contextmanager
def open_rooms() -> Iterator[PipelineRooms]:
    """The pipelines of the project that `--project` names."""
    from pipelines.rooms import PipelineRooms

    with open_store() as store:
        yield PipelineRooms(store)


@contextmanager
def step_progress() -> Iterator[Progress]:
    """Shows on a terminal which step is being done."""
    from pipelines.stepping import unseen

    out = error_console()
    if not out.is_terminal:
        yield unseen
        return
    with out.status("begins") as status:
        yield lambda step, state: status.update(step) if state is None else None


@app.command("list")
def list_pipelines(as_json: JsonFlag = False) -> None:
    """List the declared pipelines. With the champion of each, and how its last run ended."""
    with open_rooms() as rooms:
        rows = [views.standing(rooms, pipeline) for pipeline in rooms.pipelines().values()]
    views.show_standings(rows, as_json=as_json)


@app.command("run")
def run(name: Name, as_json: JsonFlag = False) -> None:
    """Run a pipeline as of now. One that was broken off is gone on with; exit code 1 when a gate refuses."""
    from pipelines.running import run_pipeline

    with open_rooms() as rooms, step_progress() as progress:
        report = run_pipeline(rooms.store, name, progress=progress)
        _end(report, as_json=as_json)


@app.command("experiment")
def experiment(
    name: Name,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the estimator, such as model__max_iter=300; may be repeated."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Do the steps of a run, and promote nothing. They end with the comparison; exit code 1 when a gate refuses."""
    from pipelines.running import run_experiment

    chosen = dict(_setting(text) for text in settings or ())
    with open_rooms() as rooms, step_progress() as progress:
        report = run_experiment(rooms.store, name, chosen, progress=progress)
        _end(report, as_json=as_json)


@app.command("runs")
def runs(name: SomeName = None, limit: Limit = 20, as_json: JsonFlag = False) -> None:
    """List runs and experiments, what started each and how it ended."""
    from pipelines.ledger.runs import RunFilter

    with open_rooms() as rooms:
        rooms.check_known(name)
        found = rooms.ledger.runs(RunFilter(pipeline=name, limit=limit))
    views.show_runs(found, as_json=as_json)


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="RUN", help="The number of a run.", min=1)],
    open_page: Annotated[bool, typer.Option("--open", help="Open its page in a browser.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show a run. Its steps with times, what each gate found, metrics and artifacts, and where its page lies."""
    from pipelines.run_report import RunReport

    with open_rooms() as rooms:
        report = RunReport.of(rooms, number)
        if as_json:
            print_json(views.run_document(report))
        else:
            views.show_run(report)
        if open_page and report.page.is_file():
            typer.launch(str(report.page))


@app.command("compare")
def compare(
    numbers: Annotated[list[int], typer.Argument(metavar="RUN...", help="The numbers of two runs or more.")],
    as_json: JsonFlag = False,
) -> None:
    """Hold runs beside each other. Metrics on their test rows, and the parameters in which they differ."""
    from pipelines.run_report import RunReport

    if len(set(numbers)) < 2:
        raise InputError("Give two runs or more to compare; `featurestore pipeline runs` lists them.")
    with open_rooms() as rooms:
        reports = [RunReport.of(rooms, number) for number in dict.fromkeys(numbers)]
    for report in reports:
        if report.evaluated is None:
            ended = f"it is {report.run.state} and has not come to `evaluate`"
            raise InputError(f"Run {report.run.number} has no metrics to compare: {ended}. Choose another run.")
    views.show_comparison(reports, as_json=as_json)


@app.command("models")
def models(name: SomeName = None, as_json: JsonFlag = False) -> None:
    """List the versions of models. Where each stands, and how the champion changed."""
    with open_rooms() as rooms:
        rooms.check_known(name)
        found, moves = rooms.ledger.models(name), rooms.ledger.alias_log(name)
    views.show_models(found, moves, as_json=as_json)


@app.command("gates")
def gates(name: SomeName = None, limit: Limit = 20, as_json: JsonFlag = False) -> None:
    """List what gates said, with their reasons."""
    with open_rooms() as rooms:
        rooms.check_known(name)
        found = rooms.ledger.gate_results(name, limit=limit)
    views.show_gates(found, as_json=as_json)


@app.command("approve")
def approve(name: Name, version: Version, reason: Reason, as_json: JsonFlag = False) -> None:
    """Approve a version that waits for a person. It is verified in a process of its own, and made the champion."""
    from pipelines.promotion import approve as approve_version

    with open_rooms() as rooms:
        approval = approve_version(rooms, name, version, reason)
    _print_move(approval.move, approval.report.summary, as_json=as_json)


@app.command("promote")
def promote(name: Name, version: Version, reason: Reason, as_json: JsonFlag = False) -> None:
    """Make an approved version the champion. The present one must be the one that its gate compared it with."""
    from pipelines.promotion import promote_version

    with open_rooms() as rooms:
        promotion = promote_version(rooms, name, version, reason)
    _print_move(promotion.move, promotion.report.summary, as_json=as_json)


@app.command("rollback")
def rollback(
    name: Name,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="The version; by default the champion before.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an earlier champion the champion again. A rollback that was broken off is brought to its end instead."""
    from pipelines.promotion import roll_back

    with open_rooms() as rooms:
        done = roll_back(rooms, name, to, reason)
    views.show_rollback(done, named=to is not None, as_json=as_json)


@app.command("mirror")
def mirror(name: SomeName = None, as_json: JsonFlag = False) -> None:
    """Bring MLflow up to date with the ledger. Runs and model versions that it lacks, states, the champion."""
    from pipelines.mirror import mirror_pipeline, tracking_uri

    with open_rooms() as rooms:
        tracking_uri(rooms)  # also when there is no run to mirror yet
        rooms.check_known(name)
        names = [name] if name is not None else sorted({run.pipeline for run in rooms.ledger.runs()})
        told = {each: mirror_pipeline(rooms, each) for each in names}
    if as_json:
        print_json({each: {"runs": found.runs, "versions": found.versions} for each, found in told.items()})
        return
    for each, found in told.items():
        print_text(f"{each}: {found}")


def _end(report: RunReport, *, as_json: bool) -> None:
    """Show a run that has ended; what a gate refused ends with exit code 1."""
    from pipelines.ledger.records import RunState

    if as_json:
        print_json(views.run_document(report))
    else:
        views.show_run(report)
    if report.run.state is RunState.REFUSED:
        raise typer.Exit(1)


def _print_move(move: AliasMove, verified: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(views.move_document(move) | ({} if verified is None else {"verified": verified}))
        return
    if verified is not None:
        print_text(verified)
    console().print(views.champion_line(move))


def _setting(text: str) -> tuple[str, object]:
    """`name=value`; the value is JSON where it can be, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--set '{text}' is no setting; write NAME=VALUE, such as model__max_iter=300.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
