"""`POST /v1/models/{name}/predict`: features looked up, request-time features computed, the champion applied."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from threadpoolctl import threadpool_limits

from featurestore.audit.log import id_text, new_id
from featurestore.errors import UnknownNameError
from featurestore.online.result import OnlineFeatures
from serving.access import check_limited, discreet
from serving.answering import Given
from serving.asking import Sizes, rows_of
from serving.bodies import parsed
from serving.columns import encode
from serving.errors import too_many
from serving.exchange import Answer, JsonValue, Request
from serving.features import instant
from serving.live import Live, LiveModels
from serving.measuring import Measuring

Predict: TypeAlias = Callable[[Live], Answer]


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


class Predicting:
    """Predicts for one row on the event loop when the model is quick, and else in a pool of its own.

    So a slow model holds up no lookup of features. Models use no further threads: for a few rows, waking them takes the
    longest.
    """

    def __init__(self, models: LiveModels, pool: ThreadPoolExecutor, sizes: Sizes, measuring: Measuring) -> None:
        self.models = models
        self._pool = pool
        self._sizes = sizes
        self._measuring = measuring
        self._limited = threading.local()

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """The handler of `POST /v1/models/{name}/predict`."""
        question = parsed(_decode, request.body)
        at_us = instant(question.at)

        def predicted(live: Live) -> Answer:
            if question.features and live.answering.width > self._sizes.features:
                raise too_many("features", live.answering.width, self._sizes.features)
            found = self.predict(live, question.entities, question.request, at_us)
            return Answer(_written(found, features=question.features))

        return self.ask(request, rows_of(question.entities), predicted)

    def ask(self, request: Request, rows: int, predicted: Predict) -> Answer | Awaitable[Answer]:
        """What `predicted` makes of the version that serves the model in the request's path, for that many rows."""
        if rows > self._sizes.entities:
            raise too_many("entities", rows, self._sizes.entities)
        self.models.following.follow()
        live = self.models.known(request.path["name"])
        if live is None:
            return self._by_newest(request, rows, predicted)
        _check(request, live)
        if rows == 1 and live.pace.is_quick:
            return self._timed(live, predicted, time.perf_counter)
        return self._elsewhere(live, rows, predicted)

    async def find(self, request: Request) -> Live:
        """The version that serves the model in the request's path, if the caller may see its features."""
        following = self.models.following
        following.follow()
        live = self.models.known(request.path["name"])
        if live is None:
            await following.followed()
            name = request.path["name"]
            try:
                live = self.models.find(name)
            except UnknownNameError as error:
                raise discreet(request, [name], error) from error
        _check(request, live)
        return live

    async def _by_newest(self, request: Request, rows: int, predicted: Predict) -> Answer:
        return await self._elsewhere(await self.find(request), rows, predicted)

    def _elsewhere(self, live: Live, rows: int, predicted: Predict) -> Awaitable[Answer]:
        """The answer from a thread; one row shows how quick the model is, unless its features may take long."""
        clock = time.thread_time if rows == 1 and not live.answering.waits else None
        return asyncio.get_running_loop().run_in_executor(self._pool, self._timed, live, predicted, clock)

    def _timed(self, live: Live, predicted: Predict, clock: Callable[[], float] | None) -> Answer:
        """The answer, worked out in this thread alone; how long it took is noted."""
        self._limit()
        if clock is None:
            return predicted(live)
        began = clock()
        answer = predicted(live)
        live.pace.took(clock() - began)
        return answer

    def _limit(self) -> None:
        """Let the libraries that models compute with use this thread alone, those too that came with a later model."""
        loaded = self.models.loaded
        if getattr(self._limited, "by", None) != loaded:
            threadpool_limits(1)
            self._limited.by = loaded

    def predict(self, live: Live, entities: Given, request: Given | None, at_us: int | None) -> Predicted:
        """The scores of a version for entities and request data in JSON form; logged and counted."""
        answer, given = live.answering.answer(entities, request, at_us)
        scores = live.predictor.scores(answer).tolist()
        number = new_id()
        kept = live.log is not None and live.log.log(number, answer, given, scores)
        self._measuring.predicted(live.version.model, live.version.version, len(scores), kept=kept)
        text = id_text(number)
        return Predicted(live, answer, scores, [f"{text}-{row}" for row in range(len(scores))])


def _check(request: Request, live: Live) -> None:
    check_limited(request, live.answering.service, live.answering.views)
    request.labels["service"] = live.answering.service


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
