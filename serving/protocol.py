"""HTTP/1.1 with limits for what uvicorn has none for: senders and readers that are slow, and heads without end.

A body has its own limits in the gate; here only what is still sent of it after it was refused.

ASGI takes a request and sends an answer in messages of parts. Most of ours are here, and are sent, in one piece:
`WholeExchange` offers that to the gate, which saves a tenth of the time of a lookup. What waits for nothing is answered
as soon as it is read, without a task.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import Any, ClassVar

import msgspec
from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.exchange import EXCHANGE, Answer
from serving.tasks import begin

HEAD_BYTES = 65_536  # what most servers take, and eight times what most proxies send


_UPGRADE = b"pgrade:"  # found in a fifth of the time that the header takes in any case
_UPGRADE_HEADER = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_LAST_SECONDS = 0.5  # in which a caller on a connection that is kept open asks once more, if he is busy
_MOST_TIMES = 8  # as many bytes as a body has may be sent for it: a chunk of one byte takes six


def _ending(status: bytes, kind: str, message: str) -> bytes:
    """An answer that ends its connection."""
    body = msgspec.json.encode({"error": {"type": kind, "message": message}})
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_LATE = _ending(b"408 Request Timeout", "RequestTimeout", "The request did not arrive in time; send it faster.")
_LONG = _ending(
    b"431 Request Header Fields Too Large", "TooLarge", f"The head is larger than {HEAD_BYTES:,} bytes; send less."
)
_ENDLESS = _ending(b"413 Content Too Large", "TooLarge", "The body takes too many bytes to send; ask in smaller parts.")
_WRONG = _ending(b"400 Bad Request", "BadRequest", "This is no HTTP/1.1 request.")
_TUNNEL = _ending(b"400 Bad Request", "BadRequest", "This server is no proxy; ask it for a path.")


def _without_upgrade(data: bytes) -> bytes:
    """The same without asking for another protocol in its first head: none is spoken here.

    Java's client asks for HTTP/2 that way; the parser would take the body for bytes of that.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE_HEADER.sub(b"", head + end[:2]) + end[2:] + rest


class _HeadError(Exception):
    """A head is too large, or asks for a tunnel."""


class WholeExchange:
    """An `Exchange`: what uvicorn's cycle of messages does, for a request and an answer in one piece each."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def is_of(self, send: Send) -> bool:
        """As Exchange."""
        return getattr(send, "__self__", None) is self._cycle

    def body(self) -> bytes | None:
        """As Exchange."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def send(self, answer: Answer) -> bool:
        """As Exchange; not to a caller who reads slowly or is gone, nor without the body as HEAD wants it."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_started or cycle.scope["method"] == "HEAD":
            return False
        body, status, media_type, headers = answer
        lines = _lines((*cycle.default_headers, (b"content-type", media_type), *headers))
        ending = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.response_started = cycle.response_complete = True
        del cycle.scope["extensions"]  # which has this: a circle is left to the garbage collector
        cycle.waiting_for_100_continue = False
        cycle.transport.write(
            b"%s%scontent-length: %d\r\n%s\r\n%s" % (STATUS_LINE[status], lines, len(body), ending, body)
        )
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


@lru_cache(maxsize=64)  # a few kinds of answers in each second, whose date is among the headers
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol; a connection ends `receive_seconds` after any of these began to be waited for.

    A head that is not whole; the rest of a body that was answered before it came; a reader that takes nothing.
    """

    receive_seconds: ClassVar[float] = 5.0
    body_bytes: ClassVar[int] = 1_048_576

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The connection is open: the first head is awaited."""
        super().connection_made(transport)
        self._in_head = True
        self._in_body = False
        self._head_size = 0
        self._body_size = 0  # as it is sent: with its framing, and with headers that come after it
        self._may_be_long = False  # a head that is whole now: it came in parts, or with much else
        self._fault = _WRONG  # of a head that is not taken
        self._is_parsing = False
        self._is_ending = False
        self._arrived: tuple[RequestResponseCycle, Any] | None = None  # a request whose head was just parsed
        self._awaited: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a head that they do not complete is awaited from now on."""
        if _UPGRADE in data and not self._in_body:
            data = _without_upgrade(data)
        was_in_head = self._in_head
        self._may_be_long = was_in_head or len(data) > HEAD_BYTES
        self._is_parsing = True
        super().data_received(data)
        self._is_parsing = False
        if self._arrived is not None:
            self._begin(*self._arrived)
        if self._in_head:
            if self._awaited is None:
                self._await_head()
            if was_in_head:
                self._head_size += len(data)
                if self._head_size > HEAD_BYTES:
                    self._end(_LONG)
        elif self._in_body:
            self._body_size += len(data)
            if self._body_size > _MOST_TIMES * self.body_bytes + HEAD_BYTES:
                self._end(_ENDLESS)

    def send_400_response(self, _: str) -> None:
        """What arrived cannot be parsed, or has a head that is too large; what came before it is answered first."""
        while self._arrived is not None:  # the next one in line, when one is answered
            self._begin(*self._arrived)
        self._end(self._fault)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; one that is too large, or asks for a tunnel, ends the parsing."""
        if self._may_be_long and self._size_of_head() > HEAD_BYTES:
            self._fault = _LONG
            raise _HeadError
        if self.parser.get_method() == b"CONNECT":
            self._fault = _TUNNEL
            raise _HeadError
        self._in_head = False
        self._in_body = True
        self._body_size = 0
        self._stop_waiting()
        super().on_headers_complete()
        self.headers = []  # for the fields behind the body: they must not replace what stands before it
        if self._is_ending:
            self.cycle.keep_alive = False
        self.scope["extensions"] = {EXCHANGE: WholeExchange(self.cycle)}  # type: ignore[dict-item]  # of our own kind

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was sent; what is still to come of a body is thrown away, for a while."""
        super().on_response_complete()
        if self._in_body and self._awaited is None:
            self._awaited = self.loop.call_later(self.receive_seconds, self.transport.close)

    def pause_writing(self) -> None:
        """The caller takes the answer more slowly than it is written."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """The caller has taken most of it."""
        super().resume_writing()
        self._stop_waiting_for_reader()

    def shutdown(self) -> None:
        """The server ends: what is on its way already is answered, and then the connection is closed."""
        if self._is_idle():
            self._is_ending = True
            self.loop.call_later(_LAST_SECONDS, self._close_when_idle)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)
        self._stop_waiting_for_reader()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # uvicorn keeps its type to itself
        """Begin to answer: when all is parsed that was just read; with a task at once for what waited in line."""
        if self._is_parsing and getattr(app, "waits_in_task", False):
            self._arrived = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _size_of_head(self) -> int:
        """Of a head that was parsed just now, in bytes, if one space stands before each value."""
        first = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n\r\n")
        return first + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer, without a task as far as nothing must be waited for."""
        self._arrived = None
        task = begin(cycle.run_asgi(app))
        if task is not None:
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _await_head(self) -> None:
        self._awaited = self.loop.call_later(self.receive_seconds, self._end, _LATE)

    def _stop_waiting(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _await_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self.receive_seconds, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._await_reader()
        else:
            self.transport.abort()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _end(self, answer: bytes) -> None:
        """Answer, unless that would fall into another answer, and hang up."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self._may_answer():
            self.transport.write(answer)
        self.transport.close()

    def _close_when_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        """Whether all requests whose heads have come were answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _may_answer(self) -> bool:
        """Whether all requests before what is read now were answered, and that itself was not."""
        if self._in_body:
            return not (self.pipeline or self.cycle.response_started)
        return self._is_idle()
