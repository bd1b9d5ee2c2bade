"""What `featurestore pipeline ...` shows: tables for people, documents for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import shorten
from typing import TYPE_CHECKING

import msgspec

from featurestore.cli.output import console, print_json, print_table, print_text
from featurestore.timeline import format_instant, short_instant

if TYPE_CHECKING:
    from pipelines.definition.pipeline import TrainingPipeline
    from pipelines.ledger.records import AliasMove, GateResult, ModelVersion, Run, Step
    from pipelines.promotion import Rollback
    from pipelines.rooms import PipelineRooms
    from pipelines.run_report import RunReport

_STYLES = {"PASS": "green", "PASS_DRIFTED": "yellow", "SUCCEEDED": "green", "CHAMPION": "bold green"}
_NONE_RUN = "No pipeline was run yet. `featurestore pipeline run NAME` runs one."
_METRIC = "roc_auc"


def standing(rooms: PipelineRooms, pipeline: TrainingPipeline) -> dict[str, object]:
    """A pipeline as it stands."""
    from pipelines.ledger.runs import RunFilter

    champion = rooms.models.champion(pipeline.name)
    last = rooms.ledger.runs(RunFilter(pipeline.name, "run", limit=1))
    return {
        "pipeline": pipeline.name,
        "service": pipeline.service.name,
        "label": pipeline.labels.name,
        "data_checks": len(pipeline.data_gate),
        "model_checks": len(pipeline.model_gate),
        "triggers": [type(trigger).__name__ for trigger in pipeline.triggers],
        "champion": None if champion is None else champion.version,
        "last_run": run_line(last[0]) if last else None,
    }


def show_standings(rows: Sequence[dict[str, object]], *, as_json: bool) -> None:
    """The declared pipelines."""
    if as_json:
        print_json(list(rows))
    elif rows:
        names = ("pipeline", "service", "label", "data checks", "model checks", "triggers", "champion", "last run")
        print_table(names, [_standing_row(row) for row in rows], spare=("triggers", "label"))
    else:
        console().print("No training pipeline is declared.")


def _standing_row(row: Mapping[str, object]) -> Sequence[object]:
    champion, last, triggers = row["champion"], row["last_run"], row["triggers"]
    assert isinstance(triggers, list)
    told = f"{last['number']} {last['state']}" if isinstance(last, dict) else "never run"
    shown = None if champion is None else f"v{champion}"
    plain = (row[name] for name in ("pipeline", "service", "label", "data_checks", "model_checks"))
    return (*plain, ", ".join(triggers) or "by hand", shown, told)


def run_line(run: Run) -> dict[str, object]:
    """A run without its steps."""
    document: dict[str, object] = {
        "number": run.number,
        "pipeline": run.pipeline,
        "kind": run.kind,
        "state": run.state.value,
        "trigger": run.trigger,
        "actor": run.actor,
        "as_of": format_instant(run.as_of_us),
        "created_at": format_instant(run.created_at_us),
        "ended_at": None if run.ended_at_us is None else format_instant(run.ended_at_us),
        "parameters": dict(run.parameters),
        "code": asdict(run.code),
        "outcome": run.outcome,
    }
    return document


def show_runs(runs: Sequence[Run], *, as_json: bool) -> None:
    """Runs, newest first."""
    if as_json:
        print_json([run_line(run) for run in runs])
    elif runs:
        rows = [
            (
                run.number,
                run.pipeline,
                run.kind,
                short_instant(run.as_of_us),
                run.trigger,
                run.state,
                _brief(run.outcome),
            )
            for run in runs
        ]
        print_table(("run", "pipeline", "kind", "as of", "started by", "state", "outcome"), rows, spare=("started by",))
    else:
        console().print(_NONE_RUN)


def _brief(outcome: str) -> str:
    """As much of an outcome as a row of a table holds; `pipeline show` tells all of it."""
    return shorten(outcome, 120, placeholder=" ...")


def run_document(report: RunReport) -> dict[str, object]:
    """All of a run."""
    evaluated = report.evaluated
    return run_line(report.run) | {
        "steps": [_step_document(step) for step in report.steps],
        "gates": [gate_document(gate) for gate in report.gates],
        "evaluated": None if evaluated is None else msgspec.to_builtins(evaluated),
        "model": None if report.model is None else model_document(report.model),
        "refused_rows": report.refused_rows,
        "page": str(report.page.relative_to(report.rooms.store.root)) if report.page.is_file() else None,
        "notices": [
            {"to": notice.to, "at": format_instant(notice.at_us), "done": notice.done, "text": notice.text}
            for notice in report.notices
        ],
    }


def _step_document(step: Step) -> dict[str, object]:
    return {
        "step": step.name,
        "state": step.state.value,
        "started_at": format_instant(step.started_at_us),
        "seconds": step.duration_us / 1e6,
        "reused_from": step.reused_from,
        "component": step.component,
        "fingerprint": step.fingerprint,
        "parameters": dict(step.parameters),
        "result": dict(step.result),
        "artifacts": dict(step.artifacts),
        "error": step.error,
    }


def show_run(report: RunReport) -> None:
    """A run as a person reads it: steps, gates, metrics, outcome."""
    run, out = report.run, console()
    out.print(f"[bold]Run {run.number}[/] of {run.pipeline} as of {short_instant(run.as_of_us)}, {run.trigger}")
    rows = [(step.name, _told(step), round(step.duration_us / 1e6, 2)) for step in report.steps]
    print_table(("step", "", "seconds"), rows)
    for gate in report.gates:
        show_gate(gate)
    evaluated = report.evaluated
    if evaluated is not None:
        parts = {**evaluated.metrics, **({"champion, test": evaluated.champion_metrics} if evaluated.champion else {})}
        names = list(dict.fromkeys(name for metrics in parts.values() for name in metrics))
        print_table(("metric", *parts), [(name, *(metrics.get(name) for metrics in parts.values())) for name in names])
    if report.refused_rows is not None:
        print_text(f"Refused rows: {report.refused_rows}")
    if report.page.is_file():
        print_text(f"Page: {report.page.relative_to(report.rooms.store.root)}")
    for notice in report.notices:
        print_text(notice.text if notice.done else f"Not told: {notice.text}")
    if run.outcome:
        print_text(f"{run.state}: {run.outcome}" if run.state.ended else run.state.value)


def _told(step: Step) -> str:
    if step.error is not None:
        return f"failed: {step.error}"
    return "done" if step.reused_from is None else f"reused from run {step.reused_from}"


def show_gate(gate: GateResult) -> None:
    """What each check of a gate found."""
    from rich.text import Text

    report = gate.document["report"]
    checks = report["checks"] if isinstance(report, dict) else []
    rows = [
        (check["check"], Text(check["verdict"], style=_STYLES.get(check["verdict"], "red")), check["reason"])
        for check in checks
    ]
    print_table((f"{gate.gate} gate", gate.verdict.value, "found"), rows)


def gate_document(gate: GateResult) -> dict[str, object]:
    """A gate's result."""
    return {
        "number": gate.number,
        "run": gate.run,
        "pipeline": gate.pipeline,
        "gate": gate.gate,
        "verdict": gate.verdict.value,
        "policy": gate.policy,
        "at": format_instant(gate.at_us),
        "summary": gate.summary,
        **gate.document,
    }


def show_gates(gates: Sequence[GateResult], *, as_json: bool) -> None:
    """What gates said, newest first."""
    if as_json:
        print_json([gate_document(gate) for gate in gates])
    elif gates:
        rows = [(g.run, g.pipeline, g.gate, g.verdict, short_instant(g.at_us), g.summary) for g in gates]
        print_table(("run", "pipeline", "gate", "verdict", "at", "reasons"), rows)
    else:
        console().print(_NONE_RUN)


def model_document(model: ModelVersion) -> dict[str, object]:
    """A version of a model with all that is kept of it."""
    return {
        "model": model.model,
        "version": model.version,
        "state": model.state.value,
        "run": model.run,
        "created_at": format_instant(model.created_at_us),
        "digest": model.digest,
        "compared_with": model.champion,
        **model.document,
    }


def show_models(models: Sequence[ModelVersion], moves: Sequence[AliasMove], *, as_json: bool) -> None:
    """Versions, newest first, and how the champion changed."""
    from rich.text import Text

    if as_json:
        print_json(
            {"models": [model_document(model) for model in models], "moves": [move_document(move) for move in moves]}
        )
        return
    if not models:
        console().print("No model is registered yet. `featurestore pipeline run NAME` trains one.")
        return
    rows = [
        (
            f"{model.model}@{model.version}",
            Text(model.state.value, style=_STYLES.get(model.state.value, "")),
            model.run,
            short_instant(model.created_at_us),
            model.document["dataset"],
            _main_metric(model.document["metrics"]),
            None if model.champion is None else f"v{model.champion}",
            _commit(model.document["code"]),
        )
        for model in models
    ]
    names = ("model", "state", "run", "created", "dataset", "test", "compared with", "code")
    print_table(names, rows, spare=("code", "created"))
    if moves:
        changes = [(m.model, short_instant(m.at_us), _move(m), m.actor, m.reason) for m in moves]
        print_table(("champion of", "at", "moved", "by", "reason"), changes)


def move_document(move: AliasMove) -> dict[str, object]:
    """An alias that moved."""
    return {
        "model": move.model,
        "alias": move.alias,
        "at": format_instant(move.at_us),
        "from_version": move.from_version,
        "to_version": move.to_version,
        "actor": move.actor,
        "reason": move.reason,
        "rollback": move.rollback,
    }


def in_place_of(version: int | None) -> str:
    """What follows the name of a new champion."""
    return "" if version is None else f" in the place of v{version}"


def champion_line(move: AliasMove) -> str:
    """Which version is the champion now."""
    return f"[bold]{move.model}@{move.to_version}[/] is the champion{in_place_of(move.from_version)}."


def show_rollback(done: Rollback, *, named: bool, as_json: bool) -> None:
    """A rollback; one whose version was not `named` says what giving it again does."""
    move = done.move
    if as_json:
        print_json(move_document(move) | {"broken_off": done.broken_off})
        return
    console().print(champion_line(move))
    if done.broken_off:
        print_text(
            f"That rollback was begun {format_instant(move.at_us)} by {move.actor} ({move.reason}) and broken off; it "
            "is finished now, and nothing else was moved."
        )
    if not named:
        print_text("The same command again goes back one more; --to VERSION names the version and is safe to repeat.")


def show_comparison(reports: Sequence[RunReport], *, as_json: bool) -> None:
    """Metrics of runs side by side, and the parameters in which they differ."""
    columns = [f"run {report.run.number}" for report in reports]
    metrics = [report.evaluated.metrics["test"] if report.evaluated else {} for report in reports]
    parameters = [_parameters(report) for report in reports]
    differing = _differing(parameters)
    if as_json:
        print_json(
            {
                str(report.run.number): {"metrics": measured, "parameters": {n: chosen.get(n) for n in differing}}
                for report, measured, chosen in zip(reports, metrics, parameters, strict=True)
            }
        )
        return
    names = list(dict.fromkeys(name for measured in metrics for name in measured))
    print_table(("metric", *columns), [(name, *(measured.get(name) for measured in metrics)) for name in names])
    if differing:
        rows = [(name, *(_shown(chosen.get(name)) for chosen in parameters)) for name in differing]
        print_table(("parameter", *columns), rows)
    else:
        console().print("The estimators have the same parameters.")


def _parameters(report: RunReport) -> dict[str, object]:
    """The estimator's parameters of the last training, and the dataset."""
    found: dict[str, object] = {}
    for step in report.steps:
        parameters = step.result.get("parameters")
        if step.name == "train" and isinstance(parameters, dict):
            found = dict(parameters)
        if step.name == "extract" and "dataset" in step.result:
            found["dataset"] = step.result["dataset"]
    return found


def _differing(chosen: Sequence[Mapping[str, object]]) -> list[str]:
    """The names of those that differ, without estimators whose own parameters are there too."""
    names = dict.fromkeys(name for parameters in chosen for name in parameters)
    whole = {"steps", *(name.rpartition("__")[0] for name in names)}
    plain = [name for name in names if name not in whole]
    return [name for name in plain if len({repr(parameters.get(name)) for parameters in chosen}) > 1]


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _main_metric(metrics: object) -> str | None:
    """The first metric of the test rows: ROC AUC of a classifier, R2 of a regressor."""
    test = metrics.get("test", {}) if isinstance(metrics, dict) else {}
    name = _METRIC if _METRIC in test else "r2"
    value = test.get(name)
    return None if value is None else f"{name} {value:.4f}"


def _commit(code: object) -> str | None:
    if not isinstance(code, dict) or code.get("commit") is None:
        return None
    return f"{str(code['commit'])[:10]}{' and changes' if code['dirty'] else ''}"


def _move(move: AliasMove) -> str:
    target = "none" if move.to_version is None else f"v{move.to_version}"
    return f"{target}{in_place_of(move.from_version)}{', rolled back' if move.rollback else ''}"
