"""The table of routes: each with the scope that a caller needs, and documented in OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from fastapi import FastAPI
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from featurestore.errors import ConfigurationError
from serving.errors import Refused
from serving.exchange import Answer, Request

SECURITY = "key"  # the name of the security scheme in the OpenAPI document

Handler: TypeAlias = Callable[[Request], Answer | Awaitable[Answer]]
Endpoint: TypeAlias = Callable[..., Any]


class Scope(StrEnum):
    """What a key permits; OPEN needs none, and ADMIN holds all others."""

    OPEN = "open"
    FEATURES_READ = "features:read"
    PREDICT = "predict"
    PUSH = "push"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Route:
    """A path by one method. Exactly one of `hot` (bytes in, bytes out) and `endpoint` (a FastAPI endpoint) answers.

    `document` goes to FastAPI's `add_api_route`: summary, responses, openapi_extra. A route without a scope is refused
    when the server starts. `seconds` is its own deadline, for what may take longer than an answer.
    """

    method: str
    path: str
    scope: Scope | None = None
    hot: Handler | None = None
    endpoint: Endpoint | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the values of its path's parameters."""

    route: Route
    path: Mapping[str, str]


class RouteTable:
    """The routes, found by method and path; raises ConfigurationError for a route that may not be served."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[tuple[str, str], Match] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in self.routes:
            _check(route)
            if "{" in route.path:
                self._patterns.append((_pattern(route.path), route))
            elif (route.method, route.path) in self._exact:
                raise ConfigurationError(f"The route {route.method} {route.path} is given twice; give it once.")
            else:
                self._exact[route.method, route.path] = Match(route, {})

    def find(self, method: str, path: str) -> Match:
        """The match of a request; raises Refused with 404, or with 405 where other methods are served."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        allowed = {other for other, at in self._exact if at == path}
        for pattern, route in self._patterns:
            if (values := pattern.fullmatch(path)) is not None:
                if route.method == method:
                    return Match(route, values.groupdict())
                allowed.add(route.method)
        if allowed:
            raise Refused(405, "MethodNotAllowed", f"{path} is served by {', '.join(sorted(allowed))} only.")
        raise Refused(404, "NotFound", "There is no such path; /openapi.json lists those that are served.")


def document(app: FastAPI, table: RouteTable) -> None:
    """Add the routes to a FastAPI app: those with an endpoint to answer there, hot ones for the OpenAPI document."""
    for route in table.routes:
        said = {"response_model": None} | dict(route.document)
        secured = {} if route.scope is Scope.OPEN else {"security": [{SECURITY: [str(route.scope)]}]}
        app.add_api_route(
            route.path,
            route.endpoint or _behind_the_gate,
            methods=[route.method],
            operation_id=f"{route.method.lower()}{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).rstrip('_')}",
            **(said | {"openapi_extra": {**said.get("openapi_extra", {}), **secured}}),
        )


# Stands in the document for a hot route, which is answered before FastAPI is asked; a docstring would stand there too.
async def _behind_the_gate(_: StarletteRequest) -> Response:
    raise ConfigurationError("A hot route is served behind the gate only; serve what `create_app` returns.")


def _check(route: Route) -> None:
    what = f"The route {route.method} {route.path}"
    if not isinstance(route.scope, Scope):
        raise ConfigurationError(f"{what} has no scope, so nobody could be kept out; give it one.")
    if (route.hot is None) == (route.endpoint is None):
        raise ConfigurationError(f"{what} needs either a hot handler or an endpoint.")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
