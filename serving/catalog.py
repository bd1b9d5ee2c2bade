"""`GET /v1/services`, `/v1/views`, `/v1/entities`, and one of each: types, owners and freshness of what is served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request as StarletteRequest

from featurestore.errors import UnknownNameError
from featurestore.online.base import OnlineReads
from featurestore.online.values import Publication
from featurestore.plan.catalog import (
    Catalog,
    EntityRecord,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    Requested,
    ServiceRecord,
    ViewRecord,
)
from featurestore.plan.views import namespace
from featurestore.timeline import Clock, format_instant
from serving import models
from serving.access import beyond
from serving.exchange import REQUEST, Request
from serving.plans import Plans, State
from serving.visible import Visible, visible

Record = TypeVar("Record")


class CatalogPages:
    """The endpoints that tell what is served."""

    def __init__(
        self, project: str, plans: Plans, online: OnlineReads, now_us: Clock, pool: ThreadPoolExecutor
    ) -> None:
        self._project = project
        self._plans = plans
        self._online = online
        self._now_us = now_us
        self._pool = pool

    async def entities(self, asked: StarletteRequest) -> models.Entities:
        """All entities."""
        catalog, told = await self._told(asked)
        records = _some(catalog.entities, told.entities)
        return models.Entities(entities=[_entity(record) for record in records])

    async def entity(self, asked: StarletteRequest, name: str) -> models.Entity:
        """One entity."""
        catalog, told = await self._told(asked)
        return _entity(_named("entity", name, catalog.entities, told.entities))

    async def views(self, asked: StarletteRequest) -> models.Views:
        """All views: stored ones, then those computed at request time."""
        catalog, told = await self._told(asked)
        stored = _some(catalog.views, told.views)
        freshness = await self._freshness(stored)
        views = [_view(record, catalog, freshness[record.name]) for record in stored]
        computed = [_on_demand(record, catalog) for record in _some(catalog.on_demand, told.views)]
        return models.Views(views=[*views, *computed])

    async def view(self, asked: StarletteRequest, name: str) -> models.View:
        """One view."""
        catalog, told = await self._told(asked)
        views: dict[str, ViewRecord | OnDemandRecord] = {**catalog.views, **catalog.on_demand}
        record = _named("view", name, views, told.views)
        if isinstance(record, OnDemandRecord):
            return _on_demand(record, catalog)
        return _view(record, catalog, (await self._freshness([record]))[name])

    async def services(self, asked: StarletteRequest) -> models.Services:
        """All services."""
        catalog, told = await self._told(asked)
        state = self._plans.state
        return models.Services(services=[_service(record, state) for record in _some(catalog.services, told.services)])

    async def service(self, asked: StarletteRequest, name: str) -> models.Service:
        """One service."""
        catalog, told = await self._told(asked)
        return _service(_named("service", name, catalog.services, told.services), self._plans.state)

    async def lags(self) -> dict[str, float]:
        """For each published view by how many seconds its watermark is behind the present."""
        freshness = await self._freshness((await self._present()).catalog.views.values())
        return {name: known.lag_seconds for name, known in freshness.items() if known.lag_seconds is not None}

    async def _told(self, asked: StarletteRequest) -> tuple[Catalog, Visible]:
        """What is applied, and what of it the caller's key may be told of."""
        state = await self._present()
        return state.catalog, visible(state.catalog, limit_of(asked))

    async def _present(self) -> State:
        await self._plans.following.followed()
        return self._plans.state

    async def _freshness(self, views: Iterable[ViewRecord]) -> dict[str, models.Freshness]:
        """How far each view is published, in one read of the online store."""
        asked = list(views)
        requests = [(namespace(self._project, view), ()) for view in asked]
        answers = await asyncio.get_running_loop().run_in_executor(self._pool, self._online.read, requests)
        now_us = self._now_us()
        return {view.name: _freshness(meta, now_us) for view, (meta, _) in zip(asked, answers, strict=True)}


def limit_of(asked: StarletteRequest) -> frozenset[str] | None:
    """What the key is limited to with which an endpoint behind the gate was asked."""
    request: Request = asked.scope[REQUEST]
    return request.limited_to


def _some(records: Mapping[str, Record], names: frozenset[str]) -> list[Record]:
    return [record for name, record in records.items() if name in names]


def _named(kind: str, name: str, records: Mapping[str, Record], told: frozenset[str]) -> Record:
    """The record of that name; raises UnknownNameError, and Refused when the caller's key is limited to others."""
    if name not in records:
        raise UnknownNameError(kind, name, [known for known in records if known in told])
    if name not in told:
        raise beyond(name)
    return records[name]


def _freshness(meta: bytes | None, now_us: int) -> models.Freshness:
    if meta is None:
        return models.Freshness(published=False, lag_seconds=None)
    publication = Publication.unpack(meta)
    watermark = publication.watermark_us
    return models.Freshness(
        published=True,
        table_version=publication.version,
        watermark=None if watermark is None else format_instant(watermark),
        lag_seconds=None if watermark is None else (now_us - watermark) / 1e6,
    )


def _entity(record: EntityRecord) -> models.Entity:
    said = record.metadata
    return models.Entity(
        name=record.name,
        join_keys=_typed(record.join_keys),
        description=said.description,
        owner=said.owner,
        tags=said.tags,
    )


def _view(record: ViewRecord, catalog: Catalog, freshness: models.Freshness) -> models.View:
    said = record.metadata
    return models.View(
        name=record.name,
        kind="view",
        version=catalog.versions.get(record.name),
        entities=list(record.entities),
        join_keys=_typed(record.keys),
        request=[],
        features=[
            models.FeatureSchema(name=feature.name, type=feature.dtype, description=feature.metadata.description)
            for feature in record.outputs
        ],
        ttl_seconds=None if record.ttl_us is None else record.ttl_us / 1e6,
        freshness=freshness,
        description=said.description,
        owner=said.owner,
        tags=said.tags,
    )


def _on_demand(record: OnDemandRecord, catalog: Catalog) -> models.View:
    said = record.metadata
    keys: dict[str, str] = {}
    request: dict[str, str] = {}
    entities: dict[str, None] = {}
    for part in record.inputs:
        match part:
            case Requested(columns=columns):
                request.update(columns)
            case Projected(keys=pairs):
                view = catalog.view(part.reference)
                types = dict(view.keys)
                keys.update({column: types[key] for key, column in pairs})
                entities.update(dict.fromkeys(view.entities))
    return models.View(
        name=record.name,
        kind="on_demand",
        version=None,
        entities=list(entities),
        join_keys=_typed(keys.items()),
        request=_typed(request.items()),
        features=[models.FeatureSchema(name=name, type=dtype) for name, dtype in record.features],
        ttl_seconds=None,
        freshness=None,
        description=said.description,
        owner=said.owner,
        tags=said.tags,
    )


def _service(record: ServiceRecord, state: State) -> models.Service:
    said = record.metadata
    answering = state.services.get(record.name)
    shape = None if answering is None else answering.lookup.shape
    plan = None if answering is None else answering.lookup.plan
    return models.Service(
        name=record.name,
        join_keys=[] if shape is None else [models.TypedName(name=n, type=str(t)) for n, t in shape.keys],
        request=[] if plan is None else [models.TypedName(name=n, type=str(t)) for n, t in plan.request],
        features=list(_members(record, state.catalog)),
        views=list(dict.fromkeys(member.view for member in record.members)),
        fault=state.faults.get(record.name),
        description=said.description,
        owner=said.owner,
        tags=said.tags,
    )


def _members(record: ServiceRecord, catalog: Catalog) -> Iterable[models.FeatureSchema]:
    for member in record.members:
        match member:
            case Projected():
                view = catalog.view(member.reference)
                for name in member.features:
                    feature = view.output(name)
                    yield models.FeatureSchema(
                        name=member.output_name(name),
                        type=feature.dtype,
                        source=f"{view.name}:{name}",
                        description=feature.metadata.description,
                    )
            case OnDemandMember():
                types = dict(catalog.on_demand[member.view].features)
                for name in member.features or types:
                    yield models.FeatureSchema(name=name, type=types[name], source=f"{member.view}:{name}")


def _typed(pairs: Iterable[tuple[str, str]]) -> list[models.TypedName]:
    return [models.TypedName(name=name, type=dtype) for name, dtype in pairs]
