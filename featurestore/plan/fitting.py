"""Whether a catalog can answer a service or an on-demand view: both may have been declared on other views."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.plan.catalog import Catalog, OnDemandMember, OnDemandRecord, Projected, Requested, ServiceRecord


def misfit(record: ServiceRecord | OnDemandRecord, catalog: Catalog) -> str | None:
    """Why the catalog cannot answer the record, in words; None when it can.

    It can when every view has the named features under the same join keys, an on-demand view's inputs have the types it
    was made for, and no two columns of the answer share a name.
    """
    return next(_misfits(record, catalog), None)


def _misfits(record: ServiceRecord | OnDemandRecord, catalog: Catalog) -> Iterator[str]:
    parts = record.members if isinstance(record, ServiceRecord) else record.inputs
    for part in parts:
        match part:
            case Projected():
                yield from _projection_misfits(part, catalog)
            case OnDemandMember(view=name, features=features):
                if name not in catalog.on_demand:
                    yield f"there is no on-demand view '{name}'"
                    return
                has = [feature for feature, _ in catalog.on_demand[name].features]
                yield from (f"on-demand view '{name}' has no feature '{f}'" for f in features if f not in has)
            case Requested():
                pass
    if isinstance(record, ServiceRecord):
        yield from _collisions(record, catalog)


def _projection_misfits(part: Projected, catalog: Catalog) -> Iterator[str]:
    found = catalog.views.get(part.view) if part.version is None else catalog.pinned.get(part.reference)
    if found is None:
        yield f"there is no view '{part.reference}'"
        return
    if [key for key, _ in part.keys] != [key for key, _ in found.keys]:
        yield f"view '{part.reference}' has the join keys {', '.join(key for key, _ in found.keys) or 'none'}"
    types = {feature.name: feature.dtype for feature in found.outputs}
    for feature in part.features:
        if feature not in types:
            yield f"view '{part.reference}' has no feature '{feature}'"
    for feature, dtype in zip(part.features, part.types, strict=False):  # a service's members have no types
        if types.get(feature, dtype) != dtype:
            yield f"feature '{feature}' of view '{part.reference}' is {types[feature]}, not {dtype}"


def _collisions(record: ServiceRecord, catalog: Catalog) -> Iterator[str]:
    answered: list[str] = []
    needed: set[str] = set()
    for member in record.members:
        match member:
            case Projected():
                answered += [member.output_name(feature) for feature in member.features]
                needed |= {column for _, column in member.keys}
            case OnDemandMember(view=name, features=features) if name in catalog.on_demand:
                view = catalog.on_demand[name]
                answered += features or [feature for feature, _ in view.features]
                for part in view.inputs:
                    columns = part.columns if isinstance(part, Requested) else ((c, k) for k, c in part.keys)
                    needed |= {column for column, _ in columns}
    for name in sorted({name for name in answered if answered.count(name) > 1}):
        yield f"two features are named '{name}'"
    for name in sorted(needed & set(answered)):
        yield f"feature '{name}' has the name of a column that the spine brings"
