"""`POST /v1/features`: the present features of entities."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from featurestore.dtypes import Timestamp, from_json, python_micros
from featurestore.errors import InputError
from serving.answering import Answering
from serving.asking import Asking, rows_of
from serving.bodies import parsed
from serving.errors import bad_request
from serving.exchange import ARROW, Answer, JsonValue, Request
from serving.plans import Asked


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request: a service or a list of features, entities and request data as rows or as columns."""

    entities: list[dict[str, JsonValue]] | dict[str, list[JsonValue]]
    service: str | None = None
    features: list[str] | None = None
    request: list[dict[str, JsonValue]] | dict[str, list[JsonValue]] | None = None
    at: str | None = None


_decode = msgspec.json.Decoder(Question).decode


class Features:
    """Answers `POST /v1/features`, in JSON or, when the caller accepts that, as an Arrow stream."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """The handler."""
        question = parsed(_decode, request.body)
        asked = _asked(question)
        at_us = instant(question.at)
        as_arrow = ARROW in request.headers.get(b"accept", b"")

        def answered(answering: Answering) -> Answer:
            answer, _ = answering.answer(question.entities, question.request, at_us)
            return Answer(answering.arrow(answer), media_type=ARROW) if as_arrow else Answer(answering.json(answer))

        return self._asking.ask(request, asked, rows_of(question.entities), answered)


def _asked(question: Question) -> Asked:
    if (question.service is None) == (question.features is None):
        raise bad_request("Name either a 'service' or a list of 'features', and not both.")
    return question.service if question.service is not None else tuple(question.features or ())


def instant(text: str | None) -> int | None:
    """An instant in its JSON form; raises InputError."""
    if text is None:
        return None
    try:
        found = from_json(Timestamp, text)
    except InputError as error:
        raise InputError(f"'at': {error}") from error
    return python_micros(found)  # type: ignore[arg-type]  # a Timestamp's value is a datetime
