"""The table of routes refuses what may not be served, and finds what may."""

from __future__ import annotations

import pytest

from featurestore.errors import ConfigurationError
from serving.errors import Refused
from serving.exchange import Answer, Request
from serving.routes import Route, RouteTable, Scope
from tests.serving.servers import Asker


def _answer(_: Request) -> Answer:
    return Answer(b"{}")


def test_a_route_without_a_scope_fails_at_start() -> None:
    with pytest.raises(ConfigurationError, match="GET /v1/secrets has no scope"):
        RouteTable([Route("GET", "/v1/secrets", hot=_answer)])


def test_a_route_without_a_handler_fails_at_start() -> None:
    with pytest.raises(ConfigurationError, match="needs either"):
        RouteTable([Route("GET", "/v1/nothing", Scope.OPEN)])


def test_a_path_parameter_is_one_part_of_the_path() -> None:
    table = RouteTable([Route("POST", "/v1/push/{view}", Scope.PUSH, hot=_answer)])
    assert table.find("POST", "/v1/push/last").path == {"view": "last"}
    with pytest.raises(Refused) as refused:
        table.find("POST", "/v1/push/last/more")
    assert refused.value.status == 404


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/features", 405), ("GET", "/v3", 404)])
def test_what_is_not_served_is_refused(ask: Asker, method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"type", "message"}


def test_health_and_readiness_answer(ask: Asker) -> None:
    assert ask("GET", "/healthz").json() == {"status": "ok"}
    ready = ask("GET", "/readyz")
    assert ready.status_code == 200
    assert ready.json()["services"] == ["buyer"]
