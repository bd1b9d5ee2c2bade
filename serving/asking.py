"""Where an answer is worked out: on the event loop or in a thread, and again when its plan was replaced meanwhile.

A lookup in this machine's memory takes microseconds, less than handing it to a thread. What may wait (a store
elsewhere, a Python function at request time) is worked out in a pool of bounded size, so that a slow store holds nobody
else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from featurestore.errors import InputError, NotPublishedError, NotServingError, UnknownNameError
from serving.access import check_limited, discreet
from serving.answering import Answering
from serving.errors import too_many
from serving.exchange import Answer, Request
from serving.plans import Asked, Plans

Answered: TypeAlias = Callable[[Answering], Answer]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many entities a request may name, and how many features an answer may have."""

    entities: int
    features: int


class Asking:
    """Answers from the present plans, what the caller may see and no more than `sizes` allow."""

    def __init__(self, plans: Plans, pool: ThreadPoolExecutor, sizes: Sizes) -> None:
        self._plans = plans
        self._pool = pool
        self._sizes = sizes

    def ask(self, request: Request, asked: Asked, rows: int, answered: Answered) -> Answer | Awaitable[Answer]:
        """What `answered` makes of the compiled lookup that was asked for, for that many entities."""
        plans = self._plans
        if rows > self._sizes.entities:
            raise too_many("entities", rows, self._sizes.entities)
        if isinstance(asked, tuple) and len(asked) > self._sizes.features:
            raise too_many("features", len(asked), self._sizes.features)
        plans.following.follow()
        answering = plans.known(asked)
        if answering is None:
            return self._by_newest(request, asked, answered)
        self._check(request, answering)
        if answering.waits:
            return self._elsewhere(request, answering, asked, answered)
        try:
            return answered(answering)
        except NotPublishedError:
            if plans.following.is_current():
                raise
            return self._by_newest(request, asked, answered)

    async def _elsewhere(self, request: Request, answering: Answering, asked: Asked, answered: Answered) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, answered, answering)
        except NotPublishedError:
            if self._plans.following.is_current():
                raise
            return await self._by_newest(request, asked, answered)

    async def _by_newest(self, request: Request, asked: Asked, answered: Answered) -> Answer:
        """The answer from the newest plans: what was not found may have been applied, or replaced, just now."""

        def found_and_answered() -> Answer:
            try:
                answering = self._plans.find(asked)
            except (UnknownNameError, InputError, NotServingError) as error:
                raise discreet(request, _named(asked), error) from error
            self._check(request, answering)
            return answered(answering)

        await self._plans.following.followed()
        return await asyncio.get_running_loop().run_in_executor(self._pool, found_and_answered)

    def _check(self, request: Request, answering: Answering) -> None:
        if answering.width > self._sizes.features:
            raise too_many("features", answering.width, self._sizes.features)
        if request.limited_to is not None:
            check_limited(request, answering.service, answering.views)
        request.labels["service"] = answering.service


def _named(asked: Asked) -> set[str]:
    """The service, or the views, that were asked for."""
    return {name.partition(":")[0].partition("@")[0] for name in ((asked,) if isinstance(asked, str) else asked)}


def rows_of(entities: Sized | dict[str, Sized]) -> int:
    """The number of entities, given as rows or as columns."""
    if isinstance(entities, dict):
        return max((len(values) for values in entities.values()), default=0)
    return len(entities)
