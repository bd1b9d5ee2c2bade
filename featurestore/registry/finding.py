"""Versions of views by number: those that references ask for, and those that declarations pin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from featurestore.errors import UnknownNameError
from featurestore.plan.catalog import Catalog, ViewRecord, reference
from featurestore.registry.base import ViewVersion
from featurestore.registry.diff import next_form

VersionsOf = Callable[[str], Sequence[ViewVersion]]  # `Registry.view_versions`


@dataclass(frozen=True, slots=True)
class VersionFinder:
    """Finds a pinned version of a declared view: one that was applied, or the one that it will be."""

    applied: Catalog
    versions_of: VersionsOf

    def __call__(self, declared: ViewRecord, version: int) -> ViewRecord:
        """The record of the version; raises UnknownNameError listing those there are."""
        view, number = next_form(self.applied, declared)
        return view if version == number else _found(view.name, version, self.versions_of, also=number)


def with_versions(catalog: Catalog, asked: Collection[tuple[str, int]], versions_of: VersionsOf) -> Catalog:
    """The catalog with the (view, version) that are asked for; raises UnknownNameError for one that never was."""
    found = {reference(view, version): _found(view, version, versions_of) for view, version in sorted(asked)}
    return msgspec.structs.replace(catalog, pinned=catalog.pinned | found) if found else catalog


def _found(view: str, version: int, versions_of: VersionsOf, also: int | None = None) -> ViewRecord:
    known = {found.version: found.record for found in versions_of(view)}
    if version not in known:
        numbers = sorted({*known, *([] if also is None else [also])})
        raise UnknownNameError("version of view", reference(view, version), (reference(view, n) for n in numbers))
    return known[version]
