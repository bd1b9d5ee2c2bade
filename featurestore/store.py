"""FeatureStore: the rooms wired together."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.definitions import FeatureService
from featurestore.errors import InputError, UnknownNameError
from featurestore.plan.building import ViewInput, build_historical_plan, build_lookup_plan
from featurestore.plan.catalog import Catalog, ViewRecord
from featurestore.plan.intervals import Asked
from featurestore.plan.nodes import Scan
from featurestore.plan.selection import select
from featurestore.project.configuration import find_root, load_configuration
from featurestore.registry.base import ModelRecord, Revision
from featurestore.registry.diff import CatalogDiff, diff
from featurestore.registry.open import open_registry
from featurestore.timeline import Clock, duration_us, instant_us, present_us

if TYPE_CHECKING:
    import polars as pl

    from featurestore.contracts.quarantine import Quarantine
    from featurestore.dataset import Dataset
    from featurestore.datasets import Datasets
    from featurestore.engines.base import OfflineEngine
    from featurestore.materialization.report import MaterializationReport, Progress
    from featurestore.materialization.runner import Materializer
    from featurestore.models import Models
    from featurestore.offline.tables import OfflineTables
    from featurestore.online.base import OnlineStore
    from featurestore.online.lookup import Lookup
    from featurestore.online.result import OnlineFeatures
    from featurestore.pinning import Pins, ViewPin
    from featurestore.plan.lookup import LookupPlan
    from featurestore.retrieval import TrainingSet
    from featurestore.status import ViewStatus

    Features = str | FeatureService | Sequence[str]

DEFAULT_STEP = timedelta(days=30)


class FeatureStore:
    """A project's feature store: `FeatureStore(".")` finds featurestore.toml in the folder or above it.

    Safe for threads. Cheap to make: each room opens when it is first used. `now_us` is the clock.
    """

    def __init__(self, path: str | Path = ".", *, now_us: Clock = present_us) -> None:
        self.root = find_root(Path(path).resolve())
        self.configuration = load_configuration(self.root)
        self.now_us = now_us
        self.registry = open_registry(self.configuration.registry.url, self.root, now_us)
        self._lookups: dict[object, tuple[object, Lookup]] = {}

    # definitions

    def plan(self) -> CatalogDiff:
        """What `apply` would change, and whom it touches; raises DefinitionError with every fault of every file."""
        from featurestore.project.cataloging import declared_catalog, declared_places
        from featurestore.project.inspection import inspect_catalog
        from featurestore.project.loading import load_declarations

        declarations = load_declarations(self.root, self.configuration.definitions)
        declared = declared_catalog(declarations, self.root, self.engine)
        revision, applied = self.registry.catalog()
        planned = diff(revision, applied, declared)
        inspect_catalog(planned.target, self.engine, str(self.root), declared_places(declarations, self.root))
        return planned

    def apply(self, plan: CatalogDiff | None = None) -> CatalogDiff:
        """Apply a plan (by default a new one) in one transaction, and return it; moves no watermark.

        Views whose kept rows stay valid under a new meaning are published anew. Raises ConflictError when somebody
        applied after the plan was made.
        """
        plan = self.plan() if plan is None else plan
        if plan.changes:
            self.registry.apply(plan, self.actor)
        for change in plan.changes:
            view = plan.target.views.get(change.name) if change.kind == "view" else None
            if view and change.action in ("added", "changed"):
                self._materializer.publish(view)
        return plan

    def catalog(self) -> Catalog:
        """What is applied."""
        return self.registry.catalog()[1]

    def history(self) -> tuple[Revision, ...]:
        """All applies, newest first."""
        return self.registry.history()

    # offline

    def materialize(
        self,
        end: datetime,
        start: datetime | None = None,
        views: Sequence[str] | None = None,
        *,
        step: timedelta = DEFAULT_STEP,
        progress: Progress | None = None,
        check: bool = True,
    ) -> MaterializationReport:
        """Fill the offline and the online store with events in [start, end), through the contracts.

        Without `start` each view goes on from its watermark. One chunk of `step` is one commit. A view that is
        stopped leaves the others running; with `check` its error is raised in the end.
        """
        from featurestore.materialization.report import MaterializationReport

        _, catalog = self.registry.catalog()
        asked = Asked(
            None if start is None else instant_us(start, "start"),
            instant_us(end, "end"),
            self.now_us(),
            duration_us(step),
        )
        reports = [
            self._materializer.run(view, catalog.versions[view.name], asked, progress or (lambda _: None))
            for view in _chosen(views, catalog)
        ]
        report = MaterializationReport(tuple(reports))
        if check and report.error is not None:
            raise report.error
        return report

    def get_historical_features(
        self,
        spine: object,
        features: Features,
        *,
        timestamp: str = "event_timestamp",
        from_source: bool = False,
        as_of: datetime | None = None,
        statuses: bool = False,
    ) -> TrainingSet:
        """For each spine row the features as they were known at its `timestamp`: one row each, in the spine's order.

        `spine`: a polars or pandas frame, an Arrow table or reader, a Parquet path, or a SQL query over views, sources
        and datasets. `from_source` computes from the sources without materializing; `as_of` answers with what each
        view had committed at that instant; `statuses` adds `<feature>__status`. Raises UnknownNameError, InputError
        for a spine that does not fit, and NotCommittedError when a view had committed nothing yet.
        """
        if from_source and as_of is not None:
            raise InputError(
                "as_of asks for what was committed, and from_source for what the sources hold now; give one of them."
            )
        pins = self.pins(features, as_of)
        return self.retrieve(spine, pins, timestamp=timestamp, from_source=from_source, statuses=statuses)

    def pins(self, features: Features, as_of: datetime | None = None) -> Pins:
        """What the features' answers rest on: the applied records, and of each view's table the newest version.

        With `as_of` the newest version that was committed by then; raises NotCommittedError when there was none.
        """
        from featurestore.pinning import Pins, committed_by

        revision, catalog = self.registry.catalog()
        selection = select(_named(features), catalog)
        as_of_us = None if as_of is None else instant_us(as_of, "as_of")
        return Pins.of(selection, catalog, revision, committed_by(as_of_us, self.tables, self.now_us))

    def retrieve(
        self,
        spine: object,
        pins: Pins,
        *,
        timestamp: str = "event_timestamp",
        from_source: bool = False,
        statuses: bool = False,
    ) -> TrainingSet:
        """What `get_historical_features` answers when each view is read as pinned; equal pins give equal answers.

        From source, pins fix the records and the committed start only.
        """
        from featurestore.project.functions import resolve_functions
        from featurestore.project.spines import as_spine
        from featurestore.retrieval import Retrieval, TrainingSet

        inputs = {name: self._from_source(pin) if from_source else pin.stored() for name, pin in pins.views.items()}
        plan = build_historical_plan(pins.selection, pins.catalog, inputs, timestamp)
        resolve_functions(plan.on_demand, self.root, self.configuration.definitions)
        rows = as_spine(spine, lambda: self._queryable(self.catalog()))
        retrieval = Retrieval(plan, rows, self.engine, pins, statuses=statuses, from_source=from_source)
        return TrainingSet(retrieval, self.datasets.save)

    def sql(self, query: str) -> pl.DataFrame:
        """The result of one read-only query; every view, source and dataset is a table of its name."""
        import polars as pl

        with self.engine.query(query, self._queryable(self.catalog())) as reader:
            return pl.DataFrame(reader.read_all())

    def record_model(
        self,
        name: str,
        *,
        dataset: Dataset | str | None = None,
        service: str | None = None,
        uri: str | None = None,
        digest: str | None = None,
        notes: str = "",
    ) -> ModelRecord:
        """Record a model trained elsewhere as the next version of `name`, with the dataset or service it learned from.

        `dataset` may be `name@version`. `uri`: a path, from the project's folder, or a URI; of a file the SHA-256 is
        computed. Raises UnknownNameError, and InputError for a model that learned from nothing or a missing file.
        """
        return self.models.record(name, (dataset, service), uri, digest, notes)

    def _queryable(self, catalog: Catalog) -> tuple[Scan, ...]:
        from featurestore.project.tables import queryable_tables

        return queryable_tables(catalog, self.registry.datasets(), self.tables, str(self.root))

    # online

    def get_online_features(
        self,
        features: Features,
        entities: Sequence[Mapping[str, object]],
        request: Sequence[Mapping[str, object]] | None = None,
        at: datetime | None = None,
    ) -> OnlineFeatures:
        """The present features of each entity, in order; `request` brings request-time values, one for each.

        `at` is the instant asked for, by default now. Raises UnknownNameError, InputError for missing join keys, and
        NotPublishedError for a view that was never published or an instant before its publish.
        """
        return self._lookup(features).answer(entities, request, None if at is None else instant_us(at, "at"))

    def lookup_plan(self, features: Features) -> LookupPlan:
        """What an online lookup of the features reads: views, keys and request columns with their types."""
        catalog = self.catalog()
        return build_lookup_plan(select(_named(features), catalog), catalog, self.configuration.project)

    def compile_lookup(self, features: Features, catalog: Catalog) -> Lookup:
        """The lookup of the features as a catalog has them, with what its request-time features need loaded."""
        from featurestore.on_demand import evaluate
        from featurestore.online.lookup import Lookup
        from featurestore.project.functions import resolve_functions

        plan = build_lookup_plan(select(_named(features), catalog), catalog, self.configuration.project)
        resolve_functions(plan.on_demand, self.root, self.configuration.definitions)
        return Lookup(plan, self.online, evaluate, self.now_us)

    def status(self) -> tuple[ViewStatus, ...]:
        """How far each view is, offline and online."""
        from featurestore.status import view_statuses

        return tuple(view_statuses(self.catalog(), self.tables, self._materializer.publisher))

    def _lookup(self, features: Features) -> Lookup:
        name = features if type(features) is str else _named(features)
        token = self.registry.token()
        found = self._lookups.get(name)
        if found is not None and found[0] == token:
            return found[1]
        lookup = self.compile_lookup(features, self.catalog())
        self._lookups[name] = (token, lookup)
        return lookup

    # rooms

    @property
    def actor(self) -> str:
        """Who acts, for the records."""
        return getpass.getuser()

    @cached_property
    def engine(self) -> OfflineEngine:
        """The engine that computes plans."""
        from featurestore.engines.open import open_engine

        offline = self.configuration.offline
        return open_engine(offline.engine, offline.memory_limit, offline.threads, self._offline_path / "spill")

    @cached_property
    def tables(self) -> OfflineTables:
        """The offline tables."""
        from featurestore.offline.tables import OfflineTables

        return OfflineTables(self._offline_path / "views")

    @cached_property
    def online(self) -> OnlineStore:
        """The online store."""
        from featurestore.online.open import open_online_store

        return open_online_store(self.configuration.online.url, self.root)

    @cached_property
    def quarantine(self) -> Quarantine:
        """What contracts refused, and what people let through."""
        from featurestore.contracts.quarantine import Quarantine

        return Quarantine(self._offline_path / "quarantine")

    @cached_property
    def datasets(self) -> Datasets:
        """The saved training sets."""
        from featurestore.datasets import Datasets

        return Datasets(
            self.root, self._offline_path, self.registry, self.tables, self.retrieve, self.actor, self.now_us
        )

    @cached_property
    def models(self) -> Models:
        """The recorded models."""
        from featurestore.models import Models

        return Models(self.root, self.registry, self.datasets, self.pins, self.actor, self.now_us)

    @cached_property
    def _materializer(self) -> Materializer:
        from featurestore.materialization.judging import Judge
        from featurestore.materialization.publishing import Publisher
        from featurestore.materialization.runner import Materializer
        from featurestore.project.contracts import ContractLoader

        load_contract = ContractLoader(self.root, self.configuration.definitions)
        judge = Judge(str(self.root), self.engine, self.quarantine, load_contract, self.now_us)
        publisher = Publisher(self.configuration.project, self.engine, self.online)
        return Materializer(self.engine, self.tables, judge, publisher)

    def close(self) -> None:
        """Release the engine, the online store and the registry."""
        for room in ("engine", "online", "registry"):
            if room in self.__dict__:
                self.__dict__[room].close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _offline_path(self) -> Path:
        return self.root / self.configuration.offline.path

    def _from_source(self, pin: ViewPin) -> ViewInput:
        return ViewInput(self._materializer.rows_from_source(pin.record, pin.snapshot), pin.watermark_us)


def _chosen(views: Sequence[str] | None, catalog: Catalog) -> tuple[ViewRecord, ...]:
    views = (views,) if isinstance(views, str) else views
    for name in views or ():
        if name not in catalog.views:
            raise UnknownNameError("view", name, catalog.views)
    if not catalog.views:
        raise InputError("No view is applied, so there is nothing to materialize; run `featurestore apply` first.")
    return tuple(view for name, view in catalog.views.items() if views is None or name in views)


def _named(features: Features) -> str | tuple[str, ...]:
    match features:
        case FeatureService(name=name) | str(name):
            return name
        case _:
            return tuple(features)
