"""Keys that nothing mentions: a server that was flushed, or fell back, may have lost the catalog and kept the records.

Whoever makes a generation mentions it first. So keys that were found before the mentions were read, and are of a
generation that is not mentioned, belong to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.online.redis.connection import Reply, Server, pack
from featurestore.online.redis.layout import Entry, Layout
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.servers import Servers

_AT_ONCE = 1_000


def forgotten_keys(servers: Servers, reader: Reader) -> list[bytes]:
    """The keys of generations that nothing mentions."""
    layout = reader.layout
    found = {key: of for server in servers.all() for key, of in _kept(servers, reader, server)}
    commands = [(layout.slot, pack("HKEYS", layout.generations)), (layout.slot, pack("HVALS", layout.catalog))]
    made, published = reader.checked(servers.exchange(commands, again=True))
    mentioned = {*made, *(Entry.unpack(raw).generation for raw in published)}
    return [key for key, generation in found.items() if generation not in mentioned]


def _kept(servers: Servers, reader: Reader, server: Server) -> Iterator[tuple[bytes, bytes]]:
    """One server's keys that are buckets or overlays, each with its generation."""
    layout: Layout = reader.layout
    cursor: Reply = b"0"
    while True:
        scan = pack("SCAN", cursor, "MATCH", layout.pattern, "COUNT", _AT_ONCE)
        [(cursor, keys)] = reader.checked(servers.exchange_with(server, [scan]))
        for key in keys:
            generation = layout.generation_of(key)
            if generation is not None:
                yield key, generation
        if cursor == b"0":
            return
