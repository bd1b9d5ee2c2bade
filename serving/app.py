"""The application: the rooms of the server wired together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI

from featurestore.store import FeatureStore
from serving.answering import Answering
from serving.asking import Asking
from serving.feast import FeastFeatures
from serving.features import Features
from serving.gate import Gate, Guard, Limits, Observer
from serving.health import Readiness, healthz
from serving.plans import Plans
from serving.routes import Route, RouteTable, Scope, document

_TITLE = "featurestore"


def worker() -> Gate:
    """The application of one worker process, for the project that FEATURESTORE_ROOT names; uvicorn calls this."""
    return create_app(FeatureStore(os.environ.get("FEATURESTORE_ROOT", ".")))


def create_app(store: FeatureStore, routes: Iterable[Route] = ()) -> Gate:
    """The ASGI application that serves a project; `routes` are served beside its own.

    Raises ConfigurationError for a route without a scope, and what reading the registry raises.
    """
    settings = store.configuration.serving
    plans = Plans(store, Answering.compiled)
    plans.refresh()
    pool = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="store")
    asking = Asking(plans, pool)
    readiness = Readiness(store, plans, pool, settings.deadline_seconds)
    table = RouteTable(
        (
            Route("POST", "/v1/features", Scope.FEATURES_READ, hot=Features(asking).answer),
            Route("POST", "/get-online-features", Scope.FEATURES_READ, hot=FeastFeatures(asking).answer),
            Route("GET", "/health", Scope.OPEN, hot=healthz),
            Route("GET", "/healthz", Scope.OPEN, hot=healthz),
            Route("GET", "/readyz", Scope.OPEN, hot=readiness.readyz),
            *routes,
        )
    )
    limits = Limits(settings.body_bytes, settings.receive_seconds, settings.deadline_seconds)
    guards: tuple[Guard, ...] = ()
    observers: tuple[Observer, ...] = ()
    return Gate(table, _documented(table, store, pool), limits, guards, observers)


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
