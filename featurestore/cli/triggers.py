"""`featurestore tick` and `watch`, and what `featurestore pipeline` says of triggers: `why` and `backtest`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, error_console, print_error, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.errors import FeatureStoreError
from featurestore.timeline import (
    duration_us,
    format_instant,
    instant_us,
    parse_duration,
    parse_instant,
    short_instant,
)

if TYPE_CHECKING:
    from pipelines.ledger.records import Observation, Run
    from pipelines.ledger.triggers import Materialization
    from pipelines.prediction.past import Logged
    from pipelines.triggers.backtest import BacktestReport
    from pipelines.triggers.explaining import Explanation
    from pipelines.triggers.ticking import PipelineTick, TickReport

Name = Annotated[str, typer.Argument(help="A training pipeline.")]


def tick(as_json: JsonFlag = False) -> None:
    """Do what is due, once: materialize, join labels, train. All triggers are looked at."""
    from pipelines.triggers.starting import open_ticker

    with open_store() as store:
        report = open_ticker(store).tick()
    if as_json:
        print_json(_tick_document(report))
    else:
        for line in tick_lines(report) or ["Nothing was due."]:
            print_text(line)
    if code := _exit_code(report):
        raise typer.Exit(code)


def watch(
    every: Annotated[str, typer.Option(help="How long to wait between two looks: 30s, 5m.")] = "30s",
    as_json: JsonFlag = False,
) -> None:
    """Tick again and again, until SIGTERM or Ctrl-C. A run that is under way is brought to its end first."""
    from pipelines.triggers.starting import open_ticker
    from pipelines.triggers.watching import stopping, watch

    def seen(report: TickReport) -> None:
        if as_json and (report.materialized or any(p.observations or p.labels for p in report.pipelines)):
            typer.echo(json.dumps(_tick_document(report), ensure_ascii=False))
        elif not as_json:
            for line in tick_lines(report):
                print_text(line)

    def failed(error: Exception) -> None:
        if isinstance(error, FeatureStoreError):
            print_error(error)
        else:
            error_console().print(f"{type(error).__name__}: {error}", style="red", markup=False)

    with open_store() as store, stopping(parse_duration(every).total_seconds()) as pause:
        typer.echo(json.dumps({"watching_every": every}) if as_json else f"Watching every {every} (end with Ctrl-C).")
        watch(open_ticker(store).tick, seen, failed, pause)


def why(
    name: Name,
    since: Annotated[
        str | None, typer.Option(help="Only what happened since: a date, or an instant with zone.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Events to show, the newest.", min=1)] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Say why a pipeline did, or did not, retrain. What its triggers saw, what was decided, what its runs became."""
    from pipelines.rooms import PipelineRooms
    from pipelines.triggers.explaining import explain
    from pipelines.triggers.plans import current_plans

    since_us = None if since is None else instant_us(parse_instant(since), "since")
    with open_store() as store:
        ledger = PipelineRooms(store).ledger
        plan = current_plans(store.root, store.configuration.definitions, ledger).plan(name)
        story = explain(ledger, plan, store.now_us(), since_us, limit)
    if as_json:
        print_json(_story_document(story))
        return
    for sentence in (*story.answer, story.champion):
        print_text(sentence)
    if story.events:
        rows = [(short_instant(e.at_us), e.whom, e.what, e.run, e.why) for e in story.events]
        print_table(("at", "who", "what", "run", "why"), rows)


def backtest(
    name: Name,
    since: Annotated[str, typer.Option("--from", help="From then on: a date, or an instant with zone.")],
    until: Annotated[str, typer.Option("--to", help="Up to then, included.")] = "now",
    every: Annotated[str, typer.Option(help="How often to look, beside the times of schedules: 1h, 1d.")] = "1d",
    as_json: JsonFlag = False,
) -> None:
    """Say when triggers would have retrained a pipeline. On the rows, predictions and labels that there are."""
    from pipelines.rooms import PipelineRooms
    from pipelines.triggers.backtest import backtest as replay
    from pipelines.triggers.plans import current_plans

    interval = (instant_us(parse_instant(since), "from"), instant_us(parse_instant(until), "to"))
    with open_store() as store:
        ledger = PipelineRooms(store).ledger
        plan = current_plans(store.root, store.configuration.definitions, ledger).plan(name)
        report = replay(store, plan, interval, duration_us(parse_duration(every)))
    print_json(_backtest_document(report)) if as_json else _print_backtest(report)


def tick_lines(report: TickReport) -> list[str]:
    """What a tick saw and did, a line each."""
    views = [_view_line(one) for one in report.materialized]
    return [*views, *(line for pipeline in report.pipelines for line in _pipeline_lines(pipeline))]


def _view_line(one: Materialization) -> str:
    due = f"view {one.view}, due at {format_instant(one.due_us)}"
    return f"{due}: {one.rows:,} rows" if one.state == "DONE" else f"{due}: {one.state}: {one.reason}"


def _pipeline_lines(tick: PipelineTick) -> Iterator[str]:
    if tick.busy:
        yield f"{tick.pipeline}: another process is at it"
    if tick.labels is not None and tick.labels.decision != "IDLE":
        yield f"{tick.pipeline}: {tick.labels.trigger}: {tick.labels.decision}: {tick.labels.reason}"
    for one in tick.observations:
        run = "" if one.run is None else f", run {one.run}"
        yield f"{tick.pipeline}: {one.trigger}: {one.decision}{run}: {one.reason}"
    if tick.run is not None and tick.run.state.ended:
        yield f"{tick.pipeline}: run {tick.run.number} {tick.run.state}: {tick.run.outcome}"


def _exit_code(report: TickReport) -> int:
    """1 when a gate refused something, else 2 when something failed."""
    states = {one.state.value for one in report.materialized}
    states |= {tick.run.state.value for tick in report.pipelines if tick.run is not None}
    states |= {tick.labels.decision.value for tick in report.pipelines if tick.labels is not None}
    return 1 if "REFUSED" in states else 2 if "FAILED" in states else 0


def _tick_document(report: TickReport) -> dict[str, object]:
    return {
        "materialized": [
            {
                "view": one.view,
                "due": format_instant(one.due_us),
                "state": one.state.value,
                "rows": one.rows,
                "watermark": None if one.watermark_us is None else format_instant(one.watermark_us),
                "reason": one.reason,
            }
            for one in report.materialized
        ],
        "pipelines": [
            {
                "pipeline": tick.pipeline,
                "busy": tick.busy,
                "labels": None if tick.labels is None else _observation_document(tick.labels),
                "observations": [_observation_document(one) for one in tick.observations],
                "run": None if tick.run is None else _run_document(tick.run),
                "waits": tick.waits,
            }
            for tick in report.pipelines
        ],
    }


def _observation_document(one: Observation) -> dict[str, object]:
    return {
        "trigger": one.trigger,
        "decision": one.decision.value,
        "run": one.run,
        "reason": one.reason,
        "document": dict(one.document),
    }


def _run_document(run: Run) -> dict[str, object]:
    return {"number": run.number, "state": run.state.value, "trigger": run.trigger, "outcome": run.outcome}


def _story_document(story: Explanation) -> dict[str, object]:
    return {
        "pipeline": story.pipeline,
        "answer": list(story.answer),
        "champion": story.champion,
        "triggers": [
            {
                "trigger": one.trigger,
                "what": one.what,
                "why": one.why,
                "run": one.run,
                "seen": None if one.seen_us is None else format_instant(one.seen_us),
                "times": one.times,
            }
            for one in story.triggers
        ],
        "events": [
            {"at": format_instant(e.at_us), "who": e.whom, "what": e.what, "run": e.run, "why": e.why}
            for e in story.events
        ],
    }


def _backtest_document(report: BacktestReport) -> dict[str, object]:
    return {
        "pipeline": report.pipeline,
        "from": format_instant(report.from_us),
        "to": format_instant(report.to_us),
        "looks": report.looks,
        "suppressed": report.suppressed,
        "runs": [
            {"run": run.number, "at": format_instant(run.at_us), "trigger": run.trigger, "reason": run.reason,
             "joined": list(run.joined)}
            for run in report.runs
        ],
        "predictions": None if report.logged is None else {
            "logged": report.logged.count,
            "first": None if report.logged.first_us is None else format_instant(report.logged.first_us),
            "last": None if report.logged.last_us is None else format_instant(report.logged.last_us),
        },
    }  # fmt: skip


def _print_backtest(report: BacktestReport) -> None:
    rows = [(run.number, short_instant(run.at_us), run.trigger, run.reason, ", ".join(run.joined) or None)
            for run in report.runs]  # fmt: skip
    if rows:
        print_table(("run", "at", "trigger", "reason", "joined by"), rows)
    print_text(
        f"{len(report.runs):,} runs would have started in {report.looks:,} looks; triggers fired and were refused "
        f"{report.suppressed:,} times."
    )
    if report.logged is not None:
        print_text(_predictions_line(report, report.logged))


def _predictions_line(report: BacktestReport, logged: Logged) -> str:
    if logged.first_us is None or logged.last_us is None:
        until = format_instant(report.to_us)
        return f"No prediction of {report.pipeline} was logged up to {until}, so PerformanceDrop could not fire."
    asked = f"from {format_instant(logged.first_us)} to {format_instant(logged.last_us)}"
    return f"PerformanceDrop went by {logged.count:,} predictions of {report.pipeline}, asked for {asked}."
