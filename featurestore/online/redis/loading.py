"""Filling a new generation: records stream into its buckets, and every reply is checked.

Each server gets the next command while it works on those before; what waits for a reply is bounded, so memory is flat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import hiredis

from featurestore.errors import OnlineStoreError
from featurestore.online.base import check_stamp, duplicate_key
from featurestore.online.redis.connection import Connection, Reply, Server, pack
from featurestore.online.redis.failures import Unreachable, lost
from featurestore.online.redis.layout import RECORD, Bucket, bucket_index
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.scripts import SEAL, Call, run
from featurestore.online.redis.servers import Servers

_COMMAND_BYTES = 64 << 10
_WAITING_BYTES = 16 << 20  # of all buckets that are not full enough for a command
_UNCHECKED = 8  # commands per server
_PATIENCE_S = 30.0


@dataclass(slots=True)
class _Filling:
    """A bucket and what waits to be sent to it."""

    bucket: Bucket
    parts: list[bytes] = field(default_factory=list)  # field, record, field, record ...
    size: int = 0
    total: int = 0


@dataclass(slots=True)
class _Line:
    """A connection, and the commands sent on it whose replies are not checked yet, with the fields each adds."""

    connection: Connection
    unchecked: deque[tuple[int, bytes, int]] = field(default_factory=deque)


class Loader:
    """Loads the buckets of a generation of one namespace."""

    def __init__(self, servers: Servers, reader: Reader, namespace: str, buckets: tuple[Bucket, ...]) -> None:
        self._servers = servers
        self._reader = reader
        self._namespace = namespace
        self._fillings = [_Filling(bucket) for bucket in buckets]
        self._lines: dict[Server, _Line] = {}

    def load(self, items: Iterable[tuple[bytes, bytes]], epoch: bytes) -> int:
        """Store the items and give each bucket its head; the number of records, as counted in the store."""
        try:
            self._fill(items)
            for filling in self._fillings:
                self._send(filling)
            for line in self._lines.values():
                while line.unchecked:
                    self._check(line)
        except Unreachable as error:
            raise lost(self._reader.where, error) from error
        finally:
            for line in self._lines.values():
                line.connection.close()
        return self._sealed(epoch)

    def _fill(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        fillings = self._fillings
        count = len(fillings)
        longest = max(min(_COMMAND_BYTES, _WAITING_BYTES // count), 1)
        filling = fillings[0]
        for key, record in items:
            check_stamp(key, record)
            if count > 1:
                filling = fillings[bucket_index(key, count)]
            filling.parts += (RECORD + key, record)
            filling.size += len(key) + len(record)
            if filling.size >= longest:
                self._send(filling)

    def _send(self, filling: _Filling) -> None:
        if not filling.parts:
            return
        slot = filling.bucket.slot
        packed = pack("HSET", filling.bucket.key, *filling.parts)
        line = self._line(self._servers.server(slot))
        if len(line.unchecked) >= _UNCHECKED:
            self._check(line)
        line.connection.send(packed)
        fields = len(filling.parts) // 2
        line.unchecked.append((slot, packed, fields))
        filling.total += fields
        filling.parts, filling.size = [], 0

    def _line(self, server: Server) -> _Line:
        line = self._lines.get(server)
        if line is None:
            connection, _ = server.connection(checked=True)
            connection.wait_at_most(_PATIENCE_S)
            line = self._lines[server] = _Line(connection)
        return line

    def _check(self, line: _Line) -> None:
        """Check the oldest reply of a line: as many new fields as were sent."""
        slot, packed, fields = line.unchecked.popleft()
        [reply] = line.connection.receive(1)
        if _is_for_another_server(reply):
            [reply] = self._servers.exchange([(slot, packed)])
        [added] = self._reader.checked([reply])
        if added != fields:
            raise duplicate_key(self._namespace)

    def _sealed(self, epoch: bytes) -> int:
        calls = [
            Call(filling.bucket.slot, SEAL, (filling.bucket.key,), (epoch, filling.total)) for filling in self._fillings
        ]
        found = self._reader.checked(run(self._servers, calls))
        total, stored = sum(filling.total for filling in self._fillings), sum(found)
        if any(fields != filling.total for fields, filling in zip(found, self._fillings, strict=True)):
            raise OnlineStoreError(
                f"Of {total} records for '{self._namespace}' {stored} were stored; the old ones stay live."
            )
        return stored


def _is_for_another_server(reply: Reply) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(("MOVED", "ASK", "TRYAGAIN"))
