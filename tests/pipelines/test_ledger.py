"""The ledger keeps what was done: fenced, append-only, and without disturbing lookups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from featurestore.errors import ConflictError, RegistryError, UnknownNameError
from featurestore.registry.open import open_registry
from pipelines.ledger import Ledger, open_ledger
from pipelines.ledger.records import (
    Artifact,
    Attempt,
    CodeVersion,
    Decision,
    GateResult,
    ModelState,
    ModelVersion,
    Observation,
    Run,
    RunState,
    Step,
    StepState,
    Verdict,
)
from pipelines.ledger.runs import RunFilter
from pipelines.ledger.versions import AliasChange, Occasion, insert_model, move_alias, set_state

URL = "sqlite:///registry.db"
CODE = CodeVersion("abc", dirty=True, lock="l")
RUN = Run(0, "late", "run", RunState.PENDING, "by hand", "ann", 5, 7, None, {"model__depth": 3}, CODE)
NOW = Occasion(9, "ann", "because")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(URL, tmp_path, lambda: 100)
    yield ledger
    ledger.close()


def step(attempt: Attempt, name: str = "train", fingerprint: str = "f") -> Step:
    return Step(
        attempt.number, attempt.run, "late", name, StepState.DONE, "c", fingerprint, 1, 4, 3,
        parameters={"depth": 3}, result={"rows": 5}, artifacts={"model": "d1"},
    )  # fmt: skip


ARTIFACT = Artifact("d1", "data/x", 3, 2)


def test_a_ledger_that_nobody_wrote_is_empty_and_makes_no_file(ledger: Ledger, tmp_path: Path) -> None:
    assert (ledger.runs(), ledger.gate_results(), ledger.observations("late")) == ((), (), ())
    assert (ledger.models(), ledger.alias("late", "champion")) == ((), None)
    with pytest.raises(RegistryError, match="no run 3"):
        ledger.run(3)
    with pytest.raises(UnknownNameError, match="late@1"):
        ledger.model("late", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_read_back_as_it_was_added(ledger: Ledger) -> None:
    added = ledger.add_run(RUN)
    assert added == replace(RUN, number=1)
    assert ledger.run(1) == added


def test_runs_are_filtered_and_newest_first(ledger: Ledger) -> None:
    first, second = ledger.add_run(RUN), ledger.add_run(replace(RUN, kind="experiment"))
    other = ledger.add_run(replace(RUN, pipeline="other"))
    assert ledger.runs() == (other, second, first)
    assert ledger.runs(RunFilter("late", "run")) == (first,)
    assert ledger.runs(RunFilter(limit=1)) == (other,)
    assert ledger.runs(RunFilter(states=(RunState.FAILED,))) == ()


def test_a_step_is_read_back_with_its_artifacts(ledger: Ledger) -> None:
    attempt = ledger.begin(ledger.add_run(RUN))
    ledger.commit(attempt, step(attempt), (ARTIFACT,))
    ledger.commit(attempt, step(attempt, "evaluate"), (ARTIFACT,))
    assert ledger.steps(attempt.run) == (step(attempt), step(attempt, "evaluate"))
    assert ledger.artifact("d1") == ARTIFACT


def test_an_equal_step_is_found_by_its_fingerprint(ledger: Ledger) -> None:
    attempt = ledger.begin(ledger.add_run(RUN))
    ledger.commit(attempt, step(attempt), (ARTIFACT,))
    assert ledger.find_step("late", "train", "f") == step(attempt)
    assert ledger.find_step("late", "train", "g") is None
    assert ledger.find_step("other", "train", "f") is None


def test_an_attempt_that_was_taken_over_can_write_no_more(ledger: Ledger) -> None:
    run = ledger.add_run(RUN)
    stale, current = ledger.begin(run), ledger.begin(run)
    with pytest.raises(ConflictError, match="attempt 2 has taken over in 'late'"):
        ledger.commit(stale, step(stale), (ARTIFACT,))
    with pytest.raises(ConflictError):
        ledger.end(stale, RunState.SUCCEEDED, "done")
    ledger.commit(current, step(current), (ARTIFACT,))
    assert [attempt.error for attempt in ledger.attempts(run.number)] == ["another attempt went on with the run", None]


def test_another_run_of_the_pipeline_ends_the_right_to_write(ledger: Ledger) -> None:
    stale = ledger.begin(ledger.add_run(RUN))
    ledger.begin(ledger.add_run(RUN))
    with pytest.raises(ConflictError):
        ledger.commit(stale, step(stale))


def test_experiments_do_not_fence_each_other(ledger: Ledger) -> None:
    attempt = ledger.begin(ledger.add_run(replace(RUN, kind="experiment")))
    ledger.begin(ledger.add_run(replace(RUN, kind="experiment")))
    ledger.begin(ledger.add_run(RUN))
    ledger.commit(attempt, step(attempt), (ARTIFACT,))


def test_a_run_that_has_ended_takes_no_further_attempt(ledger: Ledger) -> None:
    run = ledger.add_run(RUN)
    ended = ledger.end(ledger.begin(run), RunState.REFUSED, "the data gate refused")
    assert (ended.state, ended.ended_at_us, ended.outcome) == (RunState.REFUSED, 100, "the data gate refused")
    with pytest.raises(ConflictError, match="has ended meanwhile"):
        ledger.begin(run)


def test_results_of_gates_and_observations_are_kept(ledger: Ledger) -> None:
    ledger.add_run(RUN)
    result = GateResult(0, 1, "late", "data", Verdict.PASS_DRIFTED, "p", 8, "it moved", {"checks": []})
    assert ledger.gate_results("late") == ()
    added = ledger.add_gate_result(None, result)
    assert ledger.gate_results("late", run=1, gate="data") == (added,)
    assert ledger.gate_results("late", gate="model") == ()
    seen = Observation(0, "late", "Schedule", 8, Decision.SUPPRESSED, None, "cool-down", {"due": 3})
    assert ledger.observations("late") == ()
    noted = ledger.add_observation(seen)
    assert ledger.observations("late", decision=Decision.SUPPRESSED) == (noted,)
    assert ledger.observations("late", trigger="NewData") == ()


def register(ledger: Ledger, version: int) -> ModelVersion:
    model = ModelVersion("late", version, ModelState.CANDIDATE, 1, 5, "d1", None, {"metrics": {"roc_auc": 0.7}})
    with ledger.writing() as connection:
        insert_model(connection, model, NOW)
    return model


def test_a_model_version_moves_from_the_state_it_was_read_in_only(ledger: Ledger) -> None:
    model = register(ledger, 1)
    with ledger.writing() as connection:
        approved = set_state(connection, model, ModelState.APPROVED, NOW)
    assert ledger.model("late", 1) == approved == replace(model, state=ModelState.APPROVED)
    with pytest.raises(ConflictError, match="late@1 is APPROVED meanwhile, not CANDIDATE"), ledger.writing() as c:
        set_state(c, model, ModelState.REJECTED, NOW)
    states = [(change.from_state, change.to_state) for change in ledger.state_log("late", 1)]
    assert states == [(ModelState.CANDIDATE, ModelState.APPROVED), (None, ModelState.CANDIDATE)]


def test_an_alias_moves_from_what_was_compared_only(ledger: Ledger) -> None:
    for version in (1, 2):
        register(ledger, version)
    with ledger.writing() as connection:
        first = move_alias(connection, AliasChange("late", "champion", None, 1), NOW)
    with pytest.raises(ConflictError, match="is version 1 meanwhile, not no version"), ledger.writing() as connection:
        move_alias(connection, AliasChange("late", "champion", None, 2), NOW)
    assert ledger.alias("late", "champion") == 1
    assert ledger.alias_log("late") == (first,)


def _register_twice(connection: Connection) -> None:
    for _ in range(2):
        insert_model(connection, ModelVersion("late", 1, ModelState.CANDIDATE, 1, 5, "d1", None, {}), NOW)


def test_what_fails_in_a_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="has a version 1 already"), ledger.writing() as connection:
        _register_twice(connection)
    assert ledger.models() == ()


def test_the_ledger_leaves_compiled_lookups_alone(ledger: Ledger, tmp_path: Path) -> None:
    registry = open_registry(URL, tmp_path, lambda: 100)
    ledger.add_run(RUN)
    before, touched = registry.token(), registry.touched()
    ledger.begin(ledger.add_run(RUN))
    ledger.close()
    other = open_registry(URL, tmp_path, lambda: 100)
    assert other.token() == before
    assert other.touched() != touched
