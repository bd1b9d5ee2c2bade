"""The application: the rooms of the server wired together."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.types import ASGIApp

from featurestore.errors import FeatureStoreError
from featurestore.registry.open import open_database
from featurestore.store import FeatureStore
from pipelines.rooms import PipelineRooms
from serving import documents
from serving.access import Access, Hosts
from serving.answering import Compiler
from serving.asking import Asking, Sizes
from serving.catalog import CatalogPages
from serving.errors import error_answer, log
from serving.feast import FeastFeatures
from serving.features import Features
from serving.gate import Gate, Guard, Limits, Observer
from serving.health import Readiness, healthz
from serving.inference import Inference
from serving.journal import Journal
from serving.keys import Keys
from serving.live import LiveModels, Loading
from serving.load import Load
from serving.measuring import Measuring
from serving.model_pages import ModelPages
from serving.openapi import OpenApi
from serving.plans import Plans
from serving.predicting import Predicting
from serving.protocol import Protocol
from serving.push import Push
from serving.reading import StoreReads
from serving.routes import Route, RouteTable, Scope, document

_TITLE = "featurestore"
_WATCH_SECONDS = 0.5
_FOLLOW_SECONDS = 0.25
_PATIENT_LOOKS = 20
_PUSH_THREADS = 2  # commits of one view queue up anyway
_PREDICT_THREADS = 4
_YOUNG_OBJECTS = 5_000  # before the collector looks at them; a request leaves none behind, as a rule


def worker() -> ASGIApp:
    """The application of one worker process, for the project that FEATURESTORE_ROOT names; uvicorn calls this."""
    try:
        end_with(os.getppid())
        store = FeatureStore(os.environ.get("FEATURESTORE_ROOT", "."))
        Protocol.receive_seconds = store.configuration.serving.receive_seconds
        Protocol.body_bytes = store.configuration.serving.body_bytes
        app = create_app(store)
    except FeatureStoreError as error:
        log.error("A worker cannot start: %s", error)
        sys.exit(1)
    _spare_the_collector()
    return app


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what is there for good, and look less often at what requests leave."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def end_with(supervisor: int) -> None:
    """Drain and end this process when its supervisor is gone, killed perhaps, so that nobody serves unsupervised."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def create_app(store: FeatureStore, routes: Iterable[Route] = (), trial: Trial | None = None) -> ASGIApp:
    """The ASGI application that serves a project; `routes` are served beside its own.

    With a `trial` its versions of models serve in the place of champions, to whoever its guard lets in. Raises
    ConfigurationError for a route without a scope.
    """
    settings = store.configuration.serving
    rooms = _Rooms(store, trial)
    table = RouteTable((*_routes(rooms), *routes))
    app = _fastapi(rooms)
    document(app, table)
    rooms.openapi.of(app)
    observers: list[Observer] = [Journal(store.root / settings.write_log, store.now_us)]
    if rooms.measuring.metrics is not None:
        observers.append(rooms.measuring.metrics)
    gate = Gate(
        table,
        app,
        Limits(settings.body_bytes, settings.receive_seconds, settings.deadline_seconds),
        Load(settings.max_in_work, settings.max_in_work_of_key),
        guards=(Hosts((*settings.allowed_hosts, settings.host)), access(store) if trial is None else trial.guard),
        observers=observers,
    )
    if not settings.cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """Versions of models that are tried by name before they go live, and who may try them."""

    candidates: Mapping[str, int]
    guard: Guard


def access(store: FeatureStore) -> Access:
    """The guard of keys of a project."""
    settings = store.configuration.serving
    return Access(keys_of(store), store.registry.touched, store.now_us, require_keys=settings.require_keys)


def keys_of(store: FeatureStore) -> Keys:
    """The keys of a project."""
    return Keys(open_database(store.configuration.registry.url, store.root), store.now_us)


@dataclass
class _Rooms:
    """The rooms that answer; `pool` is for reads of the store that may wait, `pushing` for pushes."""

    store: FeatureStore
    trial: Trial | None
    pool: ThreadPoolExecutor = field(init=False)
    pushing: ThreadPoolExecutor = field(init=False)
    predicting: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        store, settings = self.store, self.store.configuration.serving
        self.pool = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="store")
        self.pushing = ThreadPoolExecutor(_PUSH_THREADS, thread_name_prefix="push")
        self.predicting = ThreadPoolExecutor(_PREDICT_THREADS, thread_name_prefix="predict")
        self.measuring = Measuring()
        compiled = Compiler(store, self.measuring.metrics).compiled
        self.plans = Plans(store.registry, compiled)
        self.sizes = Sizes(settings.max_entities, settings.max_features)
        self.asking = Asking(self.plans, self.pool, self.sizes)
        pipelines = PipelineRooms(store, tells=False)
        self.log = pipelines.predictions if self.trial is None else None
        loading = Loading(pipelines.models, store.registry, compiled, self.log)
        self.models = LiveModels(loading, None if self.trial is None else self.trial.candidates)
        project, online = store.configuration.project, StoreReads(store)
        self.catalog = CatalogPages(project, self.plans, online, store.now_us, self.pool)
        self.measuring.of(self.plans, self.catalog, self.models)
        self.readiness = Readiness(project, self.plans, self.models, online, self.pool, settings.deadline_seconds / 2)
        self.openapi = OpenApi(self.plans)

    def close(self) -> None:
        """Let go of everything, and count what happened last."""
        if self.measuring.metrics is not None:
            self.measuring.metrics.count()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.pushing.shutdown(wait=True, cancel_futures=True)
        self.predicting.shutdown(wait=True, cancel_futures=True)
        if self.log is not None:
            self.log.close()
        self.store.close()


def _routes(rooms: _Rooms) -> tuple[Route, ...]:
    asking, catalog = rooms.asking, rooms.catalog
    push = Push(rooms.store, rooms.pushing)
    slow = rooms.store.configuration.serving.push_seconds
    read = Scope.FEATURES_READ
    predicting = Predicting(rooms.models, rooms.predicting, rooms.sizes, rooms.measuring)
    pages = ModelPages(rooms.models)
    return (
        Route("POST", "/v1/features", read, hot=Features(asking).answer, document=documents.FEATURES),
        Route("POST", "/v1/push/{view}", Scope.PUSH, hot=push.answer, document=documents.PUSH, seconds=slow),
        Route("POST", "/v1/models/{name}/predict", Scope.PREDICT, hot=predicting.answer, document=documents.PREDICT),
        Route("GET", "/v1/models", Scope.PREDICT, endpoint=pages.all, document=documents.MODELS),
        Route("GET", "/v1/models/{name}", Scope.PREDICT, endpoint=pages.one, document=documents.MODEL),
        *_inference(Inference(predicting, rooms.readiness)),
        Route("GET", "/v1/services", read, endpoint=catalog.services, document=documents.SERVICES),
        Route("GET", "/v1/services/{name}", read, endpoint=catalog.service, document=documents.SERVICE),
        Route("GET", "/v1/views", read, endpoint=catalog.views, document=documents.VIEWS),
        Route("GET", "/v1/views/{name}", read, endpoint=catalog.view, document=documents.VIEW),
        Route("GET", "/v1/entities", read, endpoint=catalog.entities, document=documents.ENTITIES),
        Route("GET", "/v1/entities/{name}", read, endpoint=catalog.entity, document=documents.ENTITY),
        Route(
            "POST", "/get-online-features", read, hot=FeastFeatures(asking).answer, document=documents.FEAST_FEATURES
        ),
        Route("POST", "/push", Scope.PUSH, hot=push.feast, document=documents.FEAST_PUSH, seconds=slow),
        Route("GET", "/health", read, hot=healthz, document=documents.FEAST_HEALTH),
        Route("GET", "/healthz", Scope.OPEN, hot=healthz, document=documents.HEALTH),
        Route("GET", "/readyz", Scope.OPEN, hot=rooms.readiness.readyz, document=documents.READY),
        Route("GET", "/metrics", read, hot=rooms.measuring.answer, document=documents.METRICS),
        Route("GET", "/openapi.json", read, hot=rooms.openapi.answer, document=documents.OPENAPI),
    )


def _inference(inference: Inference) -> Iterator[Route]:
    """The Open Inference Protocol."""
    told, scope = documents, Scope.PREDICT
    yield Route("GET", "/v2", scope, hot=inference.server, document=told.INFERENCE_SERVER)
    yield Route("GET", "/v2/health/live", scope, hot=inference.server_live, document=told.INFERENCE_LIVE)
    yield Route("GET", "/v2/health/ready", scope, hot=inference.server_ready, document=told.INFERENCE_READY)
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        yield Route("GET", path, scope, hot=inference.model, document=told.INFERENCE_MODEL)
        yield Route("GET", f"{path}/ready", scope, hot=inference.ready, document=told.INFERENCE_MODEL_READY)
        yield Route("POST", f"{path}/infer", scope, hot=inference.infer, document=told.INFER)


async def _follow(rooms: _Rooms) -> None:
    """Take up what was applied or approved though nobody asks, so that the first who does is not told of the old.

    What failed is tried again less often: a request that wants it tries sooner.
    """
    for look in itertools.count():
        for following in (rooms.plans.following, rooms.models.following):
            if following.failure is None or look % _PATIENT_LOOKS == 0:
                following.follow()
        await asyncio.sleep(_FOLLOW_SECONDS)


def _fastapi(rooms: _Rooms) -> FastAPI:
    """The FastAPI application behind the gate; errors have the one form that all have."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(_follow(rooms))
        yield
        following.cancel()
        rooms.close()

    async def told(_: StarletteRequest, error: Exception) -> Response:
        answer = error_answer(error)
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        return Response(answer.body, answer.status, headers, media_type=answer.media_type.decode())

    handlers: dict[int | type[Exception], Any] = {FeatureStoreError: told, Exception: told}
    return FastAPI(
        title=_TITLE, lifespan=lifespan, exception_handlers=handlers, openapi_url=None, docs_url=None, redoc_url=None
    )
