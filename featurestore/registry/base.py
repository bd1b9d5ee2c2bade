"""The seam to the registry: catalogs in and out, in transactions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from featurestore.plan.catalog import Catalog, Object, ViewRecord
from featurestore.registry.diff import CatalogDiff
from featurestore.registry.serving import Pending


@dataclass(frozen=True, slots=True)
class Revision:
    """One apply: `number` counts from 1; `summary` is a line for each change."""

    number: int
    applied_at_us: int
    applied_by: str
    summary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ViewVersion:
    """One meaning that a view had: `applied_at_us` is the apply in which it came, `record` its newest wording."""

    view: str
    version: int
    applied_at_us: int
    applied_by: str
    record: ViewRecord


@dataclass(frozen=True, slots=True)
class Move:
    """One object begins, ceases or goes on to serve in another form; a view's forms have versions.

    `number` counts from 1, `to_revision` None: it serves no more, `from_revision` None: it did not serve before.
    """

    number: int
    at_us: int
    actor: str
    reason: str
    kind: str
    name: str
    from_revision: int | None
    from_version: int | None
    to_revision: int | None
    to_version: int | None


@dataclass(frozen=True, slots=True)
class RegistryState:
    """What is applied and what serves, at one instant.

    `number` tells one state from another: it grows with every apply, switch and rollback. `held` are the views that
    were rolled back; `since` is the revision in which each applied object's meaning came.
    """

    number: tuple[int, int]
    applied: Catalog
    serving: Catalog
    held: frozenset[str]
    since: Mapping[tuple[str, str], int]

    @property
    def revision(self) -> int:
        """The number of the newest revision."""
        return self.number[0]

    def pending(self, ready: Collection[tuple[str, int]]) -> Pending:
        """What decides which objects may serve as applied, when those versions of views are ready."""
        allowed = frozenset((view, version) for view, version in ready if view not in self.held)
        return Pending(self.applied, self.serving, allowed, self.since)


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A saved dataset: `path` is relative to the project; `manifest` says what made it.

    `version` counts from 1 within a name; the registry gives it.
    """

    name: str
    version: int
    saved_at_us: int
    saved_by: str
    path: str
    rows: int
    manifest: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that somebody trained: the dataset or the service that it learned from, at a revision of the registry.

    `views` has the version of each view that it learned from. `uri` says where it lies (relative to the project when
    inside), `digest` is its file's SHA-256. `version` counts from 1 within a name; the registry gives it.
    """

    name: str
    version: int
    recorded_at_us: int
    recorded_by: str
    dataset: str | None
    dataset_version: int | None
    service: str | None
    revision: int
    views: Mapping[str, int]
    uri: str | None = None
    digest: str | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """The versions of views that may serve, found out when the registry stood at `number` (`RegistryState.number`)."""

    number: tuple[int, int]
    versions: frozenset[tuple[str, int]]


class Registry(Protocol):
    """Transactions decide what is live. Every method raises RegistryError when the registry cannot be used."""

    def revision(self) -> int:
        """The number of the newest revision; 0 before the first apply."""
        ...

    def token(self) -> object:
        """A value that differs when the catalog may have changed, found in less than a microsecond.

        Commits of this process show at once, those of others within 10 ms. Raises RegistryError.
        """
        ...

    def touched(self) -> object:
        """A value that differs when anything in the database may have changed, of whatever room; as quick."""
        ...

    def catalog(self) -> tuple[int, Catalog]:
        """The newest revision's number and what is applied, read in one transaction."""
        ...

    def serving(self) -> tuple[int, Catalog]:
        """The newest revision's number and what serves, read in one transaction."""
        ...

    def state(self) -> RegistryState:
        """What is applied and what serves, read in one transaction."""
        ...

    def apply(self, diff: CatalogDiff, applied_by: str, ready: Ready) -> int:
        """Apply a diff in one transaction, let serve what may, and return the new revision's number.

        Raises ConflictError when the newest revision is not the one that the diff was computed on, or the registry
        does not stand where `ready` was found.
        """
        ...

    def switch(self, ready: Ready, actor: str, reason: str, alone: str | None = None) -> tuple[Move, ...]:
        """Let serve as applied, in one transaction, whatever may; what moved, which may be nothing.

        `alone` names a view that ends being held and goes whether or not others go with it. Raises ConflictError when
        the registry does not stand where `ready` was found.
        """
        ...

    def roll_back(self, version: ViewVersion, actor: str, reason: str) -> tuple[Move, ...]:
        """Let an earlier version of a view serve and hold it there; what moved.

        Services and on-demand views that it cannot answer go back to their latest form that it can. Raises InputError
        naming those that have none.
        """
        ...

    def moves(self, view: str | None = None) -> tuple[Move, ...]:
        """The whole log of what served, or of one view, newest first."""
        ...

    def view_versions(self, view: str | None = None) -> tuple[ViewVersion, ...]:
        """Every version that views had, removed ones included, or those of one view; newest first."""
        ...

    def history(self) -> tuple[Revision, ...]:
        """All revisions, newest first."""
        ...

    def recorded(self, kind: str, name: str, meaning: str) -> Object | None:
        """The newest form that an object ever had with that meaning, live or not; None when it never had it."""
        ...

    def add_dataset(self, dataset: DatasetRecord) -> DatasetRecord:
        """Record a dataset under the next version of its name, and return it with that version."""
        ...

    def datasets(self, name: str | None = None) -> tuple[DatasetRecord, ...]:
        """All datasets, or all versions of one, newest first."""
        ...

    def change_dataset(self, dataset: DatasetRecord) -> None:
        """Put a dataset's record in the place of that of its name and version: its rows were erased in part."""
        ...

    def add_model(self, model: ModelRecord) -> ModelRecord:
        """Record a model under the next version of its name, and return it with that version."""
        ...

    def models(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or all versions of one, newest first."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
