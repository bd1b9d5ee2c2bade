"""From an approved version to the champion: verified in a process of its own, then promoted by compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import GateRefused, InputError, UnknownNameError
from pipelines.definition.model_gate import Behaves
from pipelines.ledger.records import AliasMove, GateResult, ModelState, ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.models.states import check_move
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms
from pipelines.run_report import leave
from pipelines.steps.verify import Server, fresh_server, verify


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that became champion: the serving gate's report, and the alias that moved."""

    model: ModelVersion
    report: GateReport
    move: AliasMove


@dataclass(frozen=True, slots=True)
class Rollback:
    """An earlier champion that is the champion again; `broken_off`: it was before, in a rollback that did not end."""

    move: AliasMove
    broken_off: bool = False


def verify_version(
    rooms: PipelineRooms, model: ModelVersion, behaves: Behaves | None, server: Server | None = None
) -> GateReport:
    """The serving gate's verdict on an approved version, which becomes VERIFIED or REJECTED."""
    serve = server or fresh_server(rooms.store.root)
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
) -> Promotion:
    """Approve a version that waits for a person, verify it, and make it the champion; one that was approved goes on.

    Raises UnknownNameError, InputError for one that does not wait, GateRefused when it met no bound or does not behave
    in the server, and ConflictError when another champion came since its gate compared it.
    """
    model = rooms.ledger.model(name, version)
    _refuse_champion(rooms, model)
    if model.state not in (ModelState.APPROVED, ModelState.VERIFIED):
        rooms.models.approve(model, reason, actor)
    return promote_version(rooms, name, version, reason, actor=actor, server=server)


def promote_version(
    rooms: PipelineRooms,
    name: str,
    version: int,
    reason: str,
    *,
    actor: str | None = None,
    server: Server | None = None,
) -> Promotion:
    """Verify a version that was approved, and make it the champion.

    Raises UnknownNameError, InputError for one that was not approved, GateRefused when it does not behave in the
    server, and ConflictError when another champion came since its gate compared it.
    """
    model = rooms.ledger.model(name, version)
    _refuse_champion(rooms, model)
    if model.state is not ModelState.VERIFIED:
        check_move(model, ModelState.VERIFIED, "only an approved version is promoted.")
    try:
        behaves = rooms.pipeline(name).behaves()
    except UnknownNameError:  # a pipeline that is declared no more: its model can still be promoted
        behaves = None
    report = verify_version(rooms, model, behaves, server)
    rooms.ledger.add_gate_result(None, _outside_a_run(rooms, model, report))
    if not report.verdict.passed:
        leave(rooms, rooms.ledger.run(model.run))
        raise GateRefused(f"Model {name}@{version} does not behave as in training. {report.summary}")
    move = rooms.models.promote(rooms.ledger.model(name, version), reason, actor)
    leave(rooms, rooms.ledger.run(model.run))
    return Promotion(rooms.ledger.model(name, version), report, move)


def roll_back(rooms: PipelineRooms, name: str, to: int | None, reason: str) -> Rollback:
    """Make an earlier champion, by default the one before, the champion again (`ModelRegistry.rollback`).

    A rollback that was broken off after the champion had moved is finished first; where it went to `to`, or `to` is
    None, nothing else is done.
    """
    begun = rooms.ledger.unfinished_rollback(name)
    if begun is not None:
        _finish(rooms, begun)
        if to in (None, begun.to_version):
            return Rollback(begun, broken_off=True)
    if to is not None:
        _refuse_champion(rooms, rooms.ledger.model(name, to))
    move = rooms.models.rollback(name, to, reason=reason)
    _finish(rooms, move)
    return Rollback(move)


def _finish(rooms: PipelineRooms, move: AliasMove) -> None:
    assert move.to_version is not None, "a rollback leaves a champion"
    leave(rooms, rooms.ledger.run(rooms.ledger.model(move.model, move.to_version).run))
    rooms.ledger.finish_rollback(move)


def _refuse_champion(rooms: PipelineRooms, model: ModelVersion) -> None:
    """Raise InputError for the champion, once its pages are written: a broken off command may have left them."""
    if model.state is ModelState.CHAMPION:
        leave(rooms, rooms.ledger.run(model.run))
        raise InputError(f"Model {model.model}@{model.version} is the champion already.")


def _outside_a_run(rooms: PipelineRooms, model: ModelVersion, report: GateReport) -> GateResult:
    return GateResult(
        number=0,
        run=model.run,
        pipeline=model.model,
        gate=report.gate,
        verdict=report.verdict,
        policy=report.policy,
        at_us=rooms.ledger.now_us(),
        summary=report.summary,
        document={"report": report},
    )
