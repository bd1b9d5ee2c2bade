"""The page of a run: one HTML file that needs nothing else, for the browser and for the archive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from featurestore.timeline import format_instant, short_instant
from pipelines.ledger.records import AliasMove, GateResult, ModelVersion, Run, StateChange, Step
from pipelines.pages.plots import gate_plots, model_plots
from pipelines.pages.style import COLORS, PAGE, PLOTS
from pipelines.steps.evaluate import Evaluated


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the page of a run tells: gates and the champion's `moves` in order, and the version that was registered.

    `put_away`: when that went into quarantine.
    """

    run: Run
    steps: Sequence[Step]
    gates: Sequence[GateResult]
    evaluated: Evaluated | None
    model: ModelVersion | None
    moves: Sequence[AliasMove]
    put_away: StateChange | None = None


def run_page(content: PageContent, curves: bytes | None) -> str:
    """The page; `curves` is the JSON of `steps.evaluate.curves`. Whatever a project says stands in it as text."""
    run, gates = content.run, content.gates
    plots = [*model_plots(json.loads(curves) if curves is not None else {}), *gate_plots(gates)]
    drawn = "".join(f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in plots)
    body = [*_head(run), *_model(content), *(part for gate in gates for part in _gate(gate))]
    body += ["<h2>Plots</h2>", f'<div class="plots">{drawn}</div>'] if plots else []
    body += [] if content.evaluated is None else _metrics(content.evaluated)
    body += [*_steps(content.steps), *_origin(run, content.steps)]
    title = f"Run {run.number} of {run.pipeline}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{COLORS}{PLOTS}{PAGE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _head(run: Run) -> Iterator[str]:
    began = f"{run.kind} as of {short_instant(run.as_of_us)}, {run.trigger}, by {run.actor}"
    yield f"<h1>{escape(run.pipeline)}, run {run.number}</h1>"
    yield f'<p class="soft">{escape(began)}</p>'
    yield f'<div class="outcome {run.state.value}">{_tag(run.state.value)}<p>{escape(run.outcome)}</p></div>'


def _model(content: PageContent) -> Iterator[str]:
    """The version that the run registered, and when it became the champion and ceased to be it."""
    model = content.model
    if model is None:
        return
    rows = [
        (short_instant(move.at_us), _moved(move, model.version), escape(move.actor), escape(move.reason))
        for move in content.moves
    ]
    yield f"<h2>{escape(model.model)}@{model.version} &ensp;{_tag(model.state.value)}</h2>"
    yield _table(("at", "moved", "by", "reason"), rows) if rows else '<p class="soft">It was never the champion.</p>'
    if content.put_away is not None:
        away = content.put_away
        yield f"<p>Quarantined at {short_instant(away.at_us)}, by {escape(away.actor)}: {escape(away.reason)}</p>"


def _moved(move: AliasMove, version: int) -> str:
    if move.to_version != version:
        return "no champion any more" if move.to_version is None else f"v{move.to_version} took its place"
    before = "" if move.from_version is None else f" in the place of v{move.from_version}"
    return f"became the champion{before}{', rolled back' if move.rollback else ''}"


def _gate(gate: GateResult) -> Iterator[str]:
    report: Any = gate.document.get("report", {})
    yield f"<h2>{escape(gate.gate.capitalize())} gate &ensp;{_tag(gate.verdict.value)}</h2>"
    rows = [
        (escape(check["check"]), _tag(check["verdict"]), escape(check["reason"]) + _proofs(check["proved"]))
        for check in report.get("checks", ())
    ]
    yield _table(("check", "verdict", "found"), rows)


def _proofs(proved: Sequence[str]) -> str:
    return f'<div class="proofs">refused before: {escape(", ".join(proved))}</div>' if proved else ""


def _metrics(evaluated: Evaluated) -> Iterator[str]:
    parts = dict(evaluated.metrics)
    if evaluated.champion is not None:
        parts[f"champion v{evaluated.champion}, test"] = evaluated.champion_metrics
    names = dict.fromkeys(name for found in parts.values() for name in found)
    rows = [(escape(name), *(_number(found.get(name)) for found in parts.values())) for name in names]
    yield "<h2>Metrics</h2>"
    yield _table(("metric", *map(escape, parts)), rows, numbers=True)


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    def told(step: Step) -> str:
        if step.error is not None:
            return escape(step.error)
        return "" if step.reused_from is None else f"result of run {step.reused_from}"

    rows = [
        (f"{step.duration_us / 1e6:.2f} s", escape(step.name), _tag(step.state.value), told(step)) for step in steps
    ]
    yield "<h2>Steps</h2>"
    yield _table(("duration", "step", "state", ""), rows)


def _origin(run: Run, steps: Sequence[Step]) -> Iterator[str]:
    """What the run was made of: dataset, rows, estimator, code."""
    commit = run.code.commit or "outside git"
    told = {
        "dataset": _first(steps, "dataset"),
        "SHA-256 of the dataset": _first(steps, "sha256"),
        "rows": _first(steps, "rows"),
        "split": _first(steps, "split"),
        "estimator": _first(steps, "estimator"),
        "set for this run": dict(run.parameters) or None,
        "code": f"{commit}{' and changes' if run.code.dirty else ''}",
        "packages": run.code.lock,
        "began": format_instant(run.created_at_us),
        "ended": None if run.ended_at_us is None else format_instant(run.ended_at_us),
    }
    rows = [(name, f"<code>{escape(str(value))}</code>") for name, value in told.items() if value is not None]
    yield "<h2>Made of</h2>"
    yield _table(("", ""), rows)


def _first(steps: Sequence[Step], name: str) -> object:
    return next((step.result[name] for step in steps if name in step.result), None)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _tag(state: str) -> str:
    return f'<span class="tag {state}">{state.replace("_", " ").lower()}</span>'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A table of HTML cells; with `numbers` all but the first column are figures."""

    def cells(kind: str, values: Sequence[str]) -> str:
        right = [' class="n"' if numbers and place else "" for place in range(len(values))]
        return "".join(f"<{kind}{style}>{value}</{kind}>" for style, value in zip(right, values, strict=True))

    head = f"<tr>{cells('th', names)}</tr>" if any(names) else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}{body}</table></div>'
