"""`GET /healthz` and `/readyz`: whether the process runs, and whether it can answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from featurestore.errors import FeatureStoreError
from featurestore.online.base import OnlineReads
from featurestore.plan.views import namespace
from serving.exchange import Answer, Request
from serving.live import LiveModels
from serving.plans import Plans

_OK = "ok"
_EMPTY = "It holds no view; run `featurestore materialize`, or `featurestore online rebuild` if it was emptied."


def healthz(_: Request) -> Answer:
    """The process runs."""
    return Answer(b'{"status":"ok"}')


class Readiness:
    """Whether the stores answer, and which versions are loaded. Any number of callers are told by one look."""

    def __init__(
        self,
        project: str,
        plans: Plans,
        models: LiveModels,
        online: OnlineReads,
        pool: ThreadPoolExecutor,
        seconds: float,
    ) -> None:
        """The online store may take `seconds` to answer, in a thread of the pool."""
        self._project = project
        self._plans = plans
        self._models = models
        self._online_store = online
        self._pool = pool
        self._seconds = seconds
        self._looking: asyncio.Task[Answer] | None = None

    async def readyz(self, _: Request) -> Answer:
        """200 when the stores answer and nothing of what is applied or approved goes unserved, else 503.

        What an older plan or version answers in place of a newer one is served; `faults` and `model_faults` tell why.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Answer:
        registry, (online, unpublished), _ = await asyncio.gather(
            self._registry(), self._online(), self._models.following.followed()
        )
        state, live = self._plans.state, self._models.state
        is_served = state.faults.keys() <= state.services.keys() and live.champions_are_served
        ready = registry == online == _OK and is_served
        document = {
            "status": "ready" if ready else "not ready",
            "checks": {"registry": registry, "online_store": online},
            "revision": state.revision,
            "views": state.catalog.versions,
            "unpublished": unpublished,
            "services": sorted(state.services),
            "faults": state.faults,
            "models": {name: one.version.version for name, one in sorted(live.loaded.items())},
            "model_faults": live.faults,
        }
        return Answer(msgspec.json.encode(document), 200 if ready else 503)

    async def _registry(self) -> str:
        """How the registry is."""
        following = self._plans.following
        await following.followed()
        if following.failure is not None:
            return following.failure
        return _OK if following.is_current() else "It is locked, or slow."

    async def _online(self) -> tuple[str, list[str]]:
        """How the online store is, and the views of which it holds nothing."""
        views = self._plans.state.catalog.views
        requests = [(namespace(self._project, view), ()) for view in views.values()]
        try:
            async with asyncio.timeout(self._seconds):
                answers = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._online_store.read, requests
                )
        except FeatureStoreError as error:
            return str(error), []
        except TimeoutError:
            return f"No answer within {self._seconds:g} s.", []
        unpublished = [name for name, (meta, _) in zip(views, answers, strict=True) if meta is None]
        if views and len(unpublished) == len(views):
            return _EMPTY, unpublished
        return _OK, unpublished
