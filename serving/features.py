"""`POST /v1/features`: the present features of entities."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from featurestore.dtypes import Timestamp, from_json, python_micros
from featurestore.errors import NotPublishedError, UnknownNameError
from serving.answering import Answering, Given
from serving.errors import bad_request
from serving.exchange import Answer, Request
from serving.plans import Asked, Plans


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request: a service or a list of features, entities and request data as rows or as columns."""

    entities: list[dict[str, object]] | dict[str, list[object]]
    service: str | None = None
    features: list[str] | None = None
    request: list[dict[str, object]] | dict[str, list[object]] | None = None
    at: str | None = None


_decode = msgspec.json.Decoder(Question).decode


class Features:
    """Answers questions from the present plans: on the event loop where the store is in this machine's memory.

    Other stores, and Python functions at request time, are asked in `pool`, so that a slow one holds nobody else up.
    """

    def __init__(self, plans: Plans, pool: ThreadPoolExecutor) -> None:
        self._plans = plans
        self._pool = pool

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """The handler of `POST /v1/features`."""
        question = _parsed(request.body)
        asked = _asked(question)
        at_us = _instant(question.at)
        plans = self._plans
        if plans.is_stale():
            plans.follow()
        try:
            answering = plans.find(asked)
            request.labels["service"] = answering.service
            if answering.waits:
                return self._elsewhere(answering, asked, question, at_us)
            return _answered(answering, question, at_us)
        except (UnknownNameError, NotPublishedError):
            if not plans.is_stale():
                raise
            return self._again(asked, question, at_us)

    async def _elsewhere(self, answering: Answering, asked: Asked, question: Question, at_us: int | None) -> Answer:
        """The answer, worked out in the pool."""
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._pool, _answered, answering, question, at_us)
        except NotPublishedError:
            if not await self._plans.followed():
                raise
            return await run(self._pool, _answered, self._plans.find(asked), question, at_us)

    async def _again(self, asked: Asked, question: Question, at_us: int | None) -> Answer:
        """The answer from the newest plans: what was not found may have been applied, or replaced, just now."""
        await self._plans.followed()
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._pool, _answered, self._plans.find(asked), question, at_us)


def _answered(answering: Answering, question: Question, at_us: int | None) -> Answer:
    answer = answering.answer(_given(question.entities), question.request, at_us)  # type: ignore[arg-type]  # JSON
    return Answer(answering.json(answer))


def _given(entities: list[dict[str, object]] | dict[str, list[object]]) -> Given:
    return entities  # type: ignore[return-value]  # values of a JSON document


def _parsed(body: bytes) -> Question:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise bad_request(f"The body is not what this path takes: {error}.") from error


def _asked(question: Question) -> Asked:
    if (question.service is None) == (question.features is None):
        raise bad_request("Name either a 'service' or a list of 'features', and not both.")
    return question.service if question.service is not None else tuple(question.features or ())


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    instant = from_json(Timestamp, text)
    return python_micros(instant)  # type: ignore[arg-type]  # a Timestamp's value is a datetime
