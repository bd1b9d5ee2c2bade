"""Runs: the automated pipeline and the experiment, one code path under two policies.

An experiment ends with the comparison: it registers and promotes nothing. A run registers, and promotes what its gates
let through; a first model waits for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from featurestore.errors import ConflictError, FeatureStoreError
from featurestore.files import write_whole
from featurestore.offline.lease import lease
from featurestore.store import FeatureStore
from pipelines import promotion
from pipelines.code import code_version
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.flow import Flow
from pipelines.gates import behaviour
from pipelines.ledger.records import GateResult, ModelState, ModelVersion, Notice, Run, RunKind, RunState, Step, Verdict
from pipelines.ledger.runs import RunFilter
from pipelines.models.files import load_model
from pipelines.pages.page import run_page
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms
from pipelines.stepping import Done, Progress, Stepper, Task, unseen
from pipelines.steps import promote, register, verify
from pipelines.steps.evaluate import Evaluated
from pipelines.steps.promote import Promoted
from pipelines.steps.register import Candidate, Registered
from pipelines.steps.verify import Server
from pipelines.telling import tell

log = logging.getLogger(__name__)

BY_HAND = "by hand"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The serving gate's report on a version."""

    report: GateReport
    version: int


class Ending(NamedTuple):
    """How a run ends, in a sentence."""

    state: RunState
    outcome: str


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
    def page(self) -> Path:
        """Where the HTML page of the run lies, once it has ended."""
        return self.rooms.folder / "runs" / f"{self.run.number}.html"

    def write_page(self) -> Path:
        """Write the page as the ledger knows the run now; raises OSError, and PipelineError for a lost artifact."""
        digest = next((s.artifacts["curves"] for s in reversed(self.steps) if "curves" in s.artifacts), None)
        curves = None if digest is None else self.rooms.artifacts.read(self.rooms.ledger.artifact(digest))
        content = run_page(self.run, self.steps, self.gates, self.evaluated, curves).encode()
        write_whole(self.page, lambda file: file.write(content))
        return self.page

    def estimator(self) -> object | None:
        """The fitted model that the run trained, as it was stored; None when it trained none."""
        digest = next((s.artifacts["model"] for s in reversed(self.steps) if "model" in s.artifacts), None)
        if digest is None:
            return None
        path = self.rooms.artifacts.path(self.rooms.ledger.artifact(digest))
        return load_model(path, digest, self.rooms.models.trusted)


def run_pipeline(
    store: FeatureStore,
    pipeline: TrainingPipeline | str,
    *,
    trigger: str = BY_HAND,
    progress: Progress = unseen,
    server: Server | None = None,
) -> RunReport:
    """Run a pipeline as of now, or go on with a run that was broken off, under the pipeline's lease.

    A gate that refuses ends the run as REFUSED; an error ends it as FAILED and is raised. Raises ConflictError when
    another process runs the pipeline.
    """
    rooms = PipelineRooms(store)
    declared = rooms.pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    with exclusive(rooms, declared.name):
        broken_off = rooms.ledger.runs(RunFilter(declared.name, "run", (RunState.RUNNING,), limit=1))
        run = broken_off[0] if broken_off else add_run(rooms, declared.name, "run", trigger)
        return execute(rooms, run, declared, progress, server)


def run_experiment(
    store: FeatureStore,
    pipeline: TrainingPipeline | str,
    settings: Mapping[str, object] | None = None,
    *,
    progress: Progress = unseen,
) -> RunReport:
    """Do the same steps up to the comparison, with parameters of the estimator set (`model__max_iter`)."""
    rooms = PipelineRooms(store)
    declared = rooms.pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    run = add_run(rooms, declared.name, "experiment", BY_HAND, settings)
    return execute(rooms, run, declared, progress)


@contextmanager
def exclusive(rooms: PipelineRooms, pipeline: str) -> Iterator[None]:
    """The right to run a pipeline; raises ConflictError when another process has it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lease(rooms.folder / "leases", pipeline))
        except ConflictError as error:
            message = f"Pipeline '{pipeline}' is running in another process; wait for it to end, then run again."
            raise ConflictError(message) from error
        yield


def add_run(
    rooms: PipelineRooms, pipeline: str, kind: RunKind, trigger: str, settings: Mapping[str, object] | None = None
) -> Run:
    """A run that waits for its first attempt; its instant is now."""
    now_us = rooms.ledger.now_us()
    return rooms.ledger.add_run(
        Run(
            number=0,
            pipeline=pipeline,
            kind=kind,
            state=RunState.PENDING,
            trigger=trigger,
            actor=rooms.store.actor,
            as_of_us=now_us,
            created_at_us=now_us,
            ended_at_us=None,
            parameters=dict(settings or {}),
            code=code_version(rooms.store.root),
        )
    )


def execute(
    rooms: PipelineRooms,
    run: Run,
    pipeline: TrainingPipeline,
    progress: Progress = unseen,
    server: Server | None = None,
) -> RunReport:
    """Do what is left of a run; one of kind "run" needs the pipeline's lease (`exclusive`)."""
    attempt = rooms.ledger.begin(run)
    stepper = Stepper(rooms, run, attempt, progress)
    try:
        state, outcome = _steps(Flow(stepper, pipeline, run.parameters), server)
    except Exception as error:
        _leave(rooms, rooms.ledger.end(attempt, RunState.FAILED, str(error) or type(error).__name__))
        raise
    return _leave(rooms, rooms.ledger.end(attempt, state, outcome))


def _leave(rooms: PipelineRooms, run: Run) -> RunReport:
    """Write the page of a run that has ended, and tell others of it; what fails here fails no run."""
    report = RunReport.of(rooms, run.number)
    try:
        report.write_page()
    except (OSError, FeatureStoreError) as error:
        log.warning("Run %d has no page: %s", report.run.number, error)
    tell(rooms, run)
    return replace(report, notices=rooms.ledger.notices(run.number))


def _steps(flow: Flow, server: Server | None) -> Ending:
    extracted = flow.extract()
    validated = flow.validate(extracted)
    if not validated.report.verdict.passed:
        return _refused(validated.report)
    divided = flow.split(extracted)
    trained = flow.train(extracted, divided)
    if flow.stepper.run.kind == "run" and flow.live is not None:
        version, digest = flow.live.model.version, flow.stepper.artifact("train", "model").digest
        if digest == flow.live.model.digest:
            return Ending(RunState.SUCCEEDED, f"Champion v{version} learned from the same data with the same code.")
    evaluated = flow.evaluate(extracted, divided, trained)
    compared = flow.compare(trained, evaluated)
    if flow.stepper.run.kind == "experiment":
        passed = compared.report.verdict.passed
        return Ending(RunState.SUCCEEDED, "The model gate passed.") if passed else _refused(compared.report)
    document = flow.document(extracted, divided, trained, evaluated, compared)
    candidate = Candidate(flow.stepper.artifact("train", "model").digest, evaluated.champion, document)
    registered = _register(flow, candidate)
    return _onward(flow, registered, compared.report, server)


def _register(flow: Flow, candidate: Candidate) -> Registered:
    rooms, attempt = flow.rooms, flow.stepper.attempt

    def compute() -> Done[Registered]:
        return Done(register.register(rooms.store, rooms.models, attempt, candidate))

    def needs() -> Mapping[str, object]:
        return {"model": candidate.digest, "champion": candidate.champion, "verdict": candidate.document.verdict}

    return flow.stepper.do(Task("register", Registered, (register,), needs, compute, reuse=False))


def _onward(flow: Flow, registered: Registered, report: GateReport, server: Server | None) -> Ending:
    """What follows the registration: nothing for what was refused or waits for a person, else verify and promote."""
    model = flow.rooms.ledger.model(registered.model, registered.version)
    name = f"{model.model}@{model.version}"
    if model.state is ModelState.REJECTED:
        return _refused(report)
    if model.state is ModelState.CANDIDATE:
        command = f"featurestore pipeline approve {model.model} {model.version}"
        if report.verdict is Verdict.PASS:
            return Ending(RunState.SUCCEEDED, f"{name} met its bounds, and a person must approve it: `{command}`.")
        return _refused(report)
    verified = _verify(flow, model, server)
    if not verified.report.verdict.passed:
        return _refused(verified.report)
    promoted = _promote(flow, registered, report)
    return Ending(RunState.SUCCEEDED, f"{name} is the champion in the place of v{promoted.before}.")


def _verify(flow: Flow, model: ModelVersion, server: Server | None) -> Verified:
    behaves = flow.pipeline.behaves()

    def compute() -> Done[Verified]:
        report = promotion.verify_version(flow.rooms, model, behaves, server)
        return Done(Verified(report=report, version=model.version))

    def needs() -> Mapping[str, object]:
        return {"model": model.digest, "version": model.version, "behaves": repr(behaves)}

    task = Task(
        "verify", Verified, (verify, behaviour, promotion), needs, compute, gate=lambda done: done.report, reuse=False
    )
    return flow.stepper.do(task)


def _promote(flow: Flow, registered: Registered, report: GateReport) -> Promoted:
    reason = f"run {flow.stepper.run.number}: {report.summary}"

    def compute() -> Done[Promoted]:
        return Done(promote.promote(flow.rooms.models, registered, reason))

    def needs() -> Mapping[str, object]:
        return {"model": registered.model, "version": registered.version}

    return flow.stepper.do(Task("promote", Promoted, (promote,), needs, compute, reuse=False))


def _refused(report: GateReport) -> Ending:
    return Ending(RunState.REFUSED, report.summary)
