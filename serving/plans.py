"""Compiled lookups that follow `apply`: requests are answered from one state, which is replaced whole.

A state is what serves at one instant: the catalog and a compiled lookup per service. When the registry was touched, a
thread reads the catalog and compiles anew, while requests go on with the old state; then one assignment puts the new
one in its place. A service that no longer compiles (a Python function whose source is not the registered one)
keeps its old lookup, and `faults` says why.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from featurestore.errors import FeatureStoreError, RegistryError
from featurestore.plan.catalog import Catalog
from featurestore.registry.base import Registry
from serving.answering import Answering
from serving.errors import unavailable
from serving.following import Following

log = logging.getLogger("featurestore.serving")

Asked: TypeAlias = str | tuple[str, ...]

_UNREAD = object()
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
        self._keeping = threading.Lock()
        self.state = State(token=_UNREAD)
        self.following = Following(registry.touched, self._refresh, "what was applied last goes on serving")
        self.following.read()

    def known(self, asked: Asked) -> Answering | None:
        """The lookup of a service or a list of features, when it is compiled already."""
        state = self.state
        return state.services.get(asked) if isinstance(asked, str) else state.lists.get(asked)

    def find(self, asked: Asked) -> Answering:
        """The same, compiled when it is not; may read the registry and code, so not on the event loop.

        Raises UnknownNameError, NotServingError, and what else compiling raises.
        """
        state = self.state
        if state.token is _UNREAD:
            raise unavailable(f"What is applied could not be read yet. {self.following.failure}")
        found = self.known(asked)
        if found is not None:
            return found
        if isinstance(asked, str) and asked in state.faults:
            raise unavailable(f"Service '{asked}' cannot be served: {state.faults[asked]}")
        compiled = self._compiled(asked, state.catalog)
        if isinstance(asked, tuple):
            with self._keeping:
                if len(state.lists) >= _MOST_LISTS:
                    del state.lists[next(iter(state.lists))]
                state.lists[asked] = compiled
        return compiled

    def _refresh(self) -> None:
        """Replace the state when something else serves by now; raises what keeps it from being read."""
        token = self._registry.token()
        if token != self.state.token:
            revision, catalog = self._registry.serving()
            if revision < 1 <= self.state.revision:
                raise RegistryError("The registry is gone; put it back where it was.")
            self.state = self._compile(token, revision, catalog)

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
        log.info("Serving revision %d; services: %d.", revision, len(services))
        return State(token, revision, catalog, services, faults)
