"""A request as handlers see it, and the answer they give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from starlette.types import Message, Send

Scalar: TypeAlias = str | int | float | bool | None
JsonValue: TypeAlias = Scalar | list[Scalar]  # what an entity or a request may hold: nothing is nested deeper

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
ARROW = b"application/vnd.apache.arrow.stream"


class Answer(NamedTuple):
    """What is sent back; `headers` beside the type and the length of the body."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class Request:
    """A request with its body read; `headers` by lower-case name, `path` the values of the path's parameters.

    `labels` is what a handler says of it for the metrics: `service`, for one. `caller` is the id of the key that was
    brought, `limited_to` the views and services that it is limited to (None: all).
    """

    headers: Mapping[bytes, bytes]
    body: bytes = b""
    query: bytes = b""
    path: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""
    limited_to: frozenset[str] | None = None
    labels: dict[str, str] = field(default_factory=dict)


class Exchange(Protocol):
    """Bodies and answers in one piece: what a server may offer beside messages, among `extensions`."""

    def is_of(self, send: Send) -> bool:
        """Whether this is the server's own `send`, so that nobody between wants to see the messages."""
        ...

    def body(self) -> bytes | None:
        """The request's body when all of it is here; None when the rest must be waited for."""
        ...

    def send(self, answer: Answer) -> bool:
        """Whether the answer was sent; if not, it is to be sent by messages."""
        ...


REQUEST = "featurestore.request"  # where an ASGI scope has the Request for endpoints behind the gate
EXCHANGE = "featurestore.exchange"  # the name of that extension


def messages_of(answer: Answer) -> tuple[Message, Message]:
    """The two messages that send an answer."""
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    return start, {"type": "http.response.body", "body": answer.body}
