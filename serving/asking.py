"""Where an answer is worked out: on the event loop or in a thread, and again when its plan was replaced meanwhile.

A lookup in this machine's memory takes microseconds, less than handing it to a thread. What may wait (a store
elsewhere, a Python function at request time) is worked out in a pool of bounded size, so that a slow store holds nobody
else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from featurestore.errors import NotPublishedError, UnknownNameError
from serving.answering import Answering
from serving.exchange import Answer, Request
from serving.plans import Asked, Plans

Answered: TypeAlias = Callable[[Answering], Answer]


class Asking:
    """Answers from the present plans."""

    def __init__(self, plans: Plans, pool: ThreadPoolExecutor) -> None:
        self._plans = plans
        self._pool = pool

    def ask(self, request: Request, asked: Asked, answered: Answered) -> Answer | Awaitable[Answer]:
        """What `answered` makes of the compiled lookup that was asked for."""
        plans = self._plans
        if plans.is_stale():
            plans.follow()
        try:
            answering = plans.find(asked)
            request.labels["service"] = answering.service
            return self._elsewhere(answering, asked, answered) if answering.waits else answered(answering)
        except (UnknownNameError, NotPublishedError):
            if not plans.is_stale():
                raise
            return self._again(asked, answered)

    async def _elsewhere(self, answering: Answering, asked: Asked, answered: Answered) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, answered, answering)
        except NotPublishedError:
            if not self._plans.is_stale():
                raise
            return await self._again(asked, answered)

    async def _again(self, asked: Asked, answered: Answered) -> Answer:
        """The answer from the newest plans: what was not found may have been applied, or replaced, just now."""
        await self._plans.followed()
        answering = self._plans.find(asked)
        return await asyncio.get_running_loop().run_in_executor(self._pool, answered, answering)
