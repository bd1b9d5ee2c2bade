"""Runs: the automated pipeline and the experiment, one code path under two policies.

An experiment ends with the comparison: it registers and promotes nothing. A run registers, and promotes what its gates
let through; a first model waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import msgspec

from featurestore.errors import ConflictError, TooFewRowsError
from featurestore.offline.lease import lease
from featurestore.store import FeatureStore
from pipelines import promotion
from pipelines.code import code_version
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.flow import Flow, Validated
from pipelines.gates import behaviour
from pipelines.gates.policy import policy_digest
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import ModelState, ModelVersion, Run, RunKind, RunState, Verdict
from pipelines.ledger.runs import RunFilter
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms
from pipelines.run_report import RunReport, leave
from pipelines.stepping import Done, Progress, Stepper, Task, gate_result, unseen
from pipelines.steps import promote, register, verify
from pipelines.steps.promote import Promoted
from pipelines.steps.register import Candidate, Registered
from pipelines.steps.train import made_estimator
from pipelines.steps.verify import Server

BY_HAND = "by hand"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The serving gate's report on a version."""

    report: GateReport
    version: int


class Ending(NamedTuple):
    """How a run ends, in a sentence."""

    state: RunState
    outcome: str


def run_pipeline(
    store: FeatureStore,
    pipeline: TrainingPipeline | str,
    *,
    trigger: str = BY_HAND,
    progress: Progress = unseen,
    server: Server | None = None,
) -> RunReport:
    """Run a pipeline as of now, or go on with a run that was broken off, under the pipeline's lease.

    A gate that refuses ends the run as REFUSED, as do too few rows for it to judge; an error ends it as FAILED and is
    raised. Raises ConflictError when another process runs the pipeline.
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
    """Do the same steps up to the comparison, with parameters of the estimator set (`model__max_iter`).

    Raises InputError for a parameter that the estimator has not, before anything is run.
    """
    rooms = PipelineRooms(store)
    declared = rooms.pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    made_estimator(declared.estimator, settings or {})
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
    except TooFewRowsError as error:
        state, outcome = _too_few(stepper, pipeline, error)
    except Exception as error:
        leave(rooms, rooms.ledger.end(attempt, RunState.FAILED, str(error) or type(error).__name__))
        raise
    return leave(rooms, rooms.ledger.end(attempt, state, outcome))


def _steps(flow: Flow, server: Server | None) -> Ending:
    extracted = flow.extract()
    validated = flow.validate(extracted)
    if not validated.report.verdict.passed:
        return _refused(validated.report)
    divided = flow.split(extracted)
    trained = flow.train(extracted, divided)
    run, digest = flow.stepper.run, flow.stepper.artifact("train", "model").digest
    live = None if flow.live is None else flow.live.model
    # what is live may be this run's own model, when it was broken off after the promotion
    if live is not None and live.digest == digest and run.kind == "run" and run.number != live.run:
        return Ending(RunState.SUCCEEDED, f"Champion v{live.version} learned from the same data with the same code.")
    evaluated = flow.evaluate(extracted, divided, trained)
    compared = flow.compare(trained, evaluated)
    if run.kind == "experiment":
        passed = compared.report.verdict.passed
        return Ending(RunState.SUCCEEDED, "The model gate passed.") if passed else _refused(compared.report)
    document = flow.document(extracted, divided, trained, evaluated, compared)
    candidate = Candidate(digest, evaluated.champion, document)
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
        command = f"featurestore pipeline approve {model.model} {model.version} --reason ..."
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


def _too_few(stepper: Stepper, pipeline: TrainingPipeline, error: TooFewRowsError) -> Ending:
    """Rows that cannot even be laid before the data gate: it has too little to judge by."""
    check = CheckResult("Rows", Verdict.INCONCLUSIVE, str(error))
    report = GateReport.of("data", policy_digest(pipeline.data_gate), [check])
    judged = Validated(report=report, baseline=None)
    ledger = stepper.rooms.ledger
    ledger.add_gate_result(stepper.attempt, gate_result(stepper.run, report, judged, ledger.now_us()))
    return _refused(report)


def _refused(report: GateReport) -> Ending:
    return Ending(RunState.REFUSED, report.summary)
