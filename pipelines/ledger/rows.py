"""From rows of the ledger's tables to records, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import msgspec
from sqlalchemy import Connection, Row, select

from featurestore.errors import RegistryError
from pipelines.ledger import tables
from pipelines.ledger.records import (
    AliasMove,
    Attempt,
    CodeVersion,
    Decision,
    GateResult,
    ModelState,
    ModelVersion,
    Observation,
    Run,
    RunState,
    StateChange,
    Step,
    StepState,
    Verdict,
)

_Row = Row[tuple[object, ...]]


def encoded(value: object) -> str:
    """A value as JSON text, the keys in order: equal values give equal texts."""
    return msgspec.json.encode(value, order="deterministic").decode()


def decoded(text: str) -> dict[str, object]:
    """A document from its JSON text."""
    document: dict[str, object] = json.loads(text)
    return document


def run_of(row: _Row) -> Run:
    """A row of `pipeline_runs`."""
    fields = dict(row._mapping)
    fields["state"] = RunState(str(fields["state"]))
    fields["parameters"] = decoded(str(fields["parameters"]))
    fields["code"] = msgspec.json.decode(str(fields["code"]), type=CodeVersion)
    return Run(**fields)


def attempt_of(row: _Row) -> Attempt:
    """A row of `pipeline_attempts`."""
    return Attempt(**row._mapping)


def steps_of(connection: Connection, rows: list[_Row]) -> tuple[Step, ...]:
    """Rows of `pipeline_steps` with their artifacts."""
    links = tables.step_artifacts
    found: dict[tuple[int, str], dict[str, str]] = {}
    attempts = sorted({int(row._mapping["attempt"]) for row in rows})
    for link in connection.execute(select(links).where(links.c.attempt.in_(attempts))):
        found.setdefault((link.attempt, link.step), {})[link.name] = link.digest
    return tuple(_step_of(row, found) for row in rows)


def _step_of(row: _Row, artifacts: Mapping[tuple[int, str], Mapping[str, str]]) -> Step:
    fields = {name: value for name, value in row._mapping.items() if name != "number"}
    fields["state"] = StepState(str(fields["state"]))
    fields["parameters"] = decoded(str(fields["parameters"]))
    fields["result"] = decoded(str(fields["result"]))
    return Step(**fields, artifacts=artifacts.get((fields["attempt"], fields["name"]), {}))


def step_row(step: Step) -> dict[str, object]:
    """A step as a row of `pipeline_steps`; its artifacts stand in `step_artifacts`."""
    row = {name: value for name, value in asdict(step).items() if name != "artifacts"}
    return row | {"parameters": encoded(step.parameters), "result": encoded(step.result), "state": step.state.value}


def gate_of(row: _Row) -> GateResult:
    """A row of `gate_results`."""
    fields = dict(row._mapping)
    return GateResult(
        **{**fields, "verdict": Verdict(str(fields["verdict"])), "document": decoded(str(fields["document"]))}
    )


def observation_of(row: _Row) -> Observation:
    """A row of `trigger_observations`, perhaps with columns of another table beside."""
    fields = {name: row._mapping[name] for name in tables.observations.c.keys()}  # noqa: SIM118 -- names, not columns
    return Observation(
        **{**fields, "decision": Decision(str(fields["decision"])), "document": decoded(str(fields["document"]))}
    )


def model_of(row: _Row) -> ModelVersion:
    """A row of `model_versions`."""
    fields = dict(row._mapping)
    return ModelVersion(
        **{**fields, "state": ModelState(str(fields["state"])), "document": decoded(str(fields["document"]))}
    )


def state_change_of(row: _Row) -> StateChange:
    """A row of `model_state_log`."""
    fields = dict(row._mapping)
    before = fields["from_state"]
    return StateChange(
        **{
            **fields,
            "from_state": None if before is None else ModelState(str(before)),
            "to_state": ModelState(str(fields["to_state"])),
        }
    )


def alias_move_of(row: _Row) -> AliasMove:
    """A row of `model_alias_log`."""
    return AliasMove(**row._mapping)


def only(rows: list[_Row], what: str) -> _Row:
    """The one row; raises RegistryError when it is gone."""
    if len(rows) != 1:
        raise RegistryError(f"The ledger has no {what}; `featurestore pipeline runs` lists the runs.")
    return rows[0]
