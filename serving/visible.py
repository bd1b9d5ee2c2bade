"""What a key may be told of: what it may read the values of, and the entities of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from featurestore.plan.catalog import Catalog, OnDemandMember, OnDemandRecord, ServiceRecord, ViewRecord, projections
from serving.access import may_read


@dataclass(frozen=True, slots=True)
class Visible:
    """The names that a key may be told of."""

    services: frozenset[str]
    views: frozenset[str]
    entities: frozenset[str]


def visible(catalog: Catalog, limited_to: frozenset[str] | None) -> Visible:
    """What a key that is limited to those views and services (None: to nothing) may be told of.

    A view that it may read only as part of a service is told of there, by the features that the service has of it.
    """
    services = {name: _views_of_service(record, catalog) for name, record in catalog.services.items()}
    readable = {name: read for name, read in services.items() if may_read(limited_to, name, _names(read))}
    views: dict[str, list[ViewRecord]] = {name: [record] for name, record in catalog.views.items()}
    views |= {name: _inputs(record, catalog) for name, record in catalog.on_demand.items()}
    seen = {name: read for name, read in views.items() if may_read(limited_to, None, _names(read))}
    told = [view for read in (*readable.values(), *seen.values()) for view in read]
    entities = catalog.entities if limited_to is None else (entity for view in told for entity in view.entities)
    return Visible(frozenset(readable), frozenset(seen), frozenset(entities))


def _views_of_service(record: ServiceRecord, catalog: Catalog) -> list[ViewRecord]:
    """The stored views that answers of a service are read from."""
    computed = [catalog.on_demand[member.view] for member in record.members if isinstance(member, OnDemandMember)]
    return [*_inputs(record, catalog), *(view for part in computed for view in _inputs(part, catalog))]


def _inputs(record: ServiceRecord | OnDemandRecord, catalog: Catalog) -> list[ViewRecord]:
    return [catalog.view(part.reference) for part in projections(record)]


def _names(views: Iterable[ViewRecord]) -> set[str]:
    return {view.name for view in views}
