"""What the OpenAPI document says of each route; its examples are made of what is applied (`serving.openapi`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from serving import models
from serving.exchange import ARROW

Said = Mapping[str, Any]

_ARROW = ARROW.decode()
_RAW = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REFUSALS = {
    400: "The request cannot be parsed.",
    401: "No key, or a wrong one.",
    403: "The key lacks the scope, or is limited to other views.",
    404: "There is no such name.",
    408: "The request did not arrive in time.",
    409: "What is asked conflicts with what is there: an instant before the publish, a change by somebody else.",
    413: "Too large: the body, the entities or the features.",
    415: "The body is compressed.",
    421: "The server is not addressed by that name.",
    422: "The values are wrong, or a gate refused them.",
    429: "This key has too many requests in work.",
    503: "A store does not answer, a model cannot be loaded, or too much is in work; Retry-After says when to come "
    "again.",
}


def _refusals(*statuses: int) -> dict[int | str, Any]:
    return {status: {"model": models.Refusal, "description": _REFUSALS[status]} for status in statuses}


_USUAL = _refusals(401, 403, 408, 413, 415, 421, 429, 503)
_ASKED = _USUAL | _refusals(400, 404, 409, 422)
_READ = _USUAL | _refusals(404)


def _body(model: type[BaseModel], **others: Any) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema = _whole(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}, **others}}}


def _whole(schema: Any, parts: Mapping[str, Any]) -> Any:
    """The schema with its parts in the places where it refers to them."""
    match schema:
        case {"$ref": str(reference)}:
            return _whole(parts[reference.rpartition("/")[2]], parts)
        case dict():
            return {name: _whole(inner, parts) for name, inner in schema.items()}
        case list():
            return [_whole(inner, parts) for inner in schema]
        case _:
            return schema


def _read(summary: str, model: type[BaseModel], *tags: str) -> Said:
    return {"summary": summary, "response_model": model, "responses": _READ, "tags": list(tags)}


FEATURES: Said = {
    "summary": "The present features of entities",
    "tags": ["features"],
    "openapi_extra": _body(models.FeaturesQuestion),
    "responses": _ASKED
    | {200: {"model": models.FeaturesAnswer, "description": "The features.", "content": {_ARROW: _BINARY}}},
}
FEAST_FEATURES: Said = {
    "summary": "The same in the wire format of Feast's feature server",
    "tags": ["feast"],
    "openapi_extra": _body(models.FeastQuestion),
    "responses": _ASKED | {200: {"model": models.FeastAnswer, "description": "The features."}},
}
PUSH: Said = {
    "summary": "Add rows to a view, or to all views of a source: to history, and online at once",
    "tags": ["push"],
    "openapi_extra": _body(models.PushedRows, **{_ARROW: _BINARY}),
    "responses": _ASKED | {200: {"model": models.Pushed, "description": "What was written."}},
}
FEAST_PUSH: Said = {
    "summary": "A push in the wire format of Feast's feature server",
    "tags": ["feast"],
    "openapi_extra": _body(models.FeastPush),
    "responses": _ASKED | {200: {"description": "The rows were written."}},
}
PREDICT: Said = {
    "summary": "What the model's champion predicts of entities, from their present features",
    "tags": ["models"],
    "openapi_extra": _body(models.PredictQuestion),
    "responses": _ASKED | {200: {"model": models.PredictAnswer, "description": "The predictions."}},
}
_INFERENCE = (
    _USUAL
    | _refusals(400, 404, 409, 422)
    | {
        status: {"model": models.InferenceRefusal, "description": _REFUSALS[status]}
        for status in (400, 404, 409, 413, 422, 503)
    }
)


def _inference(summary: str, model: type[BaseModel], **others: Any) -> Said:
    said = {200: {"model": model, "description": "As the Open Inference Protocol, version 2, has it."}}
    return {"summary": summary, "tags": ["inference"], "responses": _INFERENCE | said, **others}


INFERENCE_SERVER = _inference("The server", models.InferenceServer)
INFERENCE_LIVE: Said = {"summary": "The process runs", "tags": ["inference"]}
INFERENCE_READY: Said = {
    "summary": "Whether the stores answer and every model's champion is loaded",
    "tags": ["inference"],
    "responses": {503: {"description": "Something is not ready; `/readyz` and `/v1/models` say what."}},
}
INFERENCE_MODEL = _inference("What a model is asked with, and what it answers", models.InferenceModel)
INFERENCE_MODEL_READY = _inference("Whether a model is loaded", models.InferenceModelReady)
INFER = _inference(
    "What a model predicts: of join keys and request columns, or of a whole vector",
    models.InferenceAnswer,
    openapi_extra=_body(models.InferenceQuestion, **{_RAW: _BINARY}),
)
MODELS = _read("All models, with the version of each that serves", models.Models, "models")
MODEL = _read("One model: what to ask it with, and what it learned from", models.Model, "models")
SERVICES = _read("All services", models.Services, "catalog")
SERVICE = _read("One service: what to ask it with, and what it answers", models.Service, "catalog")
VIEWS = _read("All views, with their freshness", models.Views, "catalog")
VIEW = _read("One view", models.View, "catalog")
ENTITIES = _read("All entities", models.Entities, "catalog")
ENTITY = _read("One entity", models.Entity, "catalog")
HEALTH: Said = {"summary": "The process runs", "tags": ["health"]}
FEAST_HEALTH: Said = {
    "summary": "The process runs, as Feast's feature server says it",
    "responses": _USUAL,
    "tags": ["feast"],
}
READY: Said = {
    "summary": "Whether the stores answer, and which versions are loaded",
    "tags": ["health"],
    "responses": {
        503: {"description": "Something that is applied or approved cannot be served; the document says what."}
    },
}
METRICS: Said = {
    "summary": "Metrics in Prometheus' text form",
    "tags": ["health"],
    "responses": _USUAL | {200: {"description": "The metrics.", "content": {"text/plain": {}}}},
}
OPENAPI: Said = {"summary": "This document", "tags": ["catalog"], "responses": _USUAL}
