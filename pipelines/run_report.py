"""What the ledger has of a run, the page that tells it, and who else hears of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from featurestore.errors import FeatureStoreError
from featurestore.files import write_whole
from pipelines.ledger.records import AliasMove, GateResult, ModelState, ModelVersion, Notice, Run, StateChange, Step
from pipelines.models.files import load_model
from pipelines.pages.page import PageContent, run_page
from pipelines.rooms import PipelineRooms, page_path
from pipelines.steps.evaluate import Evaluated
from pipelines.telling import tell

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run with its steps, the results of its gates and who was told of them, in order, and the version of the model
    that it registered.
    """

    run: Run
    steps: tuple[Step, ...]
    gates: tuple[GateResult, ...]
    notices: tuple[Notice, ...]
    model: ModelVersion | None
    rooms: PipelineRooms

    @staticmethod
    def of(rooms: PipelineRooms, number: int) -> RunReport:
        """The report of a run; raises RegistryError when there is none."""
        run = rooms.ledger.run(number)
        steps = rooms.ledger.steps(number)
        gates = tuple(reversed(rooms.ledger.gate_results(run=number)))
        versions = [step.result["version"] for step in steps if step.name == "register" and "version" in step.result]
        model = rooms.ledger.model(run.pipeline, int(str(versions[-1]))) if versions else None
        return RunReport(run, steps, gates, rooms.ledger.notices(number), model, rooms)

    @property
    def evaluated(self) -> Evaluated | None:
        """The metrics; None when the run ended before."""
        found = [step.result for step in self.steps if step.name == "evaluate" and step.result]
        return msgspec.convert(found[-1], Evaluated) if found else None

    @property
    def moves(self) -> tuple[AliasMove, ...]:
        """When the version that the run registered became the champion and ceased to be it, in order."""
        if self.model is None:
            return ()
        version = self.model.version
        log = self.rooms.ledger.alias_log(self.model.model)
        return tuple(move for move in reversed(log) if version in (move.from_version, move.to_version))

    @property
    def put_away(self) -> StateChange | None:
        """When and why the version that the run registered went into quarantine; None while it is not there."""
        if self.model is None or self.model.state is not ModelState.QUARANTINED:
            return None
        changes = self.rooms.ledger.state_log(self.model.model, self.model.version)
        return next(change for change in changes if change.to_state is ModelState.QUARANTINED)

    @property
    def page(self) -> Path:
        """Where the HTML page of the run lies, once it has ended."""
        return page_path(self.rooms, self.run.number)

    @property
    def refused_rows(self) -> str | None:
        """Where the rows lie that broke the contract, as Parquet, from the project's folder; None when none did."""
        digest = next((s.artifacts["refused"] for s in reversed(self.steps) if "refused" in s.artifacts), None)
        return None if digest is None else self.rooms.ledger.artifact(digest).path

    def write_page(self) -> Path:
        """Write the page as the ledger knows the run now; raises OSError, and PipelineError for a lost artifact."""
        digest = next((s.artifacts["curves"] for s in reversed(self.steps) if "curves" in s.artifacts), None)
        curves = None if digest is None else self.rooms.artifacts.read(self.rooms.ledger.artifact(digest))
        content = PageContent(self.run, self.steps, self.gates, self.evaluated, self.model, self.moves, self.put_away)
        page = run_page(content, curves).encode()
        write_whole(self.page, lambda file: file.write(page))
        return self.page

    def estimator(self) -> object | None:
        """The fitted model that the run trained, as it was stored; None when it trained none."""
        digest = next((s.artifacts["model"] for s in reversed(self.steps) if "model" in s.artifacts), None)
        if digest is None:
            return None
        path = self.rooms.artifacts.path(self.rooms.ledger.artifact(digest))
        return load_model(path, digest, self.rooms.models.trusted)


def leave(rooms: PipelineRooms, run: Run) -> RunReport:
    """Write the pages of a run that has ended and of those whose models it concerns, and tell others of it.

    Called again when the run's version is judged, moved or put away later. What fails here fails no run.
    """
    report = write_pages(rooms, run.number)
    tell(rooms, run)
    return replace(report, notices=rooms.ledger.notices(run.number))


def write_pages(rooms: PipelineRooms, number: int) -> RunReport:
    """Write the pages of a run and of those whose models it concerns; a page that cannot be written is logged."""
    report = RunReport.of(rooms, number)
    _write_page(report)
    for other in sorted(_concerned(rooms, report) - {number}):
        _write_page(RunReport.of(rooms, other))
    return report


def _concerned(rooms: PipelineRooms, report: RunReport) -> set[int]:
    """The runs of the versions that the last move of the run's version took the champion from and to."""
    if report.model is None or not report.moves:
        return set()
    last = report.moves[-1]
    versions = [version for version in (last.from_version, last.to_version) if version is not None]
    return {rooms.ledger.model(last.model, version).run for version in versions}


def _write_page(report: RunReport) -> None:
    try:
        report.write_page()
    except (OSError, FeatureStoreError) as error:
        log.warning("Run %d has no page: %s", report.run.number, error)
