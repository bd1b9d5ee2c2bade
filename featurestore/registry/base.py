"""The seam to the registry: catalogs in and out, in transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from featurestore.plan.catalog import Catalog, Object
from featurestore.registry.diff import CatalogDiff


@dataclass(frozen=True, slots=True)
class Revision:
    """One apply: `number` counts from 1; `summary` is a line for each change."""

    number: int
    applied_at_us: int
    applied_by: str
    summary: tuple[str, ...]


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


class Registry(Protocol):
    """Transactions decide what is live. Every method raises RegistryError when the registry cannot be used."""

    def revision(self) -> int:
        """The number of the newest revision; 0 before the first apply."""
        ...

    def token(self) -> object:
        """A value that differs when the catalog may have changed, found in less than a microsecond.

        Applies of this process show at once, those of others within 10 ms.
        """
        ...

    def catalog(self) -> tuple[int, Catalog]:
        """The newest revision's number and what is applied, read in one transaction."""
        ...

    def apply(self, diff: CatalogDiff, applied_by: str) -> int:
        """Apply a diff in one transaction and return the new revision's number.

        Raises ConflictError when the newest revision is not the one that the diff was computed on.
        """
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

    def add_model(self, model: ModelRecord) -> ModelRecord:
        """Record a model under the next version of its name, and return it with that version."""
        ...

    def models(self, name: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or all versions of one, newest first."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
