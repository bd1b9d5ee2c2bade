"""Compiled lookups that follow `apply`: requests are answered from one state, which is replaced whole.

A state is what serves at one instant: the catalog and a compiled lookup per service. When the registry's token
changes, a thread reads the catalog and compiles anew, while requests go on with the old state; then one assignment puts
the new one in its place. A service that no longer compiles (a Python function whose source is not the registered one)
keeps its old lookup, and `faults` says why.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from featurestore.errors import FeatureStoreError, UnknownNameError
from featurestore.plan.catalog import Catalog
from featurestore.registry.base import Registry
from serving.answering import Answering
from serving.errors import unavailable

log = logging.getLogger("featurestore.serving")

Asked: TypeAlias = str | tuple[str, ...]

_MOST_LISTS = 256  # lists of features whose compiled lookups are kept; a service has its own for ever


@dataclass(frozen=True, slots=True)
class State:
    """What serves at one instant, compiled; `faults` tells for each service why it does not compile."""

    token: object
    revision: int = 0
    catalog: Catalog = field(default_factory=Catalog)
    services: Mapping[str, Answering] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    lists: dict[tuple[str, ...], Answering] = field(default_factory=dict)


class Plans:
    """The present state, and its replacement when somebody applied; safe for threads."""

    def __init__(self, registry: Registry, compiled: Callable[[Asked, Catalog], Answering]) -> None:
        self._registry = registry
        self._compiled = compiled
        self._refreshing = threading.Lock()
        self._refresh: asyncio.Future[None] | None = None
        self.state = State(token=None)
        self.failure: str | None = None

    def find(self, asked: Asked) -> Answering:
        """The lookup of a service or a list of features; raises UnknownNameError, and what compiling raises."""
        state = self.state
        if isinstance(asked, str):
            found = state.services.get(asked)
            if found is None:
                raise self._missing(asked, state)
            return found
        found = state.lists.get(asked)
        if found is None:
            found = self._compiled(asked, state.catalog)
            if len(state.lists) >= _MOST_LISTS:
                state.lists.pop(next(iter(state.lists)), None)
            state.lists[asked] = found
        return found

    def is_stale(self) -> bool:
        """Whether somebody may have applied since the present state was made."""
        return self._registry.token() != self.state.token

    def follow(self) -> None:
        """Begin to replace a stale state, unless that is under way; call on the event loop."""
        if self.is_stale() and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.get_running_loop().run_in_executor(None, self.refresh)

    async def followed(self) -> bool:
        """Wait until the state is the newest; whether it was replaced meanwhile."""
        before = self.state
        self.follow()
        if self._refresh is not None:
            await asyncio.shield(self._refresh)
        return self.state is not before

    def refresh(self) -> None:
        """Replace a stale state; a registry that cannot be read leaves the old one serving, and `failure` says why."""
        with self._refreshing:
            token = self._registry.token()
            if token == self.state.token:
                return
            try:
                revision, catalog = self._registry.serving()
                self.state = self._compile(token, revision, catalog)
                self.failure = None
            except FeatureStoreError as error:
                self._report(str(error))

    def _compile(self, token: object, revision: int, catalog: Catalog) -> State:
        old = self.state
        services: dict[str, Answering] = {}
        faults: dict[str, str] = {}
        for name in catalog.services:
            try:
                services[name] = self._compiled(name, catalog)
            except FeatureStoreError as error:
                faults[name] = str(error)
                if name in old.services:
                    services[name] = old.services[name]
                kept = "its last compiled plan goes on serving" if name in services else "it cannot be served"
                log.error("Service '%s' of revision %d does not compile, so %s: %s", name, revision, kept, error)
        log.info("Serving revision %d: %d services.", revision, len(services))
        return State(token, revision, catalog, services, faults)

    def _report(self, failure: str) -> None:
        if failure != self.failure:
            log.error("The registry cannot be read, so what was applied last goes on serving: %s", failure)
        self.failure = failure

    @staticmethod
    def _missing(name: str, state: State) -> FeatureStoreError:
        if name in state.faults:
            return unavailable(f"Service '{name}' cannot be served: {state.faults[name]}")
        return UnknownNameError("service", name, state.catalog.services)
