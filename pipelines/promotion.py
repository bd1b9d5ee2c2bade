"""From an approved version to the champion: verified in a process of its own, then promoted by compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import GateRefused, UnknownNameError
from pipelines.definition.model_gate import Behaves
from pipelines.ledger.records import AliasMove, GateResult, ModelState, ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms
from pipelines.steps.verify import Server, fresh_server, verify


@dataclass(frozen=True, slots=True)
class Approval:
    """A version that a person approved: the serving gate's report, and the alias that moved."""

    model: ModelVersion
    report: GateReport
    move: AliasMove


def verify_version(
    rooms: PipelineRooms, model: ModelVersion, behaves: Behaves | None, server: Server | None = None
) -> GateReport:
    """The serving gate's verdict on an approved version, which becomes VERIFIED or REJECTED."""
    serve = server or fresh_server(rooms.store.root, rooms.models.trusted)
    golden = rooms.artifacts.path(rooms.ledger.artifact(ModelDocument.of(model).artifacts["golden"]))
    report = verify(model, golden, behaves, serve)
    if report.verdict.passed and model.state is ModelState.APPROVED:
        rooms.models.verified(model, report.summary)
    elif not report.verdict.passed and model.state in (ModelState.APPROVED, ModelState.VERIFIED):
        rooms.models.reject(model, report.summary)
    return report


def approve(
    rooms: PipelineRooms,
    name: str,
    version: int,
    reason: str,
    *,
    actor: str | None = None,
    server: Server | None = None,
) -> Approval:
    """Approve a version that waits for it, verify it, and make it the champion.

    A version that was approved before and not promoted goes on from there. Raises UnknownNameError, InputError for one
    that waits for nothing, GateRefused when it met no bound or does not behave in the server, and ConflictError when
    another champion came since its gate compared it.
    """
    model = rooms.ledger.model(name, version)
    if model.state not in (ModelState.APPROVED, ModelState.VERIFIED):
        model = rooms.models.approve(model, reason, actor)
    try:
        behaves = rooms.pipeline(name).behaves()
    except UnknownNameError:  # a pipeline that is declared no more: its model can still be approved
        behaves = None
    report = verify_version(rooms, model, behaves, server)
    rooms.ledger.add_gate_result(
        None,
        GateResult(
            number=0,
            run=model.run,
            pipeline=name,
            gate=report.gate,
            verdict=report.verdict,
            policy=report.policy,
            at_us=rooms.ledger.now_us(),
            summary=report.summary,
            document={"report": report},
        ),
    )
    if not report.verdict.passed:
        raise GateRefused(f"Model {name}@{version} does not behave as in training: {report.summary}")
    move = rooms.models.promote(rooms.ledger.model(name, version), reason, actor)
    return Approval(rooms.ledger.model(name, version), report, move)
