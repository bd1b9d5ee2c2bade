"""What the ledger holds, as frozen records. Instants are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

RunKind = Literal["run", "experiment"]
CHAMPION_ALIAS = "champion"


class RunState(StrEnum):
    """PENDING waits for its first attempt; REFUSED was stopped by a gate; FAILED ended in an error.

    EXPIRED waited too long for its first attempt.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens in the run."""
        return self not in (RunState.PENDING, RunState.RUNNING)


class StepState(StrEnum):
    """DONE was computed in its attempt, REUSED is the result of an equal step before, FAILED has none."""

    DONE = "DONE"
    REUSED = "REUSED"
    FAILED = "FAILED"


class Verdict(StrEnum):
    """What a gate says; only PASS and PASS_DRIFTED let go on.

    INCONCLUSIVE: too little to judge. ERROR: the gate could not judge, or let something broken pass.
    """

    PASS = "PASS"
    PASS_DRIFTED = "PASS_DRIFTED"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"

    @property
    def passed(self) -> bool:
        """Whether the gate lets go on."""
        return self in (Verdict.PASS, Verdict.PASS_DRIFTED)


class ModelState(StrEnum):
    """Where a model version stands; `pipelines.models.states` says which may follow which."""

    CANDIDATE = "CANDIDATE"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    VERIFIED = "VERIFIED"
    CHAMPION = "CHAMPION"
    RETIRED = "RETIRED"
    QUARANTINED = "QUARANTINED"


class Decision(StrEnum):
    """What became of a trigger's observation; IDLE: nothing was to be done.

    RECORDED and FAILED are of labels: some were joined to predictions, or could not be.
    """

    ACCEPTED = "ACCEPTED"
    COALESCED = "COALESCED"
    SUPPRESSED = "SUPPRESSED"
    EXPIRED = "EXPIRED"
    IDLE = "IDLE"
    RECORDED = "RECORDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """Which code ran: the project's git commit (None outside git), whether files differed from it, and the digest of
    the installed packages.
    """

    commit: str | None
    dirty: bool
    lock: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline; `number` counts over all pipelines, `as_of_us` is the instant whose knowledge it uses."""

    number: int
    pipeline: str
    kind: RunKind
    state: RunState
    trigger: str
    actor: str
    as_of_us: int
    created_at_us: int
    ended_at_us: int | None
    parameters: Mapping[str, object]
    code: CodeVersion
    outcome: str = ""

    @property
    def lane(self) -> str:
        """Runs in one lane exclude each other: those of a pipeline, while each experiment has its own."""
        return self.pipeline if self.kind == "run" else f"{self.pipeline}#{self.number}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process's go at a run; `number` is the fence: a later attempt in the lane ends this one's right to write."""

    number: int
    run: int
    lane: str
    started_at_us: int
    ended_at_us: int | None
    process: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file by its content: `path` from the project's folder, `digest` its SHA-256."""

    digest: str
    path: str
    bytes: int
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a step was, and gave: `result` as JSON values, `artifacts` by name.

    `component` is the digest of its code, `fingerprint` that of code, inputs and parameters together. `reused_from` is
    the run whose result it is.
    """

    attempt: int
    run: int
    pipeline: str
    name: str
    state: StepState
    component: str
    fingerprint: str
    started_at_us: int
    ended_at_us: int
    duration_us: int
    parameters: Mapping[str, object]
    result: Mapping[str, object]
    artifacts: Mapping[str, str]
    reused_from: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's verdict in a run; `policy` is the digest of the checks as declared, `document` all that was found."""

    number: int
    run: int
    pipeline: str
    gate: str
    verdict: Verdict
    policy: str
    at_us: int
    summary: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a trigger saw and what became of it; `run` is the one that it started or was coalesced into."""

    number: int
    pipeline: str
    trigger: str
    at_us: int
    decision: Decision
    run: int | None
    reason: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a model: `digest` is its file's SHA-256, `champion` the version that its gate compared it with.

    `document` has the rest: dataset, service, code, parameters, metrics, signature, artifacts (`ModelDocument`).
    """

    model: str
    version: int
    state: ModelState
    run: int
    created_at_us: int
    digest: str
    champion: int | None
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StateChange:
    """A model version went from one state to another; `from_state` None: it was registered."""

    number: int
    model: str
    version: int
    at_us: int
    from_state: ModelState | None
    to_state: ModelState
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class AliasMove:
    """An alias went from one version to another; None: it named nothing."""

    number: int
    model: str
    alias: str
    at_us: int
    from_version: int | None
    to_version: int | None
    actor: str
    reason: str
    rollback: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody outside was told of a run: `to` is "alert", about the gate's result number `gate`, or "mlflow".

    `text` says what was done, or why it could not be when `done` is False.
    """

    number: int
    run: int
    to: Literal["alert", "mlflow"]
    gate: int | None
    at_us: int
    done: bool
    text: str
