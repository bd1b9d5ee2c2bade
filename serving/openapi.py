"""`GET /openapi.json`: the document of all routes, with examples made of what is applied.

An example names the first service that can be served and that the caller may read, its join keys and request columns;
its answer is written by the same code that writes answers, from values that stand for their types.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any

import msgspec
from fastapi import FastAPI

from featurestore.dtypes import Decimal, DType, List, Value, Vector, python_micros, to_json
from featurestore.online.result import OnlineFeatures
from featurestore.online.values import Publication
from featurestore.timeline import Status
from serving.access import may_read
from serving.answering import Answering
from serving.exchange import Answer, Request
from serving.feast import written
from serving.plans import Plans, State
from serving.routes import SECURITY

_NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
_SAMPLES: Mapping[str, Value] = {
    "Float32": 12.5,
    "Float64": 12.5,
    "Bool": True,
    "String": "c01",
    "Bytes": b"\x00\x01",
    "Date": date(2024, 1, 2),
    "Timestamp": _NOON,
}
_INTEGER = 3
_HOUR_US = 3_600_000_000


class OpenApi:
    """Answers with the document; made anew when other things are applied."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._app: FastAPI | None = None
        self._known: tuple[State, dict[str | None, bytes]] | None = None  # by the service of the examples

    def of(self, app: FastAPI) -> None:
        """The application whose routes are documented."""
        self._app = app

    def answer(self, request: Request) -> Answer:
        """The handler; the examples ask a service that the caller may read."""
        state, limited_to = self._plans.state, request.limited_to
        if self._known is None or self._known[0] is not state:
            self._known = (state, {})
        documents = self._known[1]
        named = (name for name, one in state.services.items() if may_read(limited_to, name, one.views))
        service = next(named, None)
        if service not in documents:
            assert self._app is not None
            answering = None if service is None else state.services[service]
            documents[service] = msgspec.json.encode(with_examples(self._app.openapi(), answering))
        return Answer(documents[service])


def with_examples(document: Mapping[str, Any], answering: Answering | None) -> dict[str, Any]:
    """The document with the security scheme, and with examples of what is asked of a service, if there is one."""
    said = copy.deepcopy(dict(document))
    said.setdefault("components", {})["securitySchemes"] = {
        SECURITY: {"type": "http", "scheme": "bearer", "description": "A key of `featurestore keys create`."}
    }
    if answering is not None:
        questions = {"/v1/features": question(answering), "/get-online-features": feast_question(answering)}
        answers = {"/v1/features": answer(answering), "/get-online-features": feast_answer(answering)}
        for path, asked in questions.items():
            operation = said["paths"][path]["post"]
            operation["requestBody"]["content"]["application/json"]["example"] = asked
            operation["responses"]["200"]["content"]["application/json"]["example"] = answers[path]
    return said


def question(answering: Answering) -> dict[str, Any]:
    """A request to `/v1/features`."""
    keys, request = answering.lookup.shape.keys, answering.lookup.plan.request
    asked: dict[str, Any] = {
        "service": answering.service,
        "entities": [{name: to_json(sample(dtype)) for name, dtype in keys}],
    }
    if request:
        asked["request"] = [{name: to_json(sample(dtype)) for name, dtype in request}]
    return asked


def feast_question(answering: Answering) -> dict[str, Any]:
    """A request to `/get-online-features`."""
    columns = (*answering.lookup.shape.keys, *answering.lookup.plan.request)
    entities = {name: [to_json(sample(dtype))] for name, dtype in columns}
    return {"feature_service": answering.service, "entities": entities}


def answer(answering: Answering) -> Any:
    """The answer to `question`, had the entity just been seen."""
    return msgspec.json.decode(answering.writer.write(_sampled(answering))[0])


def feast_answer(answering: Answering) -> Any:
    """The answer to `feast_question`, had the entity just been seen."""
    return msgspec.json.decode(written(answering.lookup, _sampled(answering), full_names=False)[0])


def sample(dtype: DType) -> Value:
    """A value that stands for its type."""
    match dtype:
        case Decimal():
            return PyDecimal(1).scaleb(-dtype.scale)
        case List():
            return [sample(dtype.inner)]
        case Vector():
            return [sample(dtype.inner)] * dtype.size
        case _:
            return _SAMPLES.get(dtype.name, _INTEGER)


def _sampled(answering: Answering) -> OnlineFeatures:
    shape, views = answering.lookup.shape, answering.lookup.plan.views
    columns = [[sample(dtype)] for _, dtype in (*shape.keys, *shape.features)]
    noon_us = python_micros(_NOON)
    origins = [([Status.PRESENT], [None if view.timeless else noon_us]) for view in views]
    publications = [
        Publication(published_us=noon_us, version=1, watermark_us=None if view.timeless else noon_us + _HOUR_US)
        for view in views
    ]
    return OnlineFeatures(shape, columns, origins, publications, noon_us + _HOUR_US)
