"""What an erasure did, and what still holds the entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.dtypes import Value


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows taken out of one place.

    `kind` is push log, offline table, online records, audit log, prediction log, dataset, spine or quarantine.
    """

    kind: str
    where: str
    rows: int
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What still holds the entity, and why; `rows` None when they were not counted."""

    kind: str
    where: str
    rows: int | None
    why: str


@dataclass(frozen=True, slots=True)
class EraseReport:
    """One erasure; of a dry run what would be erased. `held` is what no erasure takes away."""

    entity: Mapping[str, Value]
    dry_run: bool
    erased: tuple[Erased, ...]
    held: tuple[Held, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing that is known holds the entity any more."""
        return not self.dry_run and not self.held
