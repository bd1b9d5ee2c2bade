"""Runs, attempts and steps in the ledger's tables. Every function works in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from featurestore.errors import ConflictError
from pipelines.ledger import tables
from pipelines.ledger.records import Artifact, Attempt, Run, RunKind, RunState, Step, StepState
from pipelines.ledger.rows import attempt_of, encoded, only, run_of, step_row, steps_of

_SUPERSEDED = "another attempt went on with the run"


def insert_run(connection: Connection, run: Run) -> Run:
    """Add a run under the next number, and return it with that number."""
    row = {
        "pipeline": run.pipeline,
        "kind": run.kind,
        "state": run.state.value,
        "trigger": run.trigger,
        "actor": run.actor,
        "as_of_us": run.as_of_us,
        "created_at_us": run.created_at_us,
        "parameters": encoded(run.parameters),
        "code": encoded(run.code),
        "outcome": run.outcome,
    }
    number = connection.execute(insert(tables.runs).values(row)).inserted_primary_key
    assert number is not None, "an inserted row has a key"
    return read_run(connection, int(number[0]))


def read_run(connection: Connection, number: int) -> Run:
    """One run; raises RegistryError when there is none of that number."""
    rows = connection.execute(select(tables.runs).where(tables.runs.c.number == number)).all()
    return run_of(only(list(rows), f"run {number}"))


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are asked for; None: any. Newest first, at most `limit`."""

    pipeline: str | None = None
    kind: RunKind | None = None
    states: tuple[RunState, ...] = tuple(RunState)
    limit: int | None = None


def read_runs(connection: Connection, wanted: RunFilter) -> tuple[Run, ...]:
    """The runs that the filter lets through, newest first."""
    columns = tables.runs.c
    query = select(tables.runs).where(columns.state.in_([state.value for state in wanted.states]))
    if wanted.pipeline is not None:
        query = query.where(columns.pipeline == wanted.pipeline)
    if wanted.kind is not None:
        query = query.where(columns.kind == wanted.kind)
    query = query.order_by(columns.number.desc())
    return tuple(map(run_of, connection.execute(query if wanted.limit is None else query.limit(wanted.limit)).all()))


def begin_attempt(connection: Connection, run: Run, at_us: int, process: str) -> Attempt:
    """A new attempt at a run that has not ended: whoever tried before in its lane may write no more."""
    current = read_run(connection, run.number)
    if current.state.ended:
        raise ConflictError(f"Run {run.number} of '{run.pipeline}' has ended meanwhile ({current.state}).")
    attempts = tables.attempts
    unended = (attempts.c.lane == run.lane) & attempts.c.ended_at_us.is_(None)
    connection.execute(update(attempts).where(unended).values(ended_at_us=at_us, error=_SUPERSEDED))
    row = {"run": run.number, "lane": run.lane, "started_at_us": at_us, "process": process}
    number = connection.execute(insert(attempts).values(row)).inserted_primary_key
    assert number is not None, "an inserted row has a key"
    connection.execute(
        update(tables.runs).where(tables.runs.c.number == run.number).values(state=RunState.RUNNING.value)
    )
    return Attempt(int(number[0]), run.number, run.lane, at_us, None, process, None)


def check_fence(connection: Connection, attempt: Attempt) -> None:
    """Raise ConflictError when a later attempt in the lane has taken over."""
    attempts = tables.attempts.c
    newest = connection.execute(select(func.max(attempts.number)).where(attempts.lane == attempt.lane)).scalar()
    if newest != attempt.number:
        raise ConflictError(
            f"Attempt {attempt.number} at run {attempt.run} is outdated: attempt {newest} has taken over in "
            f"'{attempt.lane}'. Nothing was written."
        )


def insert_step(connection: Connection, attempt: Attempt, step: Step, artifacts: tuple[Artifact, ...]) -> None:
    """Add a step with its artifacts."""
    for artifact in artifacts:
        insert_artifact(connection, artifact)
    connection.execute(insert(tables.steps).values(step_row(step)))
    for name, digest in step.artifacts.items():
        row = {"attempt": attempt.number, "step": step.name, "name": name, "digest": digest}
        connection.execute(insert(tables.step_artifacts).values(row))


def insert_artifact(connection: Connection, artifact: Artifact) -> None:
    """Add an artifact, unless one of the same content is there."""
    known = select(tables.artifacts.c.digest).where(tables.artifacts.c.digest == artifact.digest)
    if connection.execute(known).first() is None:
        row = {name: getattr(artifact, name) for name in ("digest", "path", "bytes", "created_at_us")}
        connection.execute(insert(tables.artifacts).values(row))


def read_artifact(connection: Connection, digest: str) -> Artifact:
    """The artifact of that content; raises RegistryError when there is none."""
    rows = connection.execute(select(tables.artifacts).where(tables.artifacts.c.digest == digest)).all()
    return Artifact(**only(list(rows), f"artifact {digest}")._mapping)


def read_steps(connection: Connection, run: int) -> tuple[Step, ...]:
    """All steps of a run, those of earlier attempts first."""
    columns = tables.steps.c
    query = select(tables.steps).where(columns.run == run).order_by(columns.number)
    return steps_of(connection, list(connection.execute(query).all()))


def find_step(connection: Connection, pipeline: str, name: str, fingerprint: str) -> Step | None:
    """The newest step of that fingerprint that was computed, whatever the run became."""
    columns = tables.steps.c
    query = (
        select(tables.steps)
        .where(columns.pipeline == pipeline, columns.name == name, columns.fingerprint == fingerprint)
        .where(columns.state == StepState.DONE.value)
        .order_by(columns.number.desc())
        .limit(1)
    )
    found = steps_of(connection, list(connection.execute(query).all()))
    return found[0] if found else None


def end_run(connection: Connection, attempt: Attempt, state: RunState, outcome: str, at_us: int) -> None:
    """End a run with its attempt."""
    end_attempt(connection, attempt, at_us, outcome if state is RunState.FAILED else None)
    values = {"state": state.value, "ended_at_us": at_us, "outcome": outcome}
    connection.execute(update(tables.runs).where(tables.runs.c.number == attempt.run).values(values))


def end_attempt(connection: Connection, attempt: Attempt, at_us: int, error: str | None) -> None:
    """End an attempt alone: the run can be gone on with."""
    this = tables.attempts.c.number == attempt.number
    connection.execute(update(tables.attempts).where(this).values(ended_at_us=at_us, error=error))


def read_attempts(connection: Connection, run: int) -> tuple[Attempt, ...]:
    """The attempts at a run, in order."""
    query = select(tables.attempts).where(tables.attempts.c.run == run).order_by(tables.attempts.c.number)
    return tuple(map(attempt_of, connection.execute(query).all()))
