"""Publishing: what a write or a replace does, step by step (docs/adr/0004).

A small write to a single server is one script. Any other write stages its changes in overlays beside the buckets,
switches the catalog to its epoch, and merges the overlays; a replace fills a new generation, switches, and removes the
old one. Nothing before the switch is visible, and what a crash leaves the next publisher finds and removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

from featurestore.errors import OnlineStoreError
from featurestore.online.base import STAMP_SIZE, WriteCount
from featurestore.online.redis.connection import Argument, pack
from featurestore.online.redis.forgotten import forgotten_keys
from featurestore.online.redis.layout import (
    DELETED,
    GENERATION_DIGITS,
    HEAD,
    RECORD,
    Bucket,
    Entry,
    Head,
    bucket_index,
    new_generation,
    slot_of,
)
from featurestore.online.redis.leases import LEASE_S, Lease, lease
from featurestore.online.redis.loading import Loader
from featurestore.online.redis.merging import merge
from featurestore.online.redis.reading import ATTEMPTS, Reader
from featurestore.online.redis.scripts import BUSY, DISCARD, MOVED, ORPHANS, UNSETTLED, WRITE, Call, run
from featurestore.online.redis.servers import Command, Servers
from featurestore.online.redis.staging import stage

Items = Sequence[tuple[bytes, bytes | None]]

_AT_ONCE = 1_000  # items of a write that is one script
_AT_ONCE_BYTES = 1 << 20
_REMOVED_AT_ONCE = 1_000
_LONGEST_WAIT_S = 0.05


class Publisher:
    """Publishes to the servers; safe for threads. `buckets` is how many a new generation gets."""

    def __init__(self, servers: Servers, reader: Reader, buckets: int, lease_s: float = LEASE_S) -> None:
        self._servers = servers
        self._reader = reader
        self._buckets = buckets
        self._lease_s = lease_s
        self._layout = reader.layout

    def write(self, namespace: str, items: Items, meta: bytes | None, *, compare: bool) -> WriteCount:
        """As OnlineStore, with checked items."""
        size = sum(len(key) + len(record or b"") for key, record in items)
        if self._buckets == 1 and len(items) <= _AT_ONCE and size <= _AT_ONCE_BYTES:
            return self._write_at_once(namespace, items, meta, compare=compare)
        return self._write_in_steps(namespace, items, meta, compare=compare)

    def replace(self, namespace: str, items: Iterable[tuple[bytes, bytes]], meta: bytes) -> int:
        """As OnlineStore."""
        with self._lease(namespace) as held, held.renewing():
            self.sweep(namespace)
            total = self._published_anew(held, items, meta)
        self._remove_old(held.entry)
        return total

    def drop(self, namespace: str) -> None:
        """As OnlineStore."""
        if self._reader.entry(namespace) is None:
            return
        with self._lease(namespace) as held:
            held.switch(None)
        self._remove_old(held.entry)

    def settle(self, namespace: str) -> Entry | None:
        """Merge what is published in overlays into the buckets, and return the namespace's entry."""
        entry = self._reader.entry(namespace)
        if entry is not None:
            buckets = self._layout.buckets(entry.generation, entry.buckets)
            merge(self._servers, self._reader, buckets, entry.epoch)
        return entry

    def count(self, namespace: str) -> int:
        """As OnlineStore; looks at every bucket."""
        for _ in range(ATTEMPTS):
            entry = self.settle(namespace)
            if entry is None:
                return 0
            buckets = self._layout.buckets(entry.generation, entry.buckets)
            commands = [(bucket.slot, pack("HGET", bucket.key, HEAD)) for bucket in buckets]
            commands += [(bucket.slot, pack("HLEN", bucket.key)) for bucket in buckets]
            replies = self._reader.checked(self._servers.exchange(commands, again=True))
            heads, fields = replies[: len(buckets)], replies[len(buckets) :]
            if all(raw is not None and Head.unpack(raw).is_settled_at(entry.epoch) for raw in heads):
                total: int = sum(fields) - len(buckets)
                return total
        raise self._reader.lost([namespace])

    def sweep(self, namespace: str = "") -> int:
        """Remove the generations that no namespace has and nobody is making; of one namespace when it is named.

        Without a name also what nothing mentions any more. Returns about how many bytes they took, 0 where the server
        does not tell.
        """
        keys = (self._layout.catalog, self._layout.publishing, self._layout.generations)
        [found] = self._reader.checked(run(self._servers, [Call(self._layout.slot, ORPHANS, keys, (namespace,))]))
        freed = 0
        for raw in found:
            generation, count = raw[:GENERATION_DIGITS], int(raw[GENERATION_DIGITS : GENERATION_DIGITS + 5])
            keys_of = [(b.slot, key) for b in self._layout.buckets(generation, count) for key in (b.key, b.overlay)]
            freed += self._size(keys_of)
            self._remove(generation, count)
        if not namespace:
            forgotten = [(slot_of(key), key) for key in forgotten_keys(self._servers, self._reader)]
            for first in range(0, len(forgotten), _REMOVED_AT_ONCE):
                part = forgotten[first : first + _REMOVED_AT_ONCE]
                freed += self._size(part)
                self._exchange([(slot, pack("UNLINK", key)) for slot, key in part])
        return freed

    def _size(self, keys: Sequence[tuple[int, bytes]]) -> int:
        """About how many bytes some keys take, given with their slots."""
        sizes = self._servers.exchange([(slot, pack("MEMORY", "USAGE", key)) for slot, key in keys], again=True)
        return sum(size for size in sizes if isinstance(size, int))

    def _lease(self, namespace: str) -> AbstractContextManager[Lease]:
        return lease(self._servers, self._reader, namespace, self._lease_s)

    # the whole namespace

    def _published_anew(self, held: Lease, items: Iterable[tuple[bytes, bytes]], meta: bytes | None) -> int:
        """Fill a new generation and switch to it; the number of records, counted before the switch."""
        generation = new_generation()
        made_by = b"%05d%b%b" % (self._buckets, held.token, held.namespace.encode())
        self._exchange([(self._layout.slot, pack("HSET", self._layout.generations, generation, made_by))])
        try:
            buckets = self._layout.buckets(generation, self._buckets)
            total = Loader(self._servers, self._reader, held.namespace, buckets).load(items, held.epoch)
            held.switch(Entry(generation, held.epoch, self._buckets, meta))
        except BaseException:
            with suppress(OnlineStoreError):
                self._remove_unless_live(held.namespace, generation)
            raise
        return total

    def _remove_unless_live(self, namespace: str, generation: bytes) -> None:
        """Remove a generation whose publish failed; it may have been published when only the answer was lost."""
        entry = self._reader.entry(namespace)
        if entry is None or entry.generation != generation:
            self._remove(generation, self._buckets)

    def _remove_old(self, entry: Entry | None) -> None:
        if entry is not None:
            with suppress(OnlineStoreError):  # the new one is published; the next publish, or a sweep, removes the old
                self._remove(entry.generation, entry.buckets)

    def _remove(self, generation: bytes, count: int) -> None:
        """Remove a generation's keys, then its mention; the server frees the memory in the background."""
        buckets = self._layout.buckets(generation, count)
        for first in range(0, count, _REMOVED_AT_ONCE):
            part = buckets[first : first + _REMOVED_AT_ONCE]
            commands = [(bucket.slot, pack("UNLINK", bucket.key, bucket.overlay)) for bucket in part]
            self._exchange(commands)
        self._exchange([(self._layout.slot, pack("HDEL", self._layout.generations, generation))])

    def _exchange(self, commands: Sequence[Command]) -> None:
        self._reader.checked(self._servers.exchange(commands))

    # some keys

    def _write_at_once(self, namespace: str, items: Items, meta: bytes | None, *, compare: bool) -> WriteCount:
        flag, given = (b"-", b"") if meta is None else (b"m", meta)
        pairs = [part for key, record in items for part in (RECORD + key, DELETED if record is None else record)]
        entry = self._reader.known_entry(namespace) or self._reader.entry(namespace)
        wait = 0.001
        while entry is not None:
            [bucket] = self._layout.buckets(entry.generation, 1)
            keys = (self._layout.catalog, self._layout.publishing, bucket.key)
            arguments: list[Argument] = [namespace, entry.generation, int(compare), flag, given, *pairs]
            [reply] = self._reader.checked(run(self._servers, [Call(bucket.slot, WRITE, keys, arguments)]))
            if reply[0] == 1:
                return WriteCount(*reply[1:])
            if reply[0] == BUSY:
                time.sleep(min(wait, reply[1] / 1e6))
                wait = min(2 * wait, _LONGEST_WAIT_S)
            elif reply[0] == MOVED:
                entry = self._reader.entry(namespace)
            elif reply[0] == UNSETTLED:
                self.settle(namespace)
            else:
                raise self._reader.lost([namespace])
        return self._write_in_steps(namespace, items, meta, compare=compare)

    def _write_in_steps(self, namespace: str, items: Items, meta: bytes | None, *, compare: bool) -> WriteCount:
        with self._lease(namespace) as held:
            entry = held.entry
            if entry is None:
                self.sweep(namespace)
                records, count = _as_a_whole(items, compare=compare)
                self._published_anew(held, records.items(), meta)
                return count
            buckets = self._layout.buckets(entry.generation, entry.buckets)
            lanes: dict[Bucket, list[Argument]] = {bucket: [] for bucket in buckets}
            for key, record in items:
                lane = lanes[buckets[bucket_index(key, len(buckets))]]
                lane += (RECORD + key, DELETED if record is None else record)
            try:
                count = stage(self._servers, self._reader, held, lanes, compare=compare)
            except BaseException:
                calls = [Call(bucket.slot, DISCARD, (bucket.overlay,), (held.epoch,)) for bucket in buckets]
                with suppress(OnlineStoreError):
                    run(self._servers, calls)
                raise
            new = replace(entry, epoch=held.epoch, meta=entry.meta if meta is None else meta)
            held.switch(new)
        self._merge_published([bucket for bucket, lane in lanes.items() if lane], new.epoch)
        return count

    def _merge_published(self, buckets: Sequence[Bucket], epoch: bytes) -> None:
        with suppress(OnlineStoreError):  # it is published; readers look into overlays, and the next write merges them
            merge(self._servers, self._reader, buckets, epoch)


def _as_a_whole(items: Items, *, compare: bool) -> tuple[dict[bytes, bytes], WriteCount]:
    """What the items leave in an empty namespace."""
    records: dict[bytes, bytes] = {}
    written = skipped = deleted = 0
    for key, record in items:
        stored = records.get(key)
        if record is None:
            deleted += records.pop(key, None) is not None
        elif compare and stored is not None and record[:STAMP_SIZE] < stored[:STAMP_SIZE]:
            skipped += 1
        else:
            records[key] = record
            written += 1
    return records, WriteCount(written, skipped, deleted)
