"""Every route that is served, asked without a key, with a useless one, and with a key of each scope."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.app import create_app, keys_of
from serving.gate import Gate
from serving.keys import GRANTED
from tests.serving.crowned import crown
from tests.serving.servers import Asker, shop
from tests.serving.test_push import ROWS

OPEN = "open"
SCOPES = {  # what each route wants: a route that is added has to be added here
    "POST /v1/features": "features:read",
    "POST /v1/push/{view}": "push",
    "POST /v1/models/{name}/predict": "predict",
    "GET /v1/models": "predict",
    "GET /v1/models/{name}": "predict",
    "GET /v2": "predict",
    "GET /v2/health/live": "predict",
    "GET /v2/health/ready": "predict",
    "GET /v2/models/{name}": "predict",
    "GET /v2/models/{name}/ready": "predict",
    "POST /v2/models/{name}/infer": "predict",
    "GET /v2/models/{name}/versions/{version}": "predict",
    "GET /v2/models/{name}/versions/{version}/ready": "predict",
    "POST /v2/models/{name}/versions/{version}/infer": "predict",
    "GET /v1/services": "features:read",
    "GET /v1/services/{name}": "features:read",
    "GET /v1/views": "features:read",
    "GET /v1/views/{name}": "features:read",
    "GET /v1/entities": "features:read",
    "GET /v1/entities/{name}": "features:read",
    "POST /get-online-features": "features:read",
    "POST /push": "push",
    "GET /health": "features:read",
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": "features:read",
    "GET /openapi.json": "features:read",
}
PATHS = {
    "POST /v1/push/{view}": "/v1/push/last",
    "POST /v1/models/{name}/predict": "/v1/models/worth/predict",
    "GET /v1/models/{name}": "/v1/models/worth",
    "GET /v2/models/{name}": "/v2/models/worth",
    "GET /v2/models/{name}/ready": "/v2/models/worth/ready",
    "POST /v2/models/{name}/infer": "/v2/models/worth/infer",
    "GET /v2/models/{name}/versions/{version}": "/v2/models/worth/versions/1",
    "GET /v2/models/{name}/versions/{version}/ready": "/v2/models/worth/versions/1/ready",
    "POST /v2/models/{name}/versions/{version}/infer": "/v2/models/worth/versions/1/infer",
    "GET /v1/services/{name}": "/v1/services/buyer",
    "GET /v1/views/{name}": "/v1/views/last",
    "GET /v1/entities/{name}": "/v1/entities/customer",
}
INFERENCE: dict[str, object] = {
    "inputs": [
        {"name": "customer", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        {"name": "price", "datatype": "FP64", "shape": [1], "data": [1.0]},
    ]
}
BODIES: dict[str, dict[str, object]] = {
    "POST /v1/features": {"features": ["last:items"], "entities": [{"customer": "a"}]},
    "POST /v1/push/{view}": {"rows": ROWS},
    "POST /v1/models/{name}/predict": {"entities": [{"customer": "a"}], "request": [{"price": 1.0}]},
    "POST /v2/models/{name}/infer": INFERENCE,
    "POST /v2/models/{name}/versions/{version}/infer": INFERENCE,
    "POST /get-online-features": {"features": ["last:items"], "entities": {"customer": ["a"]}},
    "POST /push": {"push_source_name": "purchases", "df": {name: [value] for name, value in ROWS[0].items()}},
}
each_route = pytest.mark.parametrize("route", SCOPES)


@dataclass(frozen=True, slots=True)
class Served:
    """The shop's application, and keys by what they are: of one scope each, and useless ones."""

    ask: Asker
    keys: Mapping[str, str]

    def status(self, route: str, authorization: str | None) -> int:
        """The status of a request that is right in all but perhaps its key."""
        method, path = route.split()
        headers = {} if authorization is None else {"authorization": authorization}
        return self.ask(method, PATHS.get(route, path), headers=headers, json=BODIES.get(route)).status_code


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with shop(tmp_path_factory.mktemp("closed")) as store:
        crown(store)
        keys, now = keys_of(store), store.now_us()
        made = {scope.value: keys.create(scope, [scope], "ann")[1] for scope in GRANTED}
        every = [scope.value for scope in GRANTED]
        _, made["expired"] = keys.create("expired", every, "ann", expires_at_us=now + 1)
        revoked, made["revoked"] = keys.create("revoked", every, "ann")
        keys.revoke(revoked.id)
        made["wrong"] = made["features:read"][:-1] + ("A" if made["features:read"][-1] != "A" else "B")
        store.now_us = lambda: now + 1
        yield Served(Asker(create_app(store)), made)


def test_the_routes_that_are_served_are_these(served: Served) -> None:
    app = served.ask.app
    assert isinstance(app, Gate)
    assert {f"{route.method} {route.path}": str(route.scope) for route in app.table.routes} == SCOPES


@each_route
@pytest.mark.parametrize("useless", ["none", "wrong", "expired", "revoked", "of another scheme"])
def test_without_a_key_that_is_good_only_health_answers(served: Served, route: str, useless: str) -> None:
    given = {"none": None, "of another scheme": f"Basic {served.keys['features:read']}"}
    status = served.status(route, given[useless] if useless in given else f"Bearer {served.keys[useless]}")
    assert status == (200 if SCOPES[route] == OPEN else 401)


@each_route
@pytest.mark.parametrize("scope", [scope.value for scope in GRANTED])
def test_a_key_opens_the_routes_of_its_scope_and_one_of_admin_all(served: Served, route: str, scope: str) -> None:
    expected = 200 if scope == "admin" or SCOPES[route] in (scope, OPEN) else 403
    assert served.status(route, f"Bearer {served.keys[scope]}") == expected


@each_route
def test_the_method_or_the_path_written_otherwise_opens_nothing(served: Served, route: str) -> None:
    method, path = route.split()
    path = PATHS.get(route, path)
    others = [
        (other, path) for other in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE") if other != method
    ]
    ways = [f"{path}/", f"/{path}", f"/x/%2e%2e{path}", path.upper(), f"{path}%00", f"{path};x", f"{path}%2f.."]
    for other in [*others, *((method, way) for way in ways)]:
        answer = served.ask(*other, json=BODIES.get(route))
        assert answer.status_code in (401, 404, 405), other
        assert answer.json()["error"]["message"]


def test_the_first_key_closes_every_route_of_a_server_that_runs(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        crown(store)
        served = Served(Asker(create_app(store)), {})
        before = {route: served.status(route, None) for route in SCOPES}
        keys_of(store).create("first", ["admin"], "ann")
        asyncio.run(asyncio.sleep(0.02))  # the registry's token is asked for at most every 10 ms
        after = {route: served.status(route, None) for route in SCOPES}
    assert before == {route: 403 if scope == "push" else 200 for route, scope in SCOPES.items()}
    assert after == {route: 200 if scope == OPEN else 401 for route, scope in SCOPES.items()}


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize(
    "body", [b'{"\xff": 1}', b'{"rows": [{"customer": "\xff"}]}', b'"\\ud800"', b"[" * 9_999, b"\xff"]
)
def test_a_body_that_is_no_json_is_the_callers_fault(served: Served, route: str, body: bytes) -> None:
    method, path = route.split()
    headers = {"authorization": f"Bearer {served.keys['admin']}"}
    answer = served.ask(method, PATHS.get(route, path), headers=headers, content=body)
    assert answer.status_code == 400, answer.text
