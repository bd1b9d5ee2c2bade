"""`GET /healthz` and `/readyz`: whether the process runs, and whether it can answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from featurestore.errors import FeatureStoreError
from featurestore.plan.views import namespace
from featurestore.store import FeatureStore
from serving.exchange import Answer, Request
from serving.plans import Plans


def healthz(_: Request) -> Answer:
    """The process runs."""
    return Answer(b'{"status":"ok"}')


class Readiness:
    """Whether the stores answer, and which versions are loaded."""

    def __init__(self, store: FeatureStore, plans: Plans, pool: ThreadPoolExecutor, seconds: float) -> None:
        self._store = store
        self._plans = plans
        self._pool = pool
        self._seconds = seconds

    async def readyz(self, _: Request) -> Answer:
        """200 when everything that is applied can be served, else 503 with what is wrong."""
        checks = {
            "registry": await self._check(self._read_registry),
            "online_store": await self._check(self._read_online),
        }
        state = self._plans.state
        ready = not any(checks.values()) and state.faults.keys() <= state.services.keys()
        document = {
            "status": "ready" if ready else "not ready",
            "checks": {name: failure or "ok" for name, failure in checks.items()},
            "revision": state.revision,
            "views": state.catalog.versions,
            "services": sorted(state.services),
            "faults": state.faults,
        }
        return Answer(msgspec.json.encode(document), 200 if ready else 503)

    def _read_registry(self) -> None:
        self._plans.refresh()
        if self._plans.failure is not None:
            raise FeatureStoreError(self._plans.failure)

    def _read_online(self) -> None:
        project = self._store.configuration.project
        views = self._plans.state.catalog.views.values()
        self._store.online.read([(namespace(project, view), ()) for view in views])

    async def _check(self, look: Callable[[], None]) -> str | None:
        """Why a store does not answer; None when it does."""
        try:
            async with asyncio.timeout(self._seconds):
                await asyncio.get_running_loop().run_in_executor(self._pool, look)
        except FeatureStoreError as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {self._seconds:g} s"
        return None
