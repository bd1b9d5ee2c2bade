"""Errors over HTTP: one form, and the only place that knows which error is which status.

    {"error": {"type": "InputError", "message": "..."}}

| status | when |
|---|---|
| 400 | the request cannot be parsed |
| 401, 403 | no key or a wrong one; a key without the route's scope |
| 404, 405 | no such path or name; not by this method |
| 409 | what is asked conflicts with what is there: an instant before the publish, a change by somebody else |
| 413, 415 | a body that is too large, or of another type or encoding |
| 422 | the request can be parsed, and its values are wrong, a gate refused them, or a model cannot score them |
| 429, 503 | too much at once; a store that does not answer, what is not published or served yet, a model whose file
cannot be loaded: `Retry-After` |
| 500 | a fault of the server; its log has the traceback |
"""

from __future__ import annotations

import logging

import msgspec

from featurestore.errors import (
    ConflictError,
    FeatureStoreError,
    GateRefused,
    InputError,
    MaterializationError,
    ModelFileError,
    NotPublishedError,
    NotServingError,
    OfflineStoreError,
    OnlineStoreError,
    PipelineError,
    RegistryError,
    UnknownNameError,
)
from serving.exchange import Answer

log = logging.getLogger("featurestore.serving")

_STATUSES: tuple[tuple[type[FeatureStoreError], int], ...] = (  # the first that fits
    (UnknownNameError, 404),
    (ConflictError, 409),
    (MaterializationError, 409),
    (GateRefused, 422),
    (InputError, 422),
    (ModelFileError, 503),
    (PipelineError, 422),
    (NotServingError, 503),
    (RegistryError, 503),
    (OfflineStoreError, 503),
    (OnlineStoreError, 503),
)
_RETRY_SECONDS = 1
_FAULT = "The server failed to answer; its log says why."


class Refused(FeatureStoreError):
    """A request that HTTP itself refuses: `kind` is the error's type in the answer."""

    def __init__(self, status: int, kind: str, message: str, *, retry_seconds: int | None = None) -> None:
        self.status = status
        self.kind = kind
        self.retry_seconds = retry_seconds
        super().__init__(message)


def bad_request(message: str) -> Refused:
    """A request that cannot be parsed."""
    return Refused(400, "BadRequest", message)


def unavailable(message: str) -> Refused:
    """Something does not answer in time, or too much is asked at once."""
    return Refused(503, "Unavailable", message, retry_seconds=_RETRY_SECONDS)


def too_many(what: str, found: int, most: int) -> Refused:
    """More is asked for at once than is answered."""
    return Refused(413, "TooLarge", f"{found:,} {what} at once; {most:,} are the most. Ask in parts.")


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    match error:
        case Refused(status=status):
            return status
        case NotPublishedError(since_us=int()):
            return 409
        case FeatureStoreError():
            return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        case _:
            return 500


def error_answer(error: Exception) -> Answer:
    """The answer that tells of an error; a fault of the server is logged, and only that it happened is told."""
    status = status_of(error)
    if status == 500:
        log.error("A request failed.", exc_info=error)
        return _answer(500, "InternalError", _FAULT)
    match error:
        case Refused(kind=kind, retry_seconds=int(seconds)):
            return _answer(status, kind, str(error), retry_seconds=seconds)
        case Refused(kind=kind):
            return _answer(status, kind, str(error))
        case _:
            retry_seconds = _RETRY_SECONDS if status == 503 else None
            return _answer(status, type(error).__name__, str(error), retry_seconds=retry_seconds)


def _answer(status: int, kind: str, message: str, *, retry_seconds: int | None = None) -> Answer:
    body = msgspec.json.encode({"error": {"type": kind, "message": message}})
    headers = () if retry_seconds is None else ((b"retry-after", b"%d" % retry_seconds),)
    return Answer(body, status, headers=headers)
