"""`POST /v1/models/{name}/predict`: features looked up, request-time features computed, the champion applied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from featurestore.audit.log import id_text, new_id
from featurestore.online.result import OnlineFeatures
from serving.access import check_limited
from serving.answering import Given
from serving.asking import Sizes, rows_of
from serving.columns import encode
from serving.errors import bad_request, too_many
from serving.exchange import Answer, JsonValue, Request
from serving.features import instant
from serving.live import Live, LiveModels
from serving.measuring import Measuring

Result = TypeVar("Result")


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request: entities and request data as rows or as columns; `features` asks for the vector too."""

    entities: list[dict[str, JsonValue]] | dict[str, list[JsonValue]]
    request: list[dict[str, JsonValue]] | dict[str, list[JsonValue]] | None = None
    at: str | None = None
    features: bool = False


_decode = msgspec.json.Decoder(Question).decode


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a version answered: the features of each row, its score, and its id in the log."""

    live: Live
    answer: OnlineFeatures
    scores: Sequence[float]
    ids: Sequence[str]


def one_thread_each() -> None:
    """Let models use no further threads in the thread that calls: for a few rows, waking them takes the longest."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


class Predicting:
    """Predicts in a pool of its own, so that a slow model holds up no lookup of features."""

    def __init__(self, models: LiveModels, pool: ThreadPoolExecutor, sizes: Sizes, measuring: Measuring) -> None:
        self.models = models
        self._pool = pool
        self._sizes = sizes
        self._measuring = measuring

    def answer(self, request: Request) -> Awaitable[Answer]:
        """The handler of `POST /v1/models/{name}/predict`."""
        try:
            question = _decode(request.body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise bad_request(f"The body is not what this path takes: {error}.") from error
        at_us = instant(question.at)

        def predicted(live: Live) -> Answer:
            found = self.predict(live, question.entities, question.request, at_us)
            return Answer(_written(found, features=question.features))

        return self.ask(request, rows_of(question.entities), predicted)

    async def ask(self, request: Request, rows: int, predicted: Callable[[Live], Result]) -> Result:
        """What `predicted` makes of the version that serves the model in the request's path, for that many rows."""
        if rows > self._sizes.entities:
            raise too_many("entities", rows, self._sizes.entities)
        live = await self.find(request)
        return await asyncio.get_running_loop().run_in_executor(self._pool, predicted, live)

    async def find(self, request: Request) -> Live:
        """The version that serves the model in the request's path, if the caller may see its features."""
        name = request.path["name"]
        following = self.models.following
        following.follow()
        live = self.models.known(name)
        if live is None:
            await following.followed()
            live = self.models.find(name)
        check_limited(request, live.answering.service, live.answering.views)
        request.labels["service"] = live.answering.service
        return live

    def predict(self, live: Live, entities: Given, request: Given | None, at_us: int | None) -> Predicted:
        """The scores of a version for entities and request data in JSON form; logged and counted."""
        rows, given = live.answering.rows(entities, request)
        answer = live.answering.lookup.answer(rows, given, at_us)
        scores = live.predictor.scores(answer).tolist()
        number = new_id()
        kept = live.log is not None and live.log.log(number, answer, given, scores)
        self._measuring.predicted(live.version.model, live.version.version, len(scores), kept=kept)
        text = id_text(number)
        return Predicted(live, answer, scores, [f"{text}-{row}" for row in range(len(scores))])


def _written(found: Predicted, *, features: bool) -> bytes:
    version = found.live.version
    before = b'"model":%s,"version":%d,"predictions":{"ids":%s,"scores":%s},' % (
        encode(version.model),
        version.version,
        encode(found.ids),
        encode(found.scores),
    )
    body, nulls = found.live.answering.writer.write(found.answer, before, features=features)
    found.live.answering.count(found.answer, nulls)
    return body
