"""FeatureStore: the rooms wired together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import InputError, UnknownNameError
from featurestore.history import History, named_features
from featurestore.plan.building import build_lookup_plan
from featurestore.plan.catalog import Catalog
from featurestore.plan.intervals import Asked
from featurestore.registry.base import Move, Revision
from featurestore.registry.diff import CatalogDiff, diff
from featurestore.registry.finding import VersionFinder
from featurestore.timeline import Clock, duration_us, instant_us, present_us

if TYPE_CHECKING:
    from featurestore.history import Features
    from featurestore.materialization.publishing import Publisher
    from featurestore.materialization.rebuilding import Rebuilt
    from featurestore.materialization.report import MaterializationReport, Progress, PushReport
    from featurestore.materialization.waiting import Waiting
    from featurestore.online.base import OnlineReads
    from featurestore.online.lookup import Lookup
    from featurestore.online.result import OnlineFeatures
    from featurestore.plan.lookup import LookupPlan
    from featurestore.registry.usage import UsedVersion
    from featurestore.statistics.records import ViewStatistics
    from featurestore.status import ViewStatus

DEFAULT_STEP = timedelta(days=30)


class FeatureStore(History):
    """A project's feature store: `FeatureStore(".")` finds featurestore.toml in the folder or above it.

    Safe for threads. Cheap to make: each room opens when it is first used. `now_us` is the clock.
    """

    def __init__(self, path: str | Path = ".", *, now_us: Clock = present_us) -> None:
        super().__init__(path, now_us=now_us)
        self._lookups: dict[object, tuple[object, Lookup]] = {}

    # definitions

    def plan(self) -> CatalogDiff:
        """What `apply` would change, whom it touches, and what each backfill will cost.

        Raises DefinitionError with every fault of every file.
        """
        from featurestore.materialization.costs import Estimator

        estimator = Estimator(str(self.root), self.engine, self.tables, self.now_us())
        return estimator.with_costs(self._planned(), self.catalog())

    def _planned(self) -> CatalogDiff:
        from featurestore.project.cataloging import declared_catalog, declared_places
        from featurestore.project.inspection import inspect_catalog
        from featurestore.project.loading import load_declarations

        declarations = load_declarations(self.root, self.configuration.definitions)
        revision, applied = self.registry.catalog()
        pinned = VersionFinder(applied, self.registry.view_versions)
        declared = declared_catalog(declarations, self.root, self.engine, pinned)
        planned = diff(revision, applied, declared, self.registry.models())
        changed = {change.name for change in planned.changes if change.kind == "view"}
        places = declared_places(declarations, self.root)
        inspect_catalog(planned.target, self.engine, str(self.root), places, changed)
        return planned

    def apply(self, plan: CatalogDiff | None = None) -> CatalogDiff:
        """Apply a plan (by default a new one) in one transaction, and return it; moves no watermark.

        What needs no build serves at once; a view whose kept rows stay valid under a new meaning is published before.
        A view that must be built goes on serving in its earlier version (`waiting`). Raises ConflictError when somebody
        applied after the plan was made.
        """
        plan = self._planned() if plan is None else plan
        if plan.changes:
            self._switcher.apply(plan)
        return plan

    def versions(self) -> tuple[UsedVersion, ...]:
        """The versions of views in use, and what uses them: nothing of those may be removed."""
        from featurestore.registry.usage import used_versions

        state = self.registry.state()  # what is read after it has all that it names: nothing is ever removed
        known, moves = self.registry.view_versions(), self.registry.moves()
        return used_versions(state, known, moves, self.configuration.project)

    def rollback(self, view: str, to: int | None = None, *, reason: str) -> tuple[Move, ...]:
        """Let an earlier version of a view serve, by default the one that served before; what moved.

        It is held there until the view is applied anew or switched. Raises UnknownNameError, InputError when there is
        no such version or a service cannot follow, and MaterializationError or NotPublishedError when it is gone.
        """
        return self._switcher.roll_back(view, to, _worded(reason))

    def switch(self, view: str, *, reason: str) -> tuple[Move, ...]:
        """Let the applied version of a view serve now, though it was rolled back or holds less; what moved.

        Raises UnknownNameError, InputError when it serves already or needs others too, and MaterializationError when
        it is not built.
        """
        return self._switcher.switch(view, _worded(reason))

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

        Without `start` each view goes on from its watermark. One chunk of `step` is one commit. Every version in use is
        filled; a new one that has come as far as the one that serves is counted and takes its place. `views` names
        views, or versions (`last@2`). A view that is stopped leaves the others running; with `check` its error is
        raised in the end.
        """
        from featurestore.materialization.rounds import chosen_versions, materialize_versions

        chosen = chosen_versions(views, self.versions(), self.registry.view_versions())
        asked = Asked(
            None if start is None else instant_us(start, "start"),
            instant_us(end, "end"),
            self.now_us(),
            duration_us(step),
        )
        shown = progress or (lambda _: None)
        report = materialize_versions(chosen, self._materializer, self._switcher, asked, shown)
        if check and report.error is not None:
            raise report.error
        return report

    def push(self, name: str, frame: object) -> PushReport:
        """Add rows to a view, or to all views that read a source directly: to history, and online at once.

        `frame` has the source's columns: a polars or pandas frame, Arrow data, a list of dicts, or the path of a
        Parquet, CSV or JSON lines file. It passes the contracts first, and nothing is written when one refuses
        (GateRefused). Rows that were pushed before change nothing, and rows may come in any order. Windows count them
        once the watermark passes. Raises UnknownNameError, InputError for rows that do not fit and for views that
        cannot take any, and ConflictError when another writer of the view is not done in time.
        """
        from featurestore.materialization.targets import push_targets
        from featurestore.project.pushed import pushed_scan

        token, targets = self.registry.token(), push_targets(name, self.versions(), self.registry.view_versions())
        records = [target.record for target in targets.tables]
        scan = pushed_scan(frame, targets.source, records)
        report = self._pusher.push(targets, scan)
        while token != self.registry.token():  # a version that came into use meanwhile takes them from the log
            token, now = self.registry.token(), push_targets(name, self.versions(), self.registry.view_versions())
            if (added := now.beyond(targets)).tables:
                self._pusher.push(added, scan)
        return report

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
        catalog, selection = self.selected(features, self.serving())
        return build_lookup_plan(selection, catalog, self.configuration.project)

    def compile_lookup(self, features: Features, catalog: Catalog, reads: OnlineReads | None = None) -> Lookup:
        """The lookup of the features as a catalog has them, with what its request-time features need loaded.

        It reads through `reads`, by default from the online store.
        """
        from featurestore.on_demand import evaluate, without_unread
        from featurestore.online.lookup import Lookup
        from featurestore.project.functions import resolve_functions

        catalog, selection = self.selected(features, catalog)
        plan = build_lookup_plan(selection, catalog, self.configuration.project)
        resolve_functions(plan.on_demand, self.root, self.configuration.definitions)
        log = self.served.of(plan, selection.service, catalog) if self.served and selection.service else None
        plan = replace(plan, on_demand=tuple(without_unread(step) for step in plan.on_demand))
        return Lookup(plan, reads or self.online, evaluate, self.now_us, log)

    def rebuild_online(self, views: Sequence[str] | None = None, *, check: bool = True) -> tuple[Rebuilt, ...]:
        """Fill the online store again with what is committed, after it was emptied or has lost records.

        `views` names views, or versions (`last@2`); by default all in use. A view that is stopped leaves the others
        running; with `check` its error is raised in the end.
        """
        from featurestore.materialization.rebuilding import rebuild_versions
        from featurestore.materialization.rounds import chosen_versions

        chosen = chosen_versions(views, self.versions(), self.registry.view_versions())
        rebuilt = tuple(rebuild_versions(chosen, self._materializer))
        if check and (error := next((one.error for one in rebuilt if one.error is not None), None)) is not None:
            raise error
        return rebuilt

    def status(self) -> tuple[ViewStatus, ...]:
        """How far each view is, offline and online, and what serves: one for each version in use.

        While the online store does not answer, they say why instead of what is in it.
        """
        from featurestore.status import view_statuses

        def ask_online() -> tuple[Publisher, Sequence[Waiting]]:
            return self._materializer.publisher, self.waiting()

        return tuple(view_statuses(self.versions(), self.tables, ask_online, self.now_us()))

    def statistics(
        self, view: str, start: datetime | None = None, end: datetime | None = None, *, events: bool = False
    ) -> ViewStatistics:
        """What a view's values look like, in each committed interval that overlaps [start, end) and in all of them.

        Of a windowed view the values that its runs published, or with `events` what it keeps of its source's rows.
        """
        from featurestore.statistics.views import view_statistics

        since, until = (None if at is None else instant_us(at, what) for at, what in ((start, "start"), (end, "end")))
        catalog = self.serving()
        if view not in catalog.views:
            raise UnknownNameError("view", view, catalog.views)
        return view_statistics(catalog.views[view], self.tables, (since, until), events=events)

    def _lookup(self, features: Features) -> Lookup:
        name = tuple(features) if type(features) is list else named_features(features)
        token = self.registry.token()
        found = self._lookups.get(name)
        if found is not None and found[0] == token:
            return found[1]
        lookup = self.compile_lookup(features, self.serving())
        self._lookups[name] = (token, lookup)
        return lookup


def _worded(reason: str) -> str:
    if not reason.strip():
        raise InputError("The reason is empty; say in a few words why, for those who read the log.")
    return reason.strip()
