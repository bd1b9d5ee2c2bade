"""HTTP/1.1 with a deadline for what uvicorn has none for: that a request's head arrives.

A connection that sends nothing, or its head byte by byte, is closed; the body has its own deadline in the gate.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_BODY = b'{"error":{"type":"RequestTimeout","message":"The request did not arrive in time; send it faster."}}'
_HEAD = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
_TIMEOUT = b"%scontent-length: %d\r\n\r\n%s" % (_HEAD, len(_BODY), _BODY)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol; a head that is not whole `receive_seconds` after its beginning ends the connection."""

    receive_seconds: ClassVar[float] = 5.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The connection is open: the first head is awaited."""
        super().connection_made(transport)
        self._in_head = True
        self._awaited: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a head that they do not complete is awaited from now on."""
        super().data_received(data)
        if self._in_head and self._awaited is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._awaited = self.loop.call_later(self.receive_seconds, self._expire)

    def _stop_waiting(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _expire(self) -> None:
        self._awaited = None
        if not self.transport.is_closing():
            self.transport.write(_TIMEOUT)
            self.transport.close()
