"""The OpenAPI document tells of every route, and its examples are what the server takes and gives."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from serving import models
from serving.gate import Gate
from tests.serving.servers import Asker

PATHS: dict[str, type[BaseModel]] = {
    "/v1/features": models.FeaturesAnswer,
    "/get-online-features": models.FeastAnswer,
}


@pytest.fixture(scope="module")
def document(ask: Asker) -> dict[str, Any]:
    document: dict[str, Any] = ask("GET", "/openapi.json").json()
    return document


def test_every_route_is_in_the_document_with_the_scope_it_needs(ask: Asker, document: dict[str, Any]) -> None:
    assert isinstance(ask.app, Gate)
    routes = ask.app.table.routes
    told = {
        (method.upper(), path): [scope for needed in said.get("security", []) for scope in needed["key"]]
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    }
    assert told == {(r.method, r.path): [] if r.scope == "open" else [str(r.scope)] for r in routes}


@pytest.mark.parametrize("path", PATHS)
def test_an_example_can_be_asked_and_is_answered_in_the_documented_form(
    ask: Asker, document: dict[str, Any], path: str
) -> None:
    operation = document["paths"][path]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    answered = ask("POST", path, json=example)
    assert answered.status_code == 200
    PATHS[path].model_validate(answered.json())
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    PATHS[path].model_validate(shown)
    assert _keys(shown) == _keys(answered.json())


def _keys(value: object) -> object:
    """The names in a document, without its values."""
    return {name: _keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: object) -> set[str]:
        match value:
            case dict():
                own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
                return own.union(*(references(inner) for inner in value.values()))
            case list():
                return set().union(*map(references, value))
            case _:
                return set()

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas


def test_question_models_have_the_fields_that_are_parsed() -> None:
    from serving import feast, features, push

    assert list(models.FeastQuestion.model_fields) == list(feast.Question.__struct_fields__)
    assert set(models.FeaturesQuestion.model_fields) == set(features.Question.__struct_fields__)
    assert list(models.PushedRows.model_fields) == list(push.Rows.__struct_fields__)
    assert list(models.FeastPush.model_fields) == list(push.FeastPush.__struct_fields__)
