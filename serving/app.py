"""The application: the rooms of the server wired together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from featurestore.registry.open import open_database
from featurestore.store import FeatureStore
from serving.access import Access, Hosts
from serving.answering import Answering
from serving.asking import Asking, Sizes
from serving.feast import FeastFeatures
from serving.features import Features
from serving.gate import Gate, Limits
from serving.health import Readiness, healthz
from serving.journal import Journal
from serving.keys import Keys
from serving.load import Load
from serving.plans import Plans
from serving.protocol import Protocol
from serving.routes import Route, RouteTable, Scope, document

_TITLE = "featurestore"


def worker() -> ASGIApp:
    """The application of one worker process, for the project that FEATURESTORE_ROOT names; uvicorn calls this."""
    store = FeatureStore(os.environ.get("FEATURESTORE_ROOT", "."))
    Protocol.receive_seconds = store.configuration.serving.receive_seconds
    return create_app(store)


def create_app(store: FeatureStore, routes: Iterable[Route] = ()) -> ASGIApp:
    """The ASGI application that serves a project; `routes` are served beside its own.

    Raises ConfigurationError for a route without a scope, and what reading the registry raises.
    """
    settings = store.configuration.serving
    plans = Plans(store, Answering.compiled)
    plans.refresh()
    pool = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="store")
    asking = Asking(plans, pool, Sizes(settings.max_entities, settings.max_features))
    readiness = Readiness(store, plans, pool, settings.deadline_seconds)
    table = RouteTable(
        (
            Route("POST", "/v1/features", Scope.FEATURES_READ, hot=Features(asking).answer),
            Route("POST", "/get-online-features", Scope.FEATURES_READ, hot=FeastFeatures(asking).answer),
            Route("GET", "/health", Scope.FEATURES_READ, hot=healthz),
            Route("GET", "/healthz", Scope.OPEN, hot=healthz),
            Route("GET", "/readyz", Scope.OPEN, hot=readiness.readyz),
            *routes,
        )
    )
    gate = Gate(
        table,
        _documented(table, store, pool),
        Limits(settings.body_bytes, settings.receive_seconds, settings.deadline_seconds),
        Load(settings.max_in_work, settings.max_in_work_of_key),
        guards=(Hosts((*settings.allowed_hosts, settings.host)), access(store)),
        observers=(Journal(store.root / settings.write_log, store.now_us),),
    )
    if not settings.cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
    )


def access(store: FeatureStore) -> Access:
    """The guard of keys of a project."""
    settings = store.configuration.serving
    return Access(keys_of(store), store.registry.token, store.now_us, require_keys=settings.require_keys)


def keys_of(store: FeatureStore) -> Keys:
    """The keys of a project."""
    return Keys(open_database(store.configuration.registry.url, store.root), store.now_us)


def _documented(table: RouteTable, store: FeatureStore, pool: ThreadPoolExecutor) -> FastAPI:
    """The FastAPI application: the OpenAPI document of all routes, and the endpoints of those that are not hot."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=False, cancel_futures=True)
        store.close()

    app = FastAPI(title=_TITLE, lifespan=lifespan)
    document(app, table)
    return app
