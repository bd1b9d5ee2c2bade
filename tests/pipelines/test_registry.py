"""The model registry under random histories: one champion at most, and the alias names it."""

from __future__ import annotations

import contextlib
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from featurestore.errors import FeatureStoreError, InputError, ModelFileError
from pipelines.artifacts import Artifacts
from pipelines.frames import Signature
from pipelines.ledger import open_ledger
from pipelines.ledger.records import (
    CodeVersion,
    ModelState,
    ModelVersion,
    Run,
    RunState,
    Verdict,
)
from pipelines.models.document import ModelDocument
from pipelines.models.files import SUFFIX, load_model, model_bytes
from pipelines.models.registry import ModelRegistry
from pipelines.models.states import FOLLOWING

CODE = CodeVersion(None, dirty=False, lock="l")
SIGNATURE = Signature(
    service="s", inputs=(("x", "Float64"),), keys=("k",), request=(), label="y", kind="classification"
)
MODEL = "late"


def document(path: str, verdict: Verdict) -> ModelDocument:
    return ModelDocument(
        path=path, dataset="late@1", dataset_sha256="d", service_meaning="m", views={}, split="s", rows={}, code=CODE,
        on_demand={},
        estimator="E", settings={}, parameters={}, packages={}, signature=SIGNATURE, metrics={}, artifacts={},
        slices={}, verdict=verdict, summary="judged", bounded=verdict is not Verdict.FAIL,
    )  # fmt: skip


class World:
    """A registry in a folder of its own, with files that are models for nobody but the digest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = open_ledger("sqlite:///registry.db", root, lambda: 100)
        self.models = ModelRegistry(root, self.ledger, (), "ann")
        self.artifacts = Artifacts(root, root / "data", lambda: 100)

    def register(self, version: int, verdict: Verdict, content: bytes | None = None) -> ModelVersion:
        run = self.ledger.add_run(Run(0, MODEL, "run", RunState.PENDING, "by hand", "ann", 1, 1, None, {}, CODE))
        attempt = self.ledger.begin(run)
        kept = self.artifacts.keep(content or f"model {version}".encode(), SUFFIX)
        champion = self.models.champion(MODEL)
        model = ModelVersion(
            MODEL, version, ModelState.CANDIDATE, run.number, 100, kept.digest,
            None if champion is None else champion.version, document(kept.path, verdict).to_json(),
        )  # fmt: skip
        return self.models.register(attempt, model)

    def live(self, version: int) -> ModelVersion:
        """A version that went all the way."""
        model = self.register(version, Verdict.PASS)
        if model.state is ModelState.CANDIDATE:
            model = self.models.approve(model, "good")
        self.models.promote(self.models.verified(model, "behaves"), "better")
        return self.ledger.model(MODEL, version)

    def tamper(self, version: int) -> None:
        path = self.root / ModelDocument.of(self.ledger.model(MODEL, version)).path
        path.write_bytes(b"other")

    def states(self) -> dict[int, str]:
        return {model.version: model.state.value for model in self.ledger.models(MODEL)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_the_gate_said_decides_where_a_version_begins(world: World) -> None:
    assert world.register(1, Verdict.PASS).state is ModelState.CANDIDATE  # there is no champion yet
    world.live(2)
    found = {verdict: world.register(n, verdict).state.value for n, verdict in enumerate(Verdict, start=3)}
    assert found == {
        Verdict.PASS: "APPROVED",
        Verdict.PASS_DRIFTED: "CANDIDATE",
        Verdict.FAIL: "REJECTED",
        Verdict.INCONCLUSIVE: "CANDIDATE",
        Verdict.ERROR: "REJECTED",
    }


def test_a_rollback_goes_back_one_champion_each_time(world: World) -> None:
    for version in (1, 2, 3):
        world.live(version)
    assert world.models.rollback(MODEL, reason="slow").to_version == 2
    assert world.models.rollback(MODEL, reason="slow too").to_version == 1
    with pytest.raises(InputError, match="no champion before version 1"):
        world.models.rollback(MODEL, reason="again")
    assert world.models.rollback(MODEL, to=3, reason="it was the network").to_version == 3
    assert world.states() == {1: "RETIRED", 2: "RETIRED", 3: "CHAMPION"}


def test_only_a_former_champion_can_be_rolled_back_to(world: World) -> None:
    world.live(1)
    world.register(2, Verdict.FAIL)
    with pytest.raises(InputError, match="late@2 is REJECTED and cannot become CHAMPION"):
        world.models.rollback(MODEL, to=2, reason="please")


def test_a_rollback_to_an_altered_file_is_refused_and_puts_it_away(world: World) -> None:
    world.live(1)
    world.live(2)
    world.tamper(1)
    with pytest.raises(ModelFileError, match="not the one that was registered"):
        world.models.rollback(MODEL, to=1, reason="slow")
    assert world.states() == {1: "QUARANTINED", 2: "CHAMPION"}


def test_a_file_that_is_gone_is_refused_and_may_come_back(world: World) -> None:
    model = world.live(1)
    path = world.root / ModelDocument.of(model).path
    path.rename(path.with_suffix(".away"))
    with pytest.raises(ModelFileError, match="cannot be read"):
        world.models.load(model)
    assert world.states() == {1: "CHAMPION"}


def test_a_reason_is_asked_for(world: World) -> None:
    with pytest.raises(InputError, match="reason is empty"):
        world.models.approve(world.register(1, Verdict.PASS), "  ")


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])


def test_a_stored_model_is_the_model(tmp_path: Path) -> None:
    model = fitted()
    kept = Artifacts(tmp_path, tmp_path, lambda: 1).keep(model_bytes(model), SUFFIX)
    loaded = load_model(tmp_path / kept.path, kept.digest)
    assert isinstance(loaded, LogisticRegression)
    assert (loaded.coef_ == model.coef_).all()


def test_a_type_that_the_platform_does_not_trust_is_refused(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path, tmp_path, lambda: 1).keep(model_bytes(FunctionTransformer(textwrap.dedent)), SUFFIX)
    with pytest.raises(ModelFileError, match=r"does not trust: .*add them to trusted_types under \[pipelines\]"):
        load_model(tmp_path / kept.path, kept.digest)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path, tmp_path, lambda: 1).keep(b"no archive", SUFFIX)
    with pytest.raises(ModelFileError, match="no skops archive"):
        load_model(tmp_path / kept.path, kept.digest)


class Histories(RuleBasedStateMachine):
    """Registers, approves, verifies, promotes, rolls back, tampers and quarantines in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.count = 0
        self.seen: dict[int, ModelState] = {}

    @rule(verdict=st.sampled_from(Verdict))
    def register(self, verdict: Verdict) -> None:
        self.count += 1
        self.world.register(self.count, verdict)

    @rule(to=st.sampled_from(ModelState), back=st.integers(0, 3))
    def move(self, to: ModelState, back: int) -> None:
        """Ask for a move; what the table of states does not allow must be refused."""
        if self.count <= back:
            return
        model = self.world.ledger.model(MODEL, self.count - back)
        allowed = to in FOLLOWING[model.state]
        try:
            self._ask(model, to)
        except FeatureStoreError:
            return
        found = self.world.ledger.model(MODEL, model.version).state
        assert found is model.state or allowed, (model.state, to, found)

    def _ask(self, model: ModelVersion, to: ModelState) -> None:
        models = self.world.models
        match to:
            case ModelState.APPROVED:
                models.approve(model, "good")
            case ModelState.REJECTED:
                models.reject(model, "bad")
            case ModelState.VERIFIED:
                models.verified(model, "behaves")
            case ModelState.CHAMPION if model.state is ModelState.RETIRED:
                models.rollback(MODEL, model.version, reason="back")
            case ModelState.CHAMPION:
                models.promote(model, "better")
            case ModelState.QUARANTINED:
                models.quarantine(model, "found wrong")
            case _:
                models.rollback(MODEL, reason="back")

    @rule(back=st.integers(0, 3))
    def tamper(self, back: int) -> None:
        if self.count > back:
            model = self.world.ledger.model(MODEL, self.count - back)
            self.world.tamper(model.version)
            with contextlib.suppress(ModelFileError):
                self.world.models.load(model)
            assert self.world.ledger.model(MODEL, model.version).state is ModelState.QUARANTINED

    @invariant()
    def there_is_one_champion_at_most_and_the_alias_names_it(self) -> None:
        if not hasattr(self, "world"):
            return
        champions = [model.version for model in self.world.ledger.models(MODEL) if model.state is ModelState.CHAMPION]
        alias = self.world.ledger.alias(MODEL, "champion")
        assert champions == ([] if alias is None else [alias])

    @invariant()
    def the_logs_lead_to_what_is(self) -> None:
        if not hasattr(self, "world"):
            return
        ledger = self.world.ledger
        named = None
        for move in reversed(ledger.alias_log(MODEL)):
            assert move.from_version == named
            named = move.to_version
        assert named == ledger.alias(MODEL, "champion")
        for model in ledger.models(MODEL):
            state = None
            for change in reversed(ledger.state_log(MODEL, model.version)):
                assert change.from_state is state
                assert state is None or change.to_state in FOLLOWING[state]
                state = change.to_state
            assert state is model.state

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.world.ledger.close()
            self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=8, stateful_step_count=15)


def test_a_version_that_changed_meanwhile_is_not_moved(world: World) -> None:
    model = world.register(1, Verdict.PASS)
    world.models.approve(model, "good")
    with pytest.raises(FeatureStoreError, match="is APPROVED meanwhile, not CANDIDATE"):
        world.models.reject(replace(model), "bad")
