"""uvicorn's protocol as we have it, without a socket."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any, cast

from uvicorn import Config
from uvicorn.server import ServerState

from serving.app import create_app
from serving.protocol import Protocol
from tests.serving.servers import shop

BODY = b'{"features":["last:items"],"entities":[{"customer":"a"}]}'
ASK = b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Transport:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """It stays open."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return None if name == "socket" else default


def test_an_answered_request_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    left: list[int] = []

    def asked(protocol: Protocol) -> None:
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                protocol.data_received(ASK)
            left.append(gc.collect())
        finally:
            gc.enable()

    async def written() -> list[bytes]:
        config = Config(create_app(store), proxy_headers=False, access_log=False, ws="none")
        config.load()
        loop = asyncio.get_running_loop()
        protocol = Protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        transport = Transport()
        protocol.connection_made(cast("Any", transport))
        loop.call_soon(protocol.data_received, ASK)
        while not transport.written:
            await asyncio.sleep(0.01)
        loop.call_soon(asked, protocol)
        while not left:
            await asyncio.sleep(0.01)
        protocol.connection_lost(None)
        return transport.written

    with shop(tmp_path) as store:
        assert [answer[:15] for answer in asyncio.run(written())] == [b"HTTP/1.1 200 OK"] * 51
    assert left[0] < 50
