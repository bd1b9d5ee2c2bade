"""What follows a run: those who asked are told what its gates said, and MLflow is brought up to date.

The ledger is the authority. Neither can break a run: what could not be told stands among the run's notices.
"""

from __future__ import annotations

import re

from featurestore.timeline import format_instant
from pipelines.calling import call_person
from pipelines.ledger.records import GateResult, Notice, Run
from pipelines.rooms import PipelineRooms


def tell(rooms: PipelineRooms, run: Run) -> None:
    """Tell of a run what has not been told; an alert is tried once, and MLflow again with the next run."""
    told = {notice.gate for notice in rooms.ledger.notices(run.number)}
    for result in reversed(rooms.ledger.gate_results(run=run.number)):
        if result.number not in told:
            _alert(rooms, result)
    if rooms.store.configuration.mlflow.tracking_uri is not None:
        _mirror(rooms, run)


def gate_event(rooms: PipelineRooms, result: GateResult) -> dict[str, object]:
    """A gate's result as a webhook gets it; `checks` are those of its report."""
    report = result.document.get("report")
    return {
        "event": "gate",
        "project": rooms.store.configuration.project,
        "pipeline": result.pipeline,
        "run": result.run,
        "gate": result.gate,
        "verdict": result.verdict.value,
        "summary": result.summary,
        "at": format_instant(result.at_us),
        "checks": report.get("checks", []) if isinstance(report, dict) else [],
    }


def _alert(rooms: PipelineRooms, result: GateResult) -> None:
    alerts = rooms.store.configuration.alerts
    if result.verdict.value not in alerts.gates or (alerts.webhook is None and alerts.command is None):
        return
    try:
        text, done = call_person(alerts, rooms.store.root, gate_event(rooms, result)), True
    except (OSError, ValueError) as error:
        text, done = str(error), False
    rooms.ledger.add_notice(
        Notice(0, result.run, "alert", result.number, rooms.ledger.now_us(), done, f"{result.gate} gate: {text}")
    )


def _mirror(rooms: PipelineRooms, run: Run) -> None:
    from pipelines.mirror import mirror_pipeline

    try:
        text, done = str(mirror_pipeline(rooms, run.pipeline)), True
    except Exception as error:  # noqa: BLE001 -- whatever MLflow raises, the run has ended as it has ended
        text, done = f"MLflow was not brought up to date: {without_login(str(error))}", False
    rooms.ledger.add_notice(Notice(0, run.number, "mlflow", None, rooms.ledger.now_us(), done, text))


def without_login(text: str) -> str:
    """The text without what stands before the @ of an address."""
    return re.sub(r"(\w://)[^\s/@]+@", r"\1", text)
