"""Callers that send or read slowly, or without end: each is hung up on, and none holds up the others."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import msgspec
import pytest

from tests.serving.callers import Caller, head
from tests.serving.servers import Running, running, shop

RECEIVE_SECONDS = 1.0
SLACK_SECONDS = 2.0  # a machine may be busy
SLOW = 100  # of each kind
QUESTION = {"features": ["last:items"], "entities": [{"customer": name} for name in "abcdefghij"]}
FEATURES = b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\n"
CHUNKED = FEATURES + b"transfer-encoding: chunked\r\n\r\n"
A_HEAD = FEATURES + b"x-slow: "
A_BODY = FEATURES + b'content-length: 1000\r\n\r\n{"entities":'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("shop")
    shop(root).close()
    with running(root, FEATURESTORE_SERVING__RECEIVE_SECONDS=str(RECEIVE_SECONDS)) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Ended:
    """What a server said until it hung up, and after how many seconds it did."""

    said: bytes
    seconds: float


def dripped(server: Running, begin: bytes, drop: bytes) -> Ended:
    """What comes of a request that goes on forever, a drop at a time."""
    host, port = server.url.removeprefix("http://").split(":")
    said, began = b"", time.monotonic()
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(0.1)
        try:
            connection.sendall(begin)
            while time.monotonic() - began < 10 * RECEIVE_SECONDS:
                try:
                    received = connection.recv(65_536)
                    if not received:
                        return Ended(said, time.monotonic() - began)
                    said += received
                except TimeoutError:
                    connection.sendall(drop)
        except ConnectionError:
            return Ended(said, time.monotonic() - began)
    raise AssertionError(f"The connection is open still: {said!r}")


@pytest.mark.parametrize(
    ("begin", "drop", "status"),
    [
        pytest.param(b"", b"", 408, id="no word"),
        pytest.param(A_HEAD, b"x", 408, id="head"),
        pytest.param(A_BODY, b" ", 408, id="body"),
        pytest.param(CHUNKED, b"1\r\n \r\n", 408, id="chunks"),
        pytest.param(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n", b" ", 404, id="no such path"),
        pytest.param(FEATURES + b"content-length: 2000000\r\n\r\n", b" " * 1000, 413, id="large body"),
        pytest.param(A_HEAD + b"x" * 100_000, b"x", 431, id="large head"),
        pytest.param(CHUNKED + b"1\r\n{\r\n0\r\nx-more: " + b"x" * 8_454_200, b"", 413, id="headers after a body"),
        pytest.param(b"\x16\x03\x01 not HTTP", b"", 400, id="no HTTP"),
    ],
)  # fmt: skip
def test_a_request_without_end_is_answered_and_hung_up_on(
    server: Running, begin: bytes, drop: bytes, status: int
) -> None:
    ended = dripped(server, begin, drop)
    assert ended.said.startswith(b"HTTP/1.1 %d " % status)
    assert msgspec.json.decode(ended.said.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert ended.seconds < 2 * RECEIVE_SECONDS + SLACK_SECONDS


def exchanged(server: Running, *parts: bytes) -> list[int]:
    """The statuses of the answers to parts that are sent one after the other."""
    host, port = server.url.removeprefix("http://").split(":")
    said = b""
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(0.3)
        with suppress(ConnectionError):  # it hung up on what is too much
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05)
        with suppress(TimeoutError, ConnectionError):
            while received := connection.recv(65_536):
                said += received
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", said)]


HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"
ALL_BUT_VALUE = len(HEALTH + b"x-long: \r\n\r\n")


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("before", [b"", HEALTH + b"\r\n"], ids=["first", "second"])
@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 431), (70_000, 431), (250_000, 431)])
def test_a_head_has_64_kib_however_it_arrives(
    server: Running, size: int, status: int, before: bytes, parts: int
) -> None:
    request = before + HEALTH + b"x-long: " + b"x" * (size - ALL_BUT_VALUE) + b"\r\n\r\n"
    step = -(-len(request) // parts)
    told = exchanged(server, *(request[at : at + step] for at in range(0, len(request), step)))
    assert told == [200] * bool(before) + [status]


@pytest.mark.parametrize("wrong", [b"\x16\x03\x01 not HTTP\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_came_before_nonsense_is_answered(server: Running, wrong: bytes) -> None:
    for before in range(4):
        assert exchanged(server, (HEALTH + b"\r\n") * before + wrong) == [200] * before + [400]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((CHUNKED + b"zz\r\n",), id="in the first chunk"),
        pytest.param((CHUNKED + b"1\r\n{\r\n", b"zz\r\n"), id="in a later chunk"),
        pytest.param((HEALTH + b"\r\n" + CHUNKED, b"zz\r\n"), id="in a second request"),
    ],
)
def test_a_body_that_is_nonsense_is_answered(server: Running, parts: tuple[bytes, ...]) -> None:
    assert exchanged(server, *parts)[-1:] == [400]


def test_who_asks_for_another_protocol_is_answered_in_this_one(server: Running) -> None:
    """As Java's client asks for HTTP/2 with each first request."""
    body = msgspec.json.encode(QUESTION)
    asking = head("POST", "/v1/features", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}, len(body)) + body
    for at in (len(asking), len(asking) - len(body), len(asking) - 5):
        assert exchanged(server, asking[:at], asking[at:], asking) == [200, 200]


def test_a_reader_that_takes_nothing_of_its_answers_is_hung_up_on(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    body = msgspec.json.encode({**QUESTION, "entities": [{"customer": "a" * 50}] * 1_000})
    request = head("POST", "/v1/features", {}, len(body)) + body
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        connection.settimeout(10)
        with pytest.raises(ConnectionError):
            connection.sendall(request * 500)  # each answer has 80 kB


def test_200_slow_sockets_hold_up_no_healthy_caller(server: Running) -> None:
    async def p99(caller: Caller) -> float:
        return sorted([(await caller.features(**QUESTION)).seconds for _ in range(300)])[-4]

    async def times_slower() -> float:
        """How many times longer healthy callers wait beside slow ones; endless when those went before the end."""
        caller = await Caller.open(server.url)
        alone = await p99(caller)
        slow = [await Caller.open(server.url) for _ in range(2 * SLOW)]
        began = time.monotonic()
        waiting = [asyncio.create_task(one.send(A_HEAD if i % 2 else A_BODY)) for i, one in enumerate(slow)]
        beside = await p99(caller)
        held = time.monotonic() - began < RECEIVE_SECONDS
        assert {(await told).status for told in waiting} == {408}
        for one in (*slow, caller):
            one.close()
        return beside / alone if held else inf

    assert any(asyncio.run(times_slower()) < 2 for _ in range(5))  # a machine that stalls does so now and then
