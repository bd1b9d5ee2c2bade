"""What a caller asks for: a service, its name, or `view:feature` references, resolved against the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.errors import InputError, UnknownNameError
from featurestore.plan.catalog import (
    Catalog,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    ViewRecord,
    parse_reference,
    projections,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Members in answer order; `label` is what was asked, for people; `service` the service that was named, if any."""

    label: str
    members: tuple[Projected | OnDemandMember, ...]
    service: str | None = None


def select(features: str | Sequence[str], catalog: Catalog) -> Selection:
    """The selection that a service name or a list of `view:feature` references means.

    A service's name selects its members; `view:*` all features of a view; `view@2:feature` asks for a version, which
    the catalog must hold as pinned. Raises UnknownNameError listing what exists, close names first, and InputError for
    a reference of another form.
    """
    if isinstance(features, str):
        if ":" in features:
            return select([features], catalog)
        if features not in catalog.services:
            raise UnknownNameError("service", features, catalog.services)
        return Selection(features, catalog.services[features].members, features)
    if not features:
        raise InputError("The list of features is empty; name a service or give references such as 'view:feature'.")
    chosen: dict[str, list[str]] = {}
    for reference in features:
        view, feature = _split(reference)
        for name in _features_of(view, feature, catalog):
            if name in chosen.setdefault(view, []):
                raise InputError(f"Feature '{view}:{name}' is listed twice; list it once.")
            chosen[view].append(name)
    members = tuple(_member(view, tuple(names), catalog) for view, names in chosen.items())
    return Selection(", ".join(features), members)


def asked_versions(features: str | Sequence[str]) -> frozenset[tuple[str, int]]:
    """(view, version) of each reference that asks for a version."""
    listed = [features] if isinstance(features, str) else features
    views = (parse_reference(str(asked).partition(":")[0]) for asked in listed if ":" in str(asked))
    return frozenset((view, version) for view, version in views if version is not None)


def view_members(selection: Selection, catalog: Catalog) -> tuple[str, ...]:
    """References to all views that the selection reads, those behind on-demand views included, in first use.

    `Catalog.view` finds each.
    """
    found: dict[str, None] = {}
    for member in selection.members:
        parts = (member,) if isinstance(member, Projected) else projections(catalog.on_demand[member.view])
        found.update(dict.fromkeys(part.reference for part in parts))
    return tuple(found)


def _split(reference: str) -> tuple[str, str]:
    view, _, feature = str(reference).partition(":")
    if not (view and feature):
        raise InputError(f"{reference!r} is no feature reference; write 'view:feature', or 'view:*' for all of a view.")
    return view, feature


def _features_of(view: str, feature: str, catalog: Catalog) -> tuple[str, ...]:
    record = catalog.views.get(view) or catalog.on_demand.get(view) or catalog.pinned.get(view)
    if record is None:
        raise UnknownNameError("view", view, {**catalog.views, **catalog.on_demand})
    names = feature_names(record)
    if feature == "*":
        return names
    if feature not in names:
        raise UnknownNameError("feature", feature, names, where=f"view '{view}'")
    return (feature,)


def feature_names(record: ViewRecord | OnDemandRecord) -> tuple[str, ...]:
    """The names of a view's features, in order."""
    match record:
        case ViewRecord():
            return tuple(feature.name for feature in record.outputs)
        case OnDemandRecord():
            return tuple(name for name, _ in record.features)


def _member(view: str, names: tuple[str, ...], catalog: Catalog) -> Projected | OnDemandMember:
    if view in catalog.views or view in catalog.pinned:
        keys = tuple((key, key) for key, _ in catalog.view(view).keys)
        name, version = parse_reference(view)
        return Projected(view=name, features=names, keys=keys, version=version)
    return OnDemandMember(view=view, features=names)
