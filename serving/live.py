"""The models that are served: each model's champion, loaded, and another one in its place when the alias has moved.

A version is loaded in a thread while requests go on with the one before; its file is read once, checked against the
registered SHA-256, and built of trusted types only. A version that cannot be loaded leaves the one before in its place,
and `faults` says why. A file that was altered puts its version into quarantine, and the alias names an earlier one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from featurestore.audit.log import Scorer, ServiceLog, VectorLog
from featurestore.errors import FeatureStoreError, ModelFileError, UnknownNameError
from featurestore.plan.catalog import Catalog
from featurestore.registry.base import Registry
from pipelines.ledger.records import ModelState, ModelVersion
from pipelines.models.registry import ModelRegistry
from pipelines.prediction.learned import learned_catalog
from pipelines.prediction.predictor import Predictor
from serving.answering import Answering
from serving.errors import unavailable
from serving.following import Following
from serving.pace import Pace

log = logging.getLogger("featurestore.serving")

Candidates = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Live:
    """A loaded version, what looks its features up, what logs its predictions (None: nothing does), and its pace."""

    predictor: Predictor
    answering: Answering
    log: ServiceLog | None
    pace: Pace = field(default_factory=Pace)

    @property
    def version(self) -> ModelVersion:
        """Which version it is."""
        return self.predictor.version


@dataclass(frozen=True, slots=True)
class LiveState:
    """The models at one instant: the versions that are loaded, those that aliases name, and what is wrong."""

    loaded: Mapping[str, Live] = field(default_factory=dict)
    champions: Mapping[str, int | None] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def champions_are_served(self) -> bool:
        """Whether each model that has a champion is served, by a version before it perhaps."""
        return all(version is None or name in self.loaded for name, version in self.champions.items())


@dataclass(frozen=True, slots=True)
class Loading:
    """What loads a version: the registries, what compiles its features, and the log (None: none is kept)."""

    models: ModelRegistry
    registry: Registry
    compiled: Callable[[str, Catalog], Answering]
    log: VectorLog | None

    def load(self, version: ModelVersion) -> Live:
        """The version, ready to predict; raises what keeps it from being so."""
        predictor = Predictor(version, self.models.load(version))
        document = predictor.document
        catalog = learned_catalog(document, self.registry)
        answering = self.compiled(document.signature.service, catalog)
        logged = None
        if self.log is not None:
            scorer = Scorer(version.model, version.version)
            logged = self.log.of(answering.lookup.plan, document.signature.service, catalog, scorer)
        return Live(predictor, answering, logged)


class LiveModels:
    """The present state, and its replacement when an alias has moved; safe for threads.

    `candidates` are versions to serve in the place of champions: a server that only tries one serves nothing else.
    `loaded` counts the versions that were loaded so far.
    """

    def __init__(self, loading: Loading, candidates: Candidates | None = None) -> None:
        self._loading = loading
        self._candidates = candidates
        self.state = LiveState()
        self.loaded = 0
        self.following = Following(loading.registry.touched, self._refresh, "the models that were loaded go on serving")
        self.following.read()

    def known(self, name: str) -> Live | None:
        """The version of a model that predicts; None while it is not loaded."""
        return self.state.loaded.get(name)

    def find(self, name: str) -> Live:
        """The same; raises UnknownNameError, and Refused with 503 and the reason for a model that cannot predict."""
        state = self.state
        live = state.loaded.get(name)
        if live is not None:
            return live
        if name in state.faults:
            raise unavailable(f"Model '{name}' cannot be served: {state.faults[name]}")
        if name not in state.champions:
            if self.following.failure is not None and not state.champions:
                raise unavailable(f"The models could not be read yet. {self.following.failure}")
            raise UnknownNameError("model", name, state.champions)
        raise unavailable(f"Model '{name}' has no champion; approve a version with `featurestore pipeline approve`.")

    def _refresh(self) -> None:
        """Load what aliases name by now; raises the first failure, so that it is tried again."""
        loaded: dict[str, Live] = {}
        champions: dict[str, int | None] = {}
        faults: dict[str, FeatureStoreError] = {}
        for name in self._aliases():
            live, champions[name], fault = self._settled(name, self.state.loaded.get(name))
            if live is not None:
                loaded[name] = live
            if fault is not None:
                faults[name] = fault
                kept = "it cannot be served" if live is None else f"{live.predictor.name} goes on serving"
                if self.state.faults.get(name) != str(fault):  # it is tried again and again
                    log.error("The champion of '%s' cannot be loaded, so %s: %s", name, kept, fault)
        if loaded.keys() != self.state.loaded.keys() or any(self.state.loaded[n] is not loaded[n] for n in loaded):
            log.info("Serving models: %s.", ", ".join(live.predictor.name for live in loaded.values()) or "none")
        self.state = LiveState(loaded, champions, {name: str(fault) for name, fault in faults.items()})
        for fault in faults.values():
            raise fault

    def _settled(self, name: str, old: Live | None) -> tuple[Live | None, int | None, FeatureStoreError | None]:
        """What serves of a model from now on, the version that its alias names, and why that is not the same.

        A version that cannot be loaded leaves the one before in its place, unless that was put away itself.
        """
        ledger = self._loading.models.ledger
        fault: FeatureStoreError | None = None
        tried: int | None = None
        while (target := self._aliases().get(name)) not in (None, tried):
            assert target is not None, "None ends the loop"
            if old is not None and old.version.version == target:
                return old, target, None
            tried = target
            try:
                live = self._loading.load(ledger.model(name, target))
            except FeatureStoreError as error:
                fault = error
            else:
                self.loaded += 1
                return live, target, None
        if old is not None and ledger.model(name, old.version.version).state is ModelState.QUARANTINED:
            old = None
        if old is None and fault is None:
            fault = self._put_away(name)
        return old, target, fault

    def _put_away(self, name: str) -> FeatureStoreError | None:
        """Why a model has no champion, when a version of it was put into quarantine."""
        for change in self._loading.models.ledger.state_log(name):
            if change.to_state is ModelState.QUARANTINED:
                return ModelFileError(f"Version {change.version} was put into quarantine: {change.reason}")
        return None

    def _aliases(self) -> Mapping[str, int | None]:
        """The version of each model that is to serve; None: none is."""
        return self._loading.models.ledger.champions() if self._candidates is None else self._candidates
