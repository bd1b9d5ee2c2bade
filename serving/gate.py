"""What every request passes: route, guards, body, handler, in this order.

1. The route, by method and path: 404, 405.
2. The guards, in their order, each of which may refuse: who calls, and whether the route's scope is his.
3. The body, whole, within its size and its time.
4. The handler, within the deadline, when there is a place for it.
5. The answer, an error's as well; then the observers learn of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from serving.errors import Refused, bad_request, error_answer, unavailable
from serving.exchange import EXCHANGE, REQUEST, Answer, Exchange, Request, messages_of
from serving.load import Load
from serving.routes import Match, Route, RouteTable
from serving.tasks import in_task

Result = TypeVar("Result")

_NONE: Mapping[str, Any] = {}

Guard: TypeAlias = Callable[[Route, Request], Awaitable[None] | None]  # raises Refused, at once or when awaited


class Observer(Protocol):
    """Learns of every answer."""

    def answered(self, route: Route | None, request: Request, status: int, seconds: float) -> None:
        """`route` is None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a body may be, and how long a request may take: to arrive, and to be answered."""

    body_bytes: int
    receive_seconds: float
    deadline_seconds: float


class Gate:
    """The ASGI application: hot routes are answered here, the others by `cold`, and all pass the same guards.

    `table` has every route that is served. A call may be begun outside of a task, by `serving.tasks.begin`.
    """

    waits_in_task = True

    def __init__(
        self,
        table: RouteTable,
        cold: ASGIApp,
        limits: Limits,
        load: Load,
        guards: Sequence[Guard] = (),
        observers: Sequence[Observer] = (),
    ) -> None:
        self.table = table
        self._cold = cold
        self._limits = limits
        self._load = load
        self._guards = tuple(guards)
        self._observers = tuple(observers)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._cold(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request = Request(headers, query=scope["query_string"])
        exchange: Exchange | None = scope.get("extensions", _NONE).get(EXCHANGE)
        if exchange is not None and not exchange.is_of(send):
            exchange = None
        match: Match | None = None
        passed_on: _Sent | None = None
        try:
            if len(headers) < len(scope["headers"]):
                _check_single([name for name, _ in scope["headers"]])
            match = self.table.find(scope["method"], scope["path"])
            request.path = match.path
            answer = await self._pass(match.route, request, exchange, receive)
            if answer is None:
                passed_on = _Sent(send)
                await self._pass_on(match.route, request, scope, receive, passed_on)
        except Exception as error:  # noqa: BLE001 -- the process's edge: whatever happens becomes an answer
            answer = error_answer(error) if passed_on is None or not passed_on.status else None
        if answer is not None and (exchange is None or not exchange.send(answer)):
            await in_task()
            for message in messages_of(answer):
                await send(message)
        status = answer.status if answer is not None else (passed_on and passed_on.status) or 0
        seconds = time.perf_counter() - began
        for observer in self._observers:
            observer.answered(match.route if match else None, request, status, seconds)

    async def _pass(self, route: Route, request: Request, exchange: Exchange | None, receive: Receive) -> Answer | None:
        """The answer of a hot route; None when the cold application is to send it."""
        limits = self._limits
        for guard in self._guards:
            judged = guard(route, request)
            if judged is not None:
                await in_task()
                await judged
        check_head(request, limits)
        body = None if exchange is None else exchange.body()
        request.body = await read_body(receive, limits) if body is None else checked_size(body, limits)
        if route.hot is None:
            return None
        with self._load.admitted(route, request):
            answer = route.hot(request)
            if isinstance(answer, Answer):
                return answer
            return await within(answer, limits.deadline_seconds if route.seconds is None else route.seconds)

    async def _pass_on(self, route: Route, request: Request, scope: Connection, receive: Receive, send: _Sent) -> None:
        """Let the cold application answer."""
        seconds = self._limits.deadline_seconds if route.seconds is None else route.seconds
        with self._load.admitted(route, request):
            await within(self._cold({**scope, REQUEST: request}, _replayed(request.body, receive), send), seconds)


class _Sent:
    """A `send` that knows whether and how the answer began."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        return self._send(message)


def _check_single(names: Sequence[bytes]) -> None:
    """Refuse fields that stand twice and must not: a proxy may go by another one than we."""
    if names.count(b"host") > 1 or names.count(b"authorization") > 1:
        raise bad_request("The request has two Host or Authorization headers; send one.")


def check_head(request: Request, limits: Limits) -> None:
    """Raise Refused for a body that is compressed (415) or is said to be too large (413)."""
    headers = request.headers
    encoding, transfer = headers.get(b"content-encoding", b"identity"), headers.get(b"transfer-encoding", b"chunked")
    if encoding != b"identity" or transfer != b"chunked":
        raise Refused(415, "UnsupportedEncoding", "Bodies are taken as they are; send this one without compression.")
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limits.body_bytes:
        raise _too_large(limits)


def checked_size(body: bytes, limits: Limits) -> bytes:
    """The body; raises Refused when it is too large (413)."""
    if len(body) > limits.body_bytes:
        raise _too_large(limits)
    return body


async def read_body(receive: Receive, limits: Limits) -> bytes:
    """The whole body; raises Refused when it is too large (413) or arrives too slowly (408)."""
    await in_task()
    chunks: list[bytes] = []
    size = 0
    patience = _Patience(limits.receive_seconds)
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "Disconnected", "The caller went away before the request was whole.")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limits.body_bytes:
                raise _too_large(limits)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except asyncio.CancelledError as error:
        if not patience.is_over():
            raise
        raise Refused(
            408, "RequestTimeout", f"The request did not arrive within {limits.receive_seconds:g} s; send it faster."
        ) from error
    finally:
        patience.end()


class _Patience:
    """Cancels the present task after some seconds: what `asyncio.timeout` does, at a third of its cost."""

    __slots__ = ("_handle", "_over", "_task")

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.current_task()
        self._over = False
        self._handle = asyncio.get_running_loop().call_later(seconds, self._cancel)

    def _cancel(self) -> None:
        self._over = True
        assert self._task is not None
        self._task.cancel()

    def is_over(self) -> bool:
        """Whether it was this that cancelled the task, and nobody else."""
        assert self._task is not None
        return self._over and self._task.uncancel() == 0

    def end(self) -> None:
        """The work was done in time."""
        self._handle.cancel()


async def within(work: Awaitable[Result], seconds: float) -> Result:
    """The result of the work; raises Refused with 503 when it takes longer."""
    await in_task()
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise unavailable(f"No answer within {seconds:g} s; try again.") from error


def _too_large(limits: Limits) -> Refused:
    return Refused(413, "TooLarge", f"The body is larger than {limits.body_bytes:,} bytes; ask in smaller parts.")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then what the server says."""
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay
