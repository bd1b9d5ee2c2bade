"""What applying a declared catalog would change: pure data from two catalogs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from featurestore.plan.catalog import (
    Catalog,
    FeatureRecord,
    Object,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    ServiceRecord,
    SourceRecord,
    SqlPlace,
    ViewPlace,
    ViewRecord,
    reference,
)
from featurestore.plan.fingerprint import meaning, publication, storage

if TYPE_CHECKING:
    from featurestore.registry.base import ModelRecord

Action = Literal["added", "changed", "metadata", "removed"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a backfill will read and take: an estimate, of which `basis` says what it rests on."""

    rows: int
    seconds: float
    basis: str


@dataclass(frozen=True, slots=True)
class Change:
    """One object that would change. `details` names the fields that differ, `services` and `models` those it touches.

    `version` is a view's version afterwards, `from_version` the one before. `backfill`: the view's kept rows change, so
    it must be materialized again, at the `cost` (None where nobody asked); `republish`: only what is online is computed
    anew.
    """

    kind: str
    name: str
    action: Action
    details: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    version: int | None = None
    from_version: int | None = None
    backfill: bool = False
    republish: bool = False
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class CatalogDiff:
    """The changes from revision `base` to the catalog `target`; applying it is refused on any other revision."""

    base: int
    changes: tuple[Change, ...]
    target: Catalog

    def count(self, action: Action) -> int:
        """How many objects change that way."""
        return sum(change.action == action for change in self.changes)


def diff(base: int, applied: Catalog, declared: Catalog, models: Sequence[ModelRecord] = ()) -> CatalogDiff:
    """The changes that lead from what is applied at revision `base` to what is declared, renames resolved.

    `models` are the recorded ones, of which the changes name those they touch.
    """
    settled = {name: next_form(applied, view) for name, view in declared.views.items()}
    views = {name: view for name, (view, _) in settled.items()}
    versions = applied.versions | {name: version for name, (_, version) in settled.items()}
    pinned = {
        reference(view, version): views[view]
        if versions.get(view) == version
        else declared.view(reference(view, version))
        for view, version in sorted(declared.pins())
    }
    target = msgspec.structs.replace(declared, views=views, versions=versions, pinned=pinned)
    before, after = applied.objects(), target.objects()
    changes = [change for key in after if (change := _change(key, before.get(key), after[key], versions))]
    changes += [Change(kind, name, "removed") for kind, name in before if (kind, name) not in after]
    return CatalogDiff(base, tuple(consumers(change, applied, target, models) for change in changes), target)


def next_form(applied: Catalog, declared: ViewRecord) -> tuple[ViewRecord, int]:
    """A declared view with its renames resolved, and the version that it is or will be."""
    before = applied.views.get(declared.name)
    view = _with_stored_columns(before, declared)
    latest = applied.versions.get(view.name, 0)
    return view, latest if before is not None and meaning(before) == meaning(view) else latest + 1


def consumers(change: Change, applied: Catalog, target: Catalog, models: Sequence[ModelRecord]) -> Change:
    """The change with whom it touches: services whose answers rest on the object, and models that learned from them.

    A model also learned from the views it names itself, whatever service read them.
    """
    services = _services_touched(change, applied, target)
    if change.action == "metadata":
        return change
    read = {*services, change.name} if change.kind == "service" else set(services)
    views = {change.name} if change.kind == "view" else set()
    touched = (f"{m.name}@{m.version}" for m in models if m.service in read or views & m.views.keys())
    return replace(change, services=services, models=tuple(sorted(touched)))


def _with_stored_columns(applied: ViewRecord | None, view: ViewRecord) -> ViewRecord:
    """Give every feature its column in the offline table: that of the feature it was, or else a new one."""
    known = {feature.name: feature for feature in applied.features} if applied else {}
    renamed = {f.was for f in view.features if f.was in known and f.name not in known}
    earlier = {f.name: known.get(f.name if f.name not in renamed else "") or _was(f, known) for f in view.features}
    taken = {previous.stored for previous in earlier.values() if previous}
    features = []
    for feature in view.features:
        previous = earlier[feature.name]
        column, expression = feature.column, feature.expression
        if not column and expression is None:  # a rename computes what the feature computed before
            column = previous.column if previous else (feature.was or feature.name)
            expression = previous.expression if previous else None
        stored = previous.stored if previous else _free_name(feature.name, taken)
        taken.add(stored)
        features.append(
            msgspec.structs.replace(feature, column=column or feature.name, expression=expression, stored=stored)
        )
    return msgspec.structs.replace(view, features=tuple(features))


def _was(feature: FeatureRecord, known: Mapping[str, FeatureRecord]) -> FeatureRecord | None:
    return None if feature.was is None else known.get(feature.was)


def _free_name(name: str, taken: set[str]) -> str:
    candidates = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _change(key: tuple[str, str], before: Object | None, after: Object, versions: dict[str, int]) -> Change | None:
    kind, name = key
    version = versions[name] if isinstance(after, ViewRecord) else None
    if before is None:
        return Change(kind, name, "added", version=version, backfill=isinstance(after, ViewRecord))
    if before == after:
        return None
    details = tuple(_differences(before, after))
    if meaning(before) == meaning(after):
        return Change(kind, name, "metadata", details, version=version, from_version=version)
    if isinstance(before, ViewRecord) and isinstance(after, ViewRecord):
        backfill = storage(before) != storage(after)
        republish = not backfill and publication(before) != publication(after)
        since = None if version is None else version - 1
        return Change(
            kind, name, "changed", details, version=version, from_version=since, backfill=backfill, republish=republish
        )
    return Change(kind, name, "changed", details)


def _differences(before: Object, after: Object) -> Iterator[str]:
    for field in before.__struct_fields__:
        old, new = getattr(before, field), getattr(after, field)
        if old == new:
            continue
        if field in ("features", "aggregations") and isinstance(before, ViewRecord):
            yield from _feature_differences(old, new)
        elif field == "metadata":
            yield from (f for f in ("description", "owner", "tags") if getattr(old, f) != getattr(new, f))
        else:
            yield field.removesuffix("_us")


def _feature_differences(old: Iterable[FeatureRecord], new: Iterable[FeatureRecord]) -> Iterator[str]:
    before, after = {f.name: f for f in old}, {f.name: f for f in new}
    for name, feature in after.items():
        if name in before:
            if before[name] != feature:
                yield f"~{name}"
        elif (was := getattr(feature, "was", None)) in before:
            yield f"{was} -> {name}"
        else:
            yield f"+{name}"
    renamed = {getattr(feature, "was", None) for feature in after.values()}
    yield from (f"-{name}" for name in before if name not in after and name not in renamed)
    if [n for n in before if n in after] != [n for n in after if n in before]:
        yield "order of features"


def _services_touched(change: Change, applied: Catalog, target: Catalog) -> tuple[str, ...]:
    if change.kind == "service" or change.action == "metadata":
        return ()
    services = {**applied.services, **target.services}
    catalogs = (applied, target)
    touched = (s.name for s in services.values() if any((change.kind, change.name) in _uses(s, c) for c in catalogs))
    return tuple(sorted(touched))


def _uses(service: ServiceRecord, catalog: Catalog) -> set[tuple[str, str]]:
    """(kind, name) of everything that a service's answer rests on."""
    used: set[tuple[str, str]] = set()
    for member in service.members:
        match member:
            case Projected():
                used |= _part_uses(member, catalog)
            case OnDemandMember(view=name):
                used |= _on_demand_uses(catalog.on_demand.get(name), catalog)
    return used


def _part_uses(part: Projected, catalog: Catalog) -> set[tuple[str, str]]:
    """What pins a version rests on nothing that can change."""
    return set() if part.version is not None else _view_uses(catalog.views.get(part.view))


def _on_demand_uses(view: OnDemandRecord | None, catalog: Catalog) -> set[tuple[str, str]]:
    if view is None:
        return set()
    used = {("on_demand", view.name)}
    for part in view.inputs:
        if isinstance(part, Projected):
            used |= _part_uses(part, catalog)
    return used


def _view_uses(view: ViewRecord | None) -> set[tuple[str, str]]:
    if view is None:
        return set()
    entities = {("entity", entity) for entity in view.entities}
    return {("view", view.name), *entities, *_source_uses(view.source)}


def _source_uses(source: SourceRecord) -> set[tuple[str, str]]:
    used = {("source", source.name)}
    match source.place:
        case SqlPlace(inputs=inputs):
            for part in inputs:
                used |= _source_uses(part)
        case ViewPlace(view=view):
            used |= _view_uses(view)
    return used
