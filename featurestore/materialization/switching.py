"""From one version of a view to the next: built while the old one serves, counted, then switched in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from featurestore.errors import (
    ConflictError,
    InputError,
    MaterializationError,
    NotPublishedError,
    OfflineStoreError,
    OnlineStoreError,
    UnknownNameError,
)
from featurestore.materialization.publishing import Publisher
from featurestore.materialization.replaying import reader_of, takes_pushes
from featurestore.materialization.succession import Succession
from featurestore.offline.pushed import PushLog
from featurestore.offline.tables import OfflineTables, Snapshot
from featurestore.plan.catalog import Catalog, ViewRecord, parse_reference, reference
from featurestore.plan.nodes import DeltaScan
from featurestore.plan.views import table_name
from featurestore.registry.base import Move, Ready, Registry, RegistryState, ViewVersion
from featurestore.registry.diff import CatalogDiff
from featurestore.registry.usage import previous_version

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Switcher:
    """Decides which version of a view may serve; `counted` remembers what was counted already."""

    registry: Registry
    tables: OfflineTables
    publisher: Publisher
    log: PushLog
    actor: str
    counted: set[tuple[str, int]] = field(default_factory=set)

    def apply(self, diff: CatalogDiff) -> None:
        """Apply a diff; what needs no build serves at once, what is only published anew is published before.

        Raises ConflictError when somebody else applied since the diff was made.
        """
        for _ in range(_ATTEMPTS):
            state = self.registry.state()
            try:
                with self._ready(state, diff.target) as ready:
                    self.registry.apply(diff, self.actor, ready)
                    return
            except ConflictError:
                if self.registry.revision() != diff.base:
                    raise
        raise ConflictError("Others go on switching views at the same time; apply again.")

    def settle(self) -> tuple[Move, ...]:
        """Let serve what is ready to, and return what moved; a new version of a view is counted first."""
        for _ in range(_ATTEMPTS):
            state = self.registry.state()
            with self._ready(state, state.applied) as ready:
                if not state.pending(ready.versions).moving():
                    return ()
                try:
                    return self.registry.switch(ready, self.actor, "its new version is built")
                except ConflictError:
                    continue
        return ()  # others settle at the same time; what is left is settled by the next run

    def switch(self, view: str, reason: str) -> tuple[Move, ...]:
        """Let the applied version of a view serve now, though it holds less or was rolled back before.

        Raises UnknownNameError, InputError when it serves already or cannot without others, and MaterializationError
        when it is not built.
        """
        state = self.registry.state()
        if view not in state.applied.views:
            raise UnknownNameError("view", view, state.applied.views)
        version = state.applied.versions[view]
        if state.serving.views.get(view) is not None and state.serving.versions[view] == version:
            raise InputError(f"View '{view}' v{version} serves already.")
        with self._ready(state, state.applied, forced=view) as ready:
            if (view, version) not in ready.versions:
                raise MaterializationError(
                    f"View '{view}' v{version} cannot serve yet: nothing of it is materialized, or a run writes it "
                    "now. Run `featurestore materialize`, or wait for it."
                )
            moves = self.registry.switch(ready, self.actor, reason, alone=view)
        if not any((move.kind, move.name) == ("view", view) for move in moves):
            raise InputError(
                f"View '{view}' v{version} cannot serve without others that are not built: services that read it need "
                "them too. Run `featurestore materialize`, and see `featurestore status`."
            )
        return moves

    def roll_back(self, view: str, to: int | None, reason: str) -> tuple[Move, ...]:
        """Let an earlier version of a view serve, by default the one that served before, and hold it there.

        Raises UnknownNameError, InputError when there is none or a service cannot follow, and MaterializationError or
        NotPublishedError when its table or its online records are gone.
        """
        state = self.registry.state()
        if view not in state.serving.views:
            raise UnknownNameError("view", view, state.serving.views)
        served = state.serving.versions[view]
        target = previous_version(self.registry.moves(view), served) if to is None else to
        if target is None:
            raise InputError(
                f"No version of view '{view}' before v{served} ever served, so there is none to go back to."
            )
        if target >= served:
            raise InputError(
                f"View '{view}' serves v{served}, so v{target} is no way back; `featurestore switch {view}` lets the "
                "applied version serve."
            )
        versions = {found.version: found for found in self.registry.view_versions(view)}
        if target not in versions:
            raise UnknownNameError("version of view", reference(view, target), (reference(view, v) for v in versions))
        self._check_there(versions[target])
        return self.registry.roll_back(versions[target], self.actor, reason)

    def lacking(self, step: Succession) -> str | None:
        """What a version lacks to take the place of the one that serves; None when nothing."""
        before, after = (self.tables.snapshot(table_name(record)) for record in (step.before, step.record))
        if before is None or self._alike(step):  # there is nothing to protect, or nothing to build
            return None
        if after is None:
            return "nothing of it is materialized; run `featurestore materialize`"
        if (short := step.shortfall(before, after) or self._untaken(step, before, after)) is not None:
            return short
        published = self.publisher.published(step.record)
        if published is None or published.version != after.version:
            return "it is not published up to its last commit; run `featurestore materialize`"
        return None

    @contextmanager
    def _ready(self, state: RegistryState, target: Catalog, forced: str | None = None) -> Iterator[Ready]:
        """The versions that may serve when `target` is applied; nobody writes tables of built ones meanwhile."""
        serving = state.serving
        with ExitStack() as leases:
            ready = set()
            for view, version, record in _versions(target):
                served = serving.versions[view] if view in serving.views else None
                newest = version == target.versions[view]
                if served == version or (newest and served is None):
                    ready.add((view, version))
                elif newest:
                    step = Succession(record, version, serving.views[view], serving.versions[view], view == forced)
                    if self._built(step, leases):
                        ready.add((view, version))
                elif self._stands(record):
                    ready.add((view, version))
            yield Ready(state.number, frozenset(ready))

    def _built(self, step: Succession, leases: ExitStack) -> bool:
        """Whether a version holds what it needs, published and counted; what is committed already is published here."""
        tables = [table_name(record) for record in (step.before, step.record)]
        before, after = (self.tables.snapshot(table) for table in tables)
        if before is None or self._alike(step):
            return True
        if after is None or step.shortfall(before, after) is not None:
            return False
        try:
            for table in dict.fromkeys(tables):
                leases.enter_context(self.tables.lease(table))
        except ConflictError:  # a run writes it, and will settle in the end
            return False
        before, after = (self.tables.snapshot(table) for table in tables)
        assert before is not None
        assert after is not None
        if step.shortfall(before, after) is not None or self._untaken(step, before, after) is not None:
            return False
        self.publisher.publish(step.record, after)
        self._count(step.record, after)
        return True

    def _untaken(self, step: Succession, before: Snapshot, after: Snapshot) -> str | None:
        """What was pushed, and the version that serves has taken, and this one has not."""
        if step.forced or before.marks.pushed is None:
            return None
        waiting = self.log.waiting(reader_of(step.record), after.marks.pushed, before.marks.pushed)
        if not waiting:
            return None
        if not takes_pushes(step.record):
            return f"it takes no pushed rows, and v{step.served} has some; `featurestore switch` it"
        return f"it lacks what was pushed to v{step.served}; run `featurestore materialize`"

    def _alike(self, step: Succession) -> bool:
        """Whether both versions read the same rows, offline and online."""
        return all(place(step.before) == place(step.record) for place in (table_name, self.publisher.namespace))

    def _stands(self, record: ViewRecord) -> bool:
        """Whether a version of long ago is still there."""
        return self.tables.snapshot(table_name(record)) is not None and self.publisher.published(record) is not None

    def _count(self, record: ViewRecord, snapshot: Snapshot) -> None:
        """Count what was built against what its commits and its current rows say; raise when they differ."""
        space = self.publisher.namespace(record)
        if (space, snapshot.version) in self.counted:
            return
        table = DeltaScan("committed", str(self.tables.directory / snapshot.table), snapshot.version)
        with self.publisher.engine.query("SELECT count(*) FROM committed", (table,)) as reader:
            rows = reader.read_all().column(0)[0].as_py()
        if rows != snapshot.rows:
            raise OfflineStoreError(
                f"Offline table '{snapshot.table}' holds {rows:,} rows where its commits count {snapshot.rows:,}. "
                "Restore the folder, or delete it and materialize again."
            )
        expected = self.publisher.count(record, snapshot)
        if self.publisher.store.count(space) != expected:  # somebody else wrote there: only the rows say what is right
            self.publisher.publish(record, snapshot, anew=True)
        if (found := self.publisher.store.count(space)) != expected:
            raise OnlineStoreError(
                f"View '{record.name}' has {found:,} records online in '{space}' where its rows give {expected:,}, so "
                "it does not serve. Check who else writes that store, and materialize again."
            )
        self.counted.add((space, snapshot.version))

    def _check_there(self, version: ViewVersion) -> None:
        name, table = reference(version.view, version.version), table_name(version.record)
        if self.tables.snapshot(table) is None:
            raise MaterializationError(
                f"'{name}' cannot serve: its table {table} is gone, or was never filled. `featurestore materialize "
                f"--view {name}` builds it again."
            )
        if self.publisher.published(version.record) is None:
            raise NotPublishedError(
                f"'{name}' cannot serve: its online records are gone. `featurestore materialize --view {name}` "
                "publishes them again."
            )


def _versions(catalog: Catalog) -> Iterator[tuple[str, int, ViewRecord]]:
    """Every view of a catalog in its version, then the pinned ones."""
    for name in (*catalog.views, *catalog.pinned):
        yield parse_reference(name)[0], catalog.version(name), catalog.view(name)
