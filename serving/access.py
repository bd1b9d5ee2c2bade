"""Who may call what: the host that was addressed, the key that was brought, the scope of the route.

While no key exists, requests hold `features:read` and `predict`, and nothing else. From the first key on, revoked and
expired ones included, or with `require_keys`, every route but `/healthz` and `/readyz` wants a key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import lru_cache

from featurestore.errors import FeatureStoreError, RegistryError, UnknownNameError
from featurestore.timeline import Clock
from serving.errors import Refused, unavailable
from serving.exchange import Request
from serving.following import Following
from serving.keys import Key, Keys, find_key
from serving.routes import Route, Scope

ANONYMOUS = frozenset({Scope.FEATURES_READ, Scope.PREDICT})
_BEARER = b"bearer "
_MOST_HOSTS = 64  # whose judgement is kept


class Access:
    """The guard of keys: sets the request's caller and what it is limited to, or refuses with 401 or 403.

    `touched` differs when keys may have changed (`Registry.touched`): a revoked key is refused within 10 ms. While the
    registry cannot be read, the keys that were known hold; before they were ever read nobody is let in.
    """

    def __init__(self, keys: Keys, touched: Callable[[], object], now_us: Clock, *, require_keys: bool = False) -> None:
        self._keys = keys
        self._now_us = now_us
        self._require_keys = require_keys
        self._known: Mapping[str, Key] | None = None
        self._following = Following(touched, self._read, "the keys that were known hold")
        self._following.read()

    def __call__(self, route: Route, request: Request) -> Awaitable[None] | None:
        """As Guard."""
        if route.scope is Scope.OPEN:
            return None
        if not self._following.is_current():
            return self._judge_by_newest(route, request)
        self._judge(route, request)
        return None

    async def _judge_by_newest(self, route: Route, request: Request) -> None:
        await self._following.followed()
        self._judge(route, request)

    def _judge(self, route: Route, request: Request) -> None:
        known = self._known
        if known is None:
            raise unavailable("The keys cannot be read, so nobody is let in; try again.")
        given = request.headers.get(b"authorization")
        if given is None and not known and not self._require_keys:
            if route.scope not in ANONYMOUS:
                raise Refused(
                    403,
                    "Forbidden",
                    f"This needs the scope '{route.scope}': make a key with `featurestore keys create`.",
                )
            return
        key = self._presented(known, given)
        assert route.scope is not None, "the table refuses such a route"
        if not key.permits(route.scope):
            held = ", ".join(sorted(key.scopes))
            raise Refused(403, "Forbidden", f"This needs the scope '{route.scope}', and the key holds {held}.")
        request.caller = key.id
        request.limited_to = key.views

    def _read(self) -> None:
        """Read the keys; a registry without any, where some were known, is none to be believed."""
        keys = {key.id: key for key in self._keys.all()}
        if self._known and not keys:
            raise RegistryError("The registry has no key any more, and keys are never deleted; put it back.")
        self._known = keys

    def _presented(self, known: Mapping[str, Key], given: bytes | None) -> Key:
        if given is None or not given.lower().startswith(_BEARER):
            raise _unauthorized("This server wants a key: send `Authorization: Bearer <key>`.")
        key = find_key(known, given[len(_BEARER) :].strip().decode("latin-1"))
        if key is None:
            raise _unauthorized("There is no such key; ask whoever runs this server for one.")
        state = key.state(self._now_us())
        if state != "active":
            raise _unauthorized(f"Key {key.id} ('{key.name}') is {state}; ask for a new one.")
        return key


class Hosts:
    """The guard of the Host header: a page in a browser that resolves its own name to this address is refused."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(host.lower() for host in allowed)
        self._is_allowed = lru_cache(_MOST_HOSTS)(self._judged)

    def __call__(self, route: Route, request: Request) -> None:
        """As Guard. Probes ask for health by whatever address they know."""
        if route.scope is Scope.OPEN:
            return
        if not self._is_allowed(request.headers.get(b"host", b"")):
            raise Refused(
                421, "WrongHost", "This server is not addressed by that name; add it to allowed_hosts under [serving]."
            )

    def _judged(self, header: bytes) -> bool:
        host = header.decode("latin-1").lower()
        return host in self._allowed or host_name(host) in self._allowed


def host_name(host: str) -> str:
    """The host without its port; an IPv6 address stands in brackets."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def check_limited(request: Request, service: str | None, views: Collection[str]) -> None:
    """Refuse with 403 what the caller's key is limited not to read."""
    limited_to = request.limited_to
    if not may_read(limited_to, service, views):
        assert limited_to is not None
        raise beyond(min(set(views) - limited_to))


def may_read(limited_to: Collection[str] | None, service: str | None, views: Collection[str]) -> bool:
    """Whether a key with that limit may: it must name the service, or all of the views. None: without a limit."""
    return limited_to is None or service in limited_to or set(views).issubset(limited_to)


def beyond(name: str) -> Refused:
    """The refusal of what a key is not limited to."""
    return Refused(403, "Forbidden", f"This key is limited to other views than '{name}'.")


def discreet(request: Request, names: Iterable[str], error: FeatureStoreError) -> FeatureStoreError:
    """What a caller is told of an error about the names that were asked for: with a limited key nothing of others."""
    if request.limited_to is None:
        return error
    outside = set(names) - request.limited_to
    if outside or (isinstance(error, UnknownNameError) and error.kind != "feature"):
        return beyond(min(outside or names))
    return error


def _unauthorized(message: str) -> Refused:
    return Refused(401, "Unauthorized", message)
