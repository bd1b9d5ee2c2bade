"""How a step is done: once in a run, never again with the same inputs, and in the ledger before the next one begins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from types import ModuleType
from typing import Generic, TypeVar

import msgspec

from pipelines.code import component_digest
from pipelines.ledger.records import Artifact, Attempt, GateResult, Run, Step, StepState
from pipelines.ledger.rows import encoded
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms

T = TypeVar("T", bound=msgspec.Struct)
Progress = Callable[[str, StepState | None], None]  # a step begins (None), or has ended


def unseen(_: str, __: StepState | None) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a step gave: a result, and the files that it leaves by name."""

    result: T
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """A step to do: `kind` is the type of its result, `modules` are its code, `gate` finds a gate's report in a result.

    `needs` says what the result depends on, as JSON values; with `reuse` an equal step of any run of the pipeline
    counts as this one.
    """

    name: str
    kind: type[T]
    modules: tuple[ModuleType, ...]
    needs: Callable[[], Mapping[str, object]]
    compute: Callable[[], Done[T]]
    gate: Callable[[T], GateReport] | None = None
    reuse: bool = True


class Stepper:
    """Does the steps of one attempt at a run, in order."""

    def __init__(self, rooms: PipelineRooms, run: Run, attempt: Attempt, progress: Progress = unseen) -> None:
        self.rooms = rooms
        self.run = run
        self.attempt = attempt
        self._progress = progress
        self._artifacts: dict[tuple[str, str], Artifact] = {}
        steps = rooms.ledger.steps(run.number)
        self._committed = {step.name: step for step in steps if step.state is not StepState.FAILED}

    def do(self, task: Task[T]) -> T:
        """The result of a step: committed in this run before, reused from an equal one, or computed.

        An error is noted in the ledger before it is raised. Raises ConflictError when a later attempt has taken over.
        """
        self._progress(task.name, None)
        component = component_digest(*task.modules)
        committed = self._committed.get(task.name)
        if committed is not None and committed.component == component and self._intact(committed):
            self._progress(task.name, committed.state)
            return self._taken(task, committed).result
        self._committed = {}  # what follows was made of another result, unless its inputs turn out to be the same
        entry = _Entry(self.run, self.attempt, task.name, component, self.rooms.ledger.now_us(), perf_counter_ns())
        try:
            needs = task.needs()
            fingerprint = hashlib.sha256(encoded([task.name, component, needs]).encode()).hexdigest()
            same = self.rooms.ledger.find_step(self.run.pipeline, task.name, fingerprint) if task.reuse else None
            if same is not None and not self._intact(same):
                same = None
            done = task.compute() if same is None else self._taken(task, same)
        except Exception as error:
            self.rooms.ledger.commit(self.attempt, entry.failed(self.rooms.ledger.now_us(), error))
            self._progress(task.name, StepState.FAILED)
            raise
        step = entry.ended(self.rooms.ledger.now_us(), (fingerprint, needs), done, same)
        self.rooms.ledger.commit(self.attempt, step, tuple(done.artifacts.values()), self._gate(task, done.result))
        self._artifacts |= {(task.name, name): artifact for name, artifact in done.artifacts.items()}
        self._progress(task.name, step.state)
        return done.result

    def artifact(self, step: str, name: str) -> Artifact:
        """What a step that was done has left."""
        return self._artifacts[step, name]

    def artifacts(self, prefix: str) -> dict[str, Artifact]:
        """What all steps that were done have left under names that begin so."""
        return {name: artifact for (_, name), artifact in self._artifacts.items() if name.startswith(prefix)}

    def _gate(self, task: Task[T], result: T) -> GateResult | None:
        if task.gate is None:
            return None
        return gate_result(self.run, task.gate(result), result, self.rooms.ledger.now_us())

    def _taken(self, task: Task[T], step: Step) -> Done[T]:
        artifacts = {name: self.rooms.ledger.artifact(digest) for name, digest in step.artifacts.items()}
        self._artifacts |= {(task.name, name): artifact for name, artifact in artifacts.items()}
        return Done(msgspec.convert(step.result, task.kind), artifacts)

    def _intact(self, step: Step) -> bool:
        ledger, artifacts = self.rooms.ledger, self.rooms.artifacts
        return all(artifacts.intact(ledger.artifact(digest)) for digest in step.artifacts.values())


def gate_result(run: Run, report: GateReport, result: msgspec.Struct, at_us: int) -> GateResult:
    """A gate's report, with the result that it stands in, as the ledger keeps it."""
    return GateResult(
        number=0,
        run=run.number,
        pipeline=run.pipeline,
        gate=report.gate,
        verdict=report.verdict,
        policy=report.policy,
        at_us=at_us,
        summary=report.summary,
        document=msgspec.to_builtins(result),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A step that has begun."""

    run: Run
    attempt: Attempt
    name: str
    component: str
    began_us: int
    began_ns: int

    def failed(self, ended_us: int, error: Exception) -> Step:
        """The step without a result."""
        return self._step(StepState.FAILED, ended_us, f"{type(error).__name__}: {error}")

    def ended(
        self, ended_us: int, identity: tuple[str, Mapping[str, object]], done: Done[T], same: Step | None
    ) -> Step:
        """The step with its result; `identity`: its fingerprint and what it needed, `same`: where it is taken from."""
        fingerprint, needs = identity
        return replace(
            self._step(StepState.DONE if same is None else StepState.REUSED, ended_us, None),
            fingerprint=fingerprint,
            parameters=needs,
            result=msgspec.to_builtins(done.result),
            artifacts={name: artifact.digest for name, artifact in done.artifacts.items()},
            reused_from=None if same is None else same.run,
        )

    def _step(self, state: StepState, ended_us: int, error: str | None) -> Step:
        return Step(
            attempt=self.attempt.number,
            run=self.run.number,
            pipeline=self.run.pipeline,
            name=self.name,
            state=state,
            component=self.component,
            fingerprint="",
            started_at_us=self.began_us,
            ended_at_us=ended_us,
            duration_us=(perf_counter_ns() - self.began_ns) // 1_000,
            parameters={},
            result={},
            artifacts={},
            error=error,
        )
