"""The ledger: each method is one transaction on the registry's database."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from sqlalchemy import Connection, insert, select

from featurestore.errors import RegistryError, UnknownNameError
from featurestore.registry.database import Database
from featurestore.registry.open import open_database
from featurestore.timeline import Clock
from pipelines.ledger import runs, tables, versions
from pipelines.ledger.records import (
    CHAMPION_ALIAS,
    AliasMove,
    Artifact,
    Attempt,
    Decision,
    GateResult,
    ModelVersion,
    Notice,
    Observation,
    Run,
    RunState,
    StateChange,
    Step,
    Verdict,
)
from pipelines.ledger.rows import encoded, gate_of, observation_of
from pipelines.ledger.runs import RunFilter
from pipelines.ledger.versions import Occasion


class Ledger:
    """Runs, steps, gate results, observations and model versions; `now_us` is the clock of its records.

    Safe for threads and processes. Every method raises RegistryError when the database cannot be used.
    """

    def __init__(self, database: Database, now_us: Clock) -> None:
        self._database = database
        self.now_us = now_us

    def close(self) -> None:
        """Release the connections."""
        self._database.close()

    # runs

    def add_run(self, run: Run) -> Run:
        """Add a run (whose number counts for nothing), and return it with its number."""
        with self.writing() as connection:
            return runs.insert_run(connection, run)

    def run(self, number: int) -> Run:
        """One run; raises RegistryError when there is none."""
        with self.reading() as connection:
            if connection is None:
                raise RegistryError(f"The ledger has no run {number}: no pipeline was ever run.")
            return runs.read_run(connection, number)

    def runs(self, wanted: RunFilter | None = None) -> tuple[Run, ...]:
        """The runs that the filter lets through, newest first."""
        with self.reading() as connection:
            return () if connection is None else runs.read_runs(connection, wanted or RunFilter())

    def begin(self, run: Run) -> Attempt:
        """A new attempt at a run; whoever tried before in its lane may write no more.

        Raises ConflictError when the run has ended.
        """
        with self.writing() as connection:
            return runs.begin_attempt(connection, run, self.now_us(), _process())

    def attempts(self, run: int) -> tuple[Attempt, ...]:
        """The attempts at a run, in order."""
        with self.reading() as connection:
            return () if connection is None else runs.read_attempts(connection, run)

    def commit(
        self, attempt: Attempt, step: Step, artifacts: tuple[Artifact, ...] = (), gate: GateResult | None = None
    ) -> None:
        """Add a step that is done or failed, and the gate's result in it, whose number counts for nothing.

        Raises ConflictError when a later attempt has taken over.
        """
        with self.fenced(attempt) as connection:
            runs.insert_step(connection, attempt, step, artifacts)
            if gate is not None:
                insert_gate_result(connection, gate)

    def end(self, attempt: Attempt, state: RunState, outcome: str) -> Run:
        """End a run; raises ConflictError when a later attempt has taken over."""
        with self.fenced(attempt) as connection:
            runs.end_run(connection, attempt, state, outcome, self.now_us())
            return runs.read_run(connection, attempt.run)

    def steps(self, run: int) -> tuple[Step, ...]:
        """All steps of a run, those of earlier attempts first."""
        with self.reading() as connection:
            return () if connection is None else runs.read_steps(connection, run)

    def find_step(self, pipeline: str, name: str, fingerprint: str) -> Step | None:
        """The newest step of that fingerprint that was computed in any run of the pipeline."""
        with self.reading() as connection:
            return None if connection is None else runs.find_step(connection, pipeline, name, fingerprint)

    def artifact(self, digest: str) -> Artifact:
        """The artifact of that content; raises RegistryError when there is none."""
        with self.reading() as connection:
            if connection is None:
                raise RegistryError(f"The ledger has no artifact {digest}: no pipeline was ever run.")
            return runs.read_artifact(connection, digest)

    # gates and triggers

    def add_gate_result(self, attempt: Attempt | None, result: GateResult) -> GateResult:
        """Add a gate's result (whose number counts for nothing), fenced if it is an attempt's, and return it."""
        with self.writing() if attempt is None else self.fenced(attempt) as connection:
            return insert_gate_result(connection, result)

    def gate_results(
        self, pipeline: str | None = None, *, run: int | None = None, gate: str | None = None, limit: int | None = None
    ) -> tuple[GateResult, ...]:
        """The results of gates, newest first."""
        table = tables.gate_results
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        for column, value in ((table.c.pipeline, pipeline), (table.c.run, run), (table.c.gate, gate)):
            query = query if value is None else query.where(column == value)
        with self.reading() as connection:
            return () if connection is None else tuple(map(gate_of, connection.execute(query).all()))

    def last_passed(self, pipeline: str, gate: str, *, before: int) -> int | None:
        """The newest automated run below a number that passed a gate; None when none did."""
        results, started = tables.gate_results.c, tables.runs.c
        passed = [verdict.value for verdict in Verdict if verdict.passed]
        query = (
            select(results.run)
            .join(tables.runs, started.number == results.run)
            .where(results.pipeline == pipeline, results.gate == gate, results.verdict.in_(passed))
            .where(started.kind == "run", results.run < before)
            .order_by(results.run.desc())
            .limit(1)
        )
        with self.reading() as connection:
            run: int | None = None if connection is None else connection.execute(query).scalar()
            return run

    def add_notice(self, notice: Notice) -> None:
        """Add that somebody outside was told of a run (the number counts for nothing)."""
        row = {name: value for name, value in asdict(notice).items() if name != "number"}
        with self.writing() as connection:
            connection.execute(insert(tables.notices).values(row))

    def notices(self, run: int) -> tuple[Notice, ...]:
        """Who was told of a run, in order."""
        table = tables.notices
        query = select(table).where(table.c.run == run).order_by(table.c.number)
        with self.reading() as connection:
            return () if connection is None else tuple(Notice(**r._mapping) for r in connection.execute(query).all())

    def add_observation(self, observation: Observation) -> Observation:
        """Add what a trigger saw (the number counts for nothing), and return it with its number."""
        with self.writing() as connection:
            return insert_observation(connection, observation)

    def observations(
        self, pipeline: str, *, trigger: str | None = None, decision: Decision | None = None, limit: int | None = None
    ) -> tuple[Observation, ...]:
        """What the triggers of a pipeline saw, newest first."""
        table = tables.observations
        query = select(table).where(table.c.pipeline == pipeline).order_by(table.c.number.desc()).limit(limit)
        if trigger is not None:
            query = query.where(table.c.trigger == trigger)
        if decision is not None:
            query = query.where(table.c.decision == decision.value)
        with self.reading() as connection:
            return () if connection is None else tuple(map(observation_of, connection.execute(query).all()))

    # models

    def model(self, model: str, version: int) -> ModelVersion:
        """A version of a model; raises UnknownNameError listing those there are."""
        with self.reading() as connection:
            if connection is None:
                raise UnknownNameError("model version", f"{model}@{version}", ())
            return versions.read_model(connection, model, version)

    def models(self, model: str | None = None) -> tuple[ModelVersion, ...]:
        """All versions, or those of one model, newest first."""
        with self.reading() as connection:
            return () if connection is None else versions.read_models(connection, model)

    def alias(self, model: str, alias: str) -> int | None:
        """The version that an alias of a model names; None when it names none."""
        with self.reading() as connection:
            return None if connection is None else versions.read_alias(connection, model, alias)

    def champions(self) -> dict[str, int | None]:
        """For each model that has a version its champion; None where it has none."""
        with self.reading() as connection:
            return {} if connection is None else versions.read_named(connection, CHAMPION_ALIAS)

    def alias_log(self, model: str | None = None) -> tuple[AliasMove, ...]:
        """All moves of aliases, or those of one model, newest first."""
        with self.reading() as connection:
            return () if connection is None else versions.read_alias_log(connection, model)

    def unfinished_rollback(self, model: str) -> AliasMove | None:
        """The last move of a model's champion, if it is a rollback that somebody began and that is not finished."""
        with self._database.reading(tables.rollbacks.name) as connection:
            return None if connection is None else versions.read_unfinished(connection, model, CHAMPION_ALIAS)

    def finish_rollback(self, move: AliasMove) -> None:
        """Note that nothing is left to do for a rollback."""
        with self.writing() as connection:
            versions.finish_rollback(connection, move, self.now_us())

    def state_log(self, model: str, version: int | None = None) -> tuple[StateChange, ...]:
        """All changes of state of a model, or of one version, newest first."""
        with self.reading() as connection:
            return () if connection is None else versions.read_state_log(connection, model, version)

    # transactions, for what belongs together

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction."""
        with self._database.writing(tables.metadata) as connection:
            yield connection

    @contextmanager
    def fenced(self, attempt: Attempt) -> Iterator[Connection]:
        """A write transaction of an attempt; raises ConflictError when a later one has taken over."""
        with self.writing() as connection:
            runs.check_fence(connection, attempt)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """A read transaction; None while no pipeline was ever run."""
        with self._database.reading(tables.runs.name) as connection:
            yield connection

    def occasion(self, actor: str, reason: str) -> Occasion:
        """Now, by somebody, for a reason."""
        return Occasion(self.now_us(), actor, reason)


def insert_gate_result(connection: Connection, result: GateResult) -> GateResult:
    """Add a gate's result, in the caller's transaction, and return it with its number."""
    row = {
        "run": result.run,
        "pipeline": result.pipeline,
        "gate": result.gate,
        "verdict": result.verdict.value,
        "policy": result.policy,
        "at_us": result.at_us,
        "summary": result.summary,
        "document": encoded(result.document),
    }
    key = connection.execute(insert(tables.gate_results).values(row)).inserted_primary_key
    assert key is not None, "an inserted row has a key"
    return replace(result, number=int(key[0]))


def insert_observation(connection: Connection, observation: Observation) -> Observation:
    """Add what a trigger saw, in the caller's transaction, and return it with its number."""
    row: Mapping[str, object] = {
        "pipeline": observation.pipeline,
        "trigger": observation.trigger,
        "at_us": observation.at_us,
        "decision": observation.decision.value,
        "run": observation.run,
        "reason": observation.reason,
        "document": encoded(observation.document),
    }
    key = connection.execute(insert(tables.observations).values(row)).inserted_primary_key
    assert key is not None, "an inserted row has a key"
    return replace(observation, number=int(key[0]))


def open_ledger(url: str, root: Path, now_us: Clock) -> Ledger:
    """The ledger in the registry's database at `url` (`featurestore.registry.open.open_database`)."""
    return Ledger(open_database(url, root), now_us)


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
