"""Asks an HTTP server on this machine over raw sockets, and says how long it took.

Only the standard library, and as little of it as can be: what the client costs is part of what it measures.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_LENGTH = b"content-length: "
_END = b"\r\n\r\n"
_READY_SECONDS = 60
_BUFFER = bytearray(1 << 20)  # of one answer, used again and again: new memory for each costs more than to read it
_ROOM = memoryview(_BUFFER)


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests are timed, after how many to warm up, and how long many connections ask at once."""

    requests: int
    warm_up: int
    connections: int
    seconds: float


@contextlib.contextmanager
def running(command: Sequence[str], port: int, path: str) -> Iterator[None]:
    """The server that a command starts, from its first answer to its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _READY_SECONDS
        while not _answers(port, path):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{' '.join(command)} does not answer at port {port}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def post(path: str, body: bytes) -> bytes:
    """The bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + _END + body


def answer(port: int, message: bytes) -> bytes:
    """The body that answers one request."""
    with _connected(port) as connection:
        connection.sendall(message)
        return bytes(_read(connection))


def latencies(port: int, request: Callable[[int], bytes], load: Load) -> dict[str, float]:
    """Percentiles in microseconds of one request after the other on one connection."""
    taken = []
    clock = time.perf_counter_ns
    with _connected(port) as connection:
        for number in range(load.warm_up + load.requests):
            message = request(number)
            began = clock()
            connection.sendall(message)
            _read(connection)
            taken.append(clock() - began)
    taken = sorted(taken[load.warm_up :])
    return {"p50_us": taken[len(taken) // 2] / 1000, "p99_us": taken[len(taken) * 99 // 100] / 1000}


def throughput(port: int, request: Callable[[int], bytes], load: Load) -> dict[str, float]:
    """Answers a second, and the 99th percentile in milliseconds, of many connections that each ask without a pause."""
    clock = time.perf_counter
    taken: list[float] = []
    began: dict[socket.socket, float] = {}
    number = 0
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        for _ in range(load.connections):
            connection = opened.enter_context(_connected(port))
            selector.register(connection, selectors.EVENT_READ)
            began[connection] = clock()
            connection.sendall(request(number))
            number += 1
        start = clock()
        until = start + load.seconds
        while (now := clock()) < until:
            for key, _ in selector.select():
                answered = key.fileobj
                assert isinstance(answered, socket.socket)
                _read(answered)
                now = clock()
                taken.append(now - began[answered])
                began[answered] = now
                answered.sendall(request(number))
                number += 1
    taken = sorted(taken[len(taken) // 10 :])
    return {"rate": number / (now - start), "rate_p99_ms": taken[len(taken) * 99 // 100] * 1000}


def _read(connection: socket.socket) -> memoryview:
    """The body of one answer, until the next one is read; stops the program when it is not 200."""
    size = _received(connection, 0)
    head = _BUFFER.find(_END, 0, size)
    while head < 0:
        size += _received(connection, size)
        head = _BUFFER.find(_END, 0, size)
    if not _BUFFER.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"The server answered {bytes(_ROOM[: min(size, 500)])!r}")
    at = _BUFFER[:head].lower().find(_LENGTH) + len(_LENGTH)
    whole = head + len(_END) + int(_BUFFER[at : _BUFFER.find(b"\r", at)])
    while size < whole:
        size += _received(connection, size)
    return _ROOM[head + len(_END) : whole]


def _received(connection: socket.socket, size: int) -> int:
    """How many more bytes came; stops the program when there are none, or no room for them."""
    more = connection.recv_into(_ROOM[size:])
    if not more:
        raise SystemExit(f"An answer ends after {size:,} bytes of at most {len(_BUFFER):,}")
    return more


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _answers(port: int, path: str) -> bool:
    try:
        with _connected(port) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            return connection.recv(12).startswith(b"HTTP/1.1 ")
    except OSError:
        return False
