"""schemathesis over the OpenAPI document: no server error, no undocumented answer, no nonsense accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from featurestore.store import FeatureStore
from serving.app import create_app, keys_of
from tests.serving.crowned import crown
from tests.serving.servers import shop

WRITES = [("post", "/v1/push/{view}"), ("post", "/push")]
READS = [("post", "/v1/features"), ("post", "/get-online-features"), ("post", "/v1/models/{name}/predict")]
PAGES = [("get", f"/v1/{kind}") for kind in ("services", "views", "entities", "models")]
MODEL = "/v2/models/{name}"
INFERENCE = [
    *[("get", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")],
    *[("get", f"{path}{end}") for path in (MODEL, f"{MODEL}/versions/{{version}}") for end in ("", "/ready")],
    *[("post", f"{path}/infer") for path in (MODEL, f"{MODEL}/versions/{{version}}")],
]
OTHERS = [("get", path) for path in ("/health", "/healthz", "/readyz", "/metrics")]
OPERATIONS = [*READS, *WRITES, *PAGES, *[(method, f"{path}/{{name}}") for method, path in PAGES], *INFERENCE, *OTHERS]


@pytest.fixture(scope="module")
def headers(store: FeatureStore) -> dict[str, str]:
    _, key = keys_of(store).create("tests", ["push", "features:read", "predict"], "ann")
    return {"authorization": f"Bearer {key}", "host": "localhost"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """A shop of its own: what is accepted is pushed."""
    with shop(tmp_path_factory.mktemp("schema")) as store:
        crown(store)
        yield store


@pytest.fixture(scope="module")
def document(store: FeatureStore, headers: dict[str, str]) -> BaseSchema:
    app = create_app(store)

    async def without_end(scope: Scope, receive: Receive, send: Send) -> None:
        """schemathesis begins and ends the application around every request; this one goes on."""
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", without_end, headers=headers)


TRIED = [(*operation, mode) for operation in OPERATIONS for mode in GenerationMode]
TRIED = [(m, path, mode) for m, path, mode in TRIED if mode is GenerationMode.POSITIVE or m == "post" or "{" in path]
# Keys are tried in test_access; what values are right depends on what is applied, and test_openapi asks the examples.
EXCLUDED = [ignored_auth, positive_data_acceptance]


@pytest.mark.parametrize(("method", "path", "mode"), TRIED)
def test_the_server_does_what_its_document_says(
    document: BaseSchema, headers: dict[str, str], method: str, path: str, mode: GenerationMode
) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(document[path][method].as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=headers, excluded_checks=EXCLUDED)

    holds()


def test_every_operation_of_the_document_is_tried(document: BaseSchema) -> None:
    documented = {(method, path) for path, methods in document.raw_schema["paths"].items() for method in methods}
    assert documented == {*OPERATIONS, ("get", "/openapi.json")}
