"""Callers that cost so little that what they measure is the server: HTTP/1.1 on one connection each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import msgspec


@dataclass(frozen=True, slots=True)
class Told:
    """What was answered, and after how many seconds; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


def head(method: str, path: str, headers: Mapping[str, str], length: int = 0) -> bytes:
    """The head of a request whose body has that length."""
    given = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(length), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class Caller:
    """One connection to a server at `http://host:port`; asks one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str | None) -> None:
        self._reader = reader
        self._writer = writer
        self._own = {} if key is None else {"authorization": f"Bearer {key}"}

    @classmethod
    async def open(cls, url: str, key: str | None = None) -> Self:
        """Connect; each request brings the key."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)), key)

    async def get(self, path: str) -> Told:
        """The answer to a GET."""
        return await self.send(head("GET", path, self._own))

    async def features(self, **question: object) -> Told:
        """The answer of POST /v1/features."""
        body = msgspec.json.encode(question)
        return await self.send(head("POST", "/v1/features", self._own, len(body)) + body)

    async def send(self, request: bytes) -> Told:
        """The answer to a request as it stands on the wire."""
        began = time.perf_counter()
        self._writer.write(request)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Told(int(lines[0].split()[1]), headers, body, time.perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
