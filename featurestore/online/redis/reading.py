"""Reading: the catalog and all records of a request in one round trip, of one instant.

Where a namespace's records lie is remembered from the last read. A read asks for the catalog's entries and, at the
place remembered, for the records; when the entry is another by now, or a bucket does not answer for its epoch, the
read begins again. An epoch's records never change, so all buckets together answer as at the instant of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import hiredis

from featurestore.errors import RecordsLostError
from featurestore.online.base import Answer
from featurestore.online.redis.connection import Reply, pack, pack_more
from featurestore.online.redis.failures import refused
from featurestore.online.redis.layout import ASKED_FIRST, HEAD, RECORD, Bucket, Entry, Head, Layout, bucket_index
from featurestore.online.redis.servers import Command, Servers

ATTEMPTS = 12
_PATIENT_ATTEMPTS = 3
_PAUSE_S = 0.0005  # doubled each time, so a second in all

Requests = Sequence[tuple[str, Sequence[bytes]]]
_Share: TypeAlias = tuple[Bucket, Sequence[int] | None]  # the places of the keys to ask it for; None: all, in order


@dataclass(frozen=True, slots=True)
class Known:
    """A namespace as it was found last; `heads` are those that its buckets had and that answer for its epoch."""

    raw: bytes | None
    entry: Entry | None
    buckets: tuple[Bucket, ...] = ()
    heads: set[bytes] = field(default_factory=set)
    meta: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meta", None if self.entry is None else self.entry.meta)


_UNSEEN = Known(b"", None)  # what a namespace is known as before it is read; an entry is never empty


class _AgainError(Exception):
    """The read met a publish; it has to begin again."""


class Reader:
    """Answers reads from the servers; safe for threads."""

    def __init__(self, servers: Servers, layout: Layout, where: object) -> None:
        self._servers = servers
        self.layout = layout
        self.where = where
        self._known: dict[str, Known] = {}
        self._catalog: tuple[list[str], Command] | None = None  # what was asked of it last

    def read(self, requests: Requests) -> list[Answer]:
        """As OnlineStore."""
        if not requests:
            return []
        for attempt in range(ATTEMPTS):
            if attempt > _PATIENT_ATTEMPTS:
                time.sleep(_PAUSE_S * 2**attempt / 4)
            try:
                return self._attempt(requests)
            except _AgainError:
                continue
        raise self.lost([namespace for namespace, _ in requests])

    def entry(self, namespace: str) -> Entry | None:
        """What the catalog says now."""
        command = (self.layout.slot, pack("HMGET", self.layout.catalog, namespace))
        [raws] = self.checked(self._servers.exchange([command], again=True))
        return self._remembered(namespace, raws[0]).entry

    def known_entry(self, namespace: str) -> Entry | None:
        """What the catalog said when it was looked at last."""
        known = self._known.get(namespace)
        return None if known is None else known.entry

    def lost(self, namespaces: Sequence[str]) -> RecordsLostError:
        """The error for buckets that do not hold what was published."""
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(namespaces))
        return RecordsLostError(
            f"The online store at {self.where} has lost records of {names}: it was flushed in part, evicted keys, or "
            "failed over to a server that was behind. Run `featurestore online rebuild`."
        )

    def checked(self, replies: list[Reply]) -> list[Reply]:
        """The replies, none of which is an error."""
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise refused(self.where, reply)
        return replies

    def _attempt(self, requests: Requests) -> list[Answer]:
        known = [self._known.get(namespace, _UNSEEN) for namespace, _ in requests]
        asked = [self._catalog_command([namespace for namespace, _ in requests])]
        shares: list[Sequence[_Share]] = []  # of each request
        packed, packed_keys = b"", None
        for (_, keys), last in zip(requests, known, strict=True):
            of_request = _shares(keys, last.buckets) if keys else ()
            shares.append(of_request)
            for bucket, places in of_request:
                some = keys if places is None else [keys[place] for place in places]
                if some is not packed_keys:  # views of one entity are asked for the same keys
                    packed, packed_keys = pack_more([RECORD + key for key in some]), some
                asked.append((bucket.slot, b"*%d\r\n%b%b" % (len(some) + ASKED_FIRST, bucket.asking, packed)))
        raws, *replies = self.checked(self._servers.exchange(asked, again=True))
        if raws != [last.raw for last in known]:
            known = self._renewed(requests, known, raws)
        found = iter(replies)
        answers: list[Answer] = []
        for (_, keys), now, of_request in zip(requests, known, shares, strict=True):
            records: list[bytes | None] | None = None
            for share in of_request:
                values = next(found)
                if values[0] not in now.heads:
                    values = self._settled(keys, share, values, now)
                if share[1] is None:
                    records = values[1:]
                    continue
                records = records or [None] * len(keys)
                for place, record in zip(share[1], values[1:], strict=True):
                    records[place] = record
            answers.append((now.meta, [None] * len(keys) if records is None else records))
        return answers

    def _catalog_command(self, namespaces: list[str]) -> Command:
        """What asks the catalog for the namespaces' entries; packed again when they are not those of the last read."""
        last = self._catalog
        if last is None or last[0] != namespaces:
            packed = pack("HMGET", self.layout.catalog, *namespaces)
            last = self._catalog = (namespaces, (self.layout.slot, packed))
        return last[1]

    def _settled(
        self, keys: Sequence[bytes], share: _Share, values: list[bytes | None], now: Known
    ) -> list[bytes | None]:
        """The head and the records that a bucket has at the epoch, with those of its overlay."""
        assert now.entry is not None
        epoch = now.entry.epoch
        head = _head(values)
        if head.overlaid == epoch:
            bucket, places = share
            fields = [RECORD + key for key in (keys if places is None else [keys[place] for place in places])]
            commands = [
                (bucket.slot, pack("HMGET", bucket.overlay, *fields)),  # first: a merge moves from here ...
                (bucket.slot, pack("HMGET", bucket.key, HEAD, *fields)),  # ... to there
            ]
            overlay, values = self.checked(self._servers.exchange(commands, again=True))
            head = _head(values)
            if head.overlaid == epoch:
                both = zip(overlay, values[1:], strict=True)
                records = [stored if changed is None else changed or None for changed, stored in both]
                return [values[0], *records]
        if not head.is_settled_at(epoch):
            raise _AgainError
        now.heads.add(head.pack())
        return values

    def _renewed(self, requests: Requests, known: Sequence[Known], raws: Sequence[bytes | None]) -> list[Known]:
        """What the catalog says now, all of it remembered; begins again when records were looked for elsewhere."""
        renewed = [
            last if last.raw == raw else self._remembered(namespace, raw)
            for (namespace, _), last, raw in zip(requests, known, raws, strict=True)
        ]
        looked_for = zip(requests, known, renewed, strict=True)
        if any(keys and last.buckets != now.buckets for (_, keys), last, now in looked_for):
            raise _AgainError
        return renewed

    def _remembered(self, namespace: str, raw: bytes | None) -> Known:
        before = self._known.get(namespace)
        entry = None if raw is None else Entry.unpack(raw)
        if entry is None:
            known = Known(None, None)
        elif before is not None and before.entry is not None and before.entry.generation == entry.generation:
            known = Known(raw, entry, before.buckets)
        else:
            known = Known(raw, entry, self.layout.buckets(entry.generation, entry.buckets))
        self._known[namespace] = known
        return known


def _shares(keys: Sequence[bytes], buckets: tuple[Bucket, ...]) -> Sequence[_Share]:
    """The buckets that may hold one of the keys."""
    if len(buckets) == 1:
        return ((buckets[0], None),)
    places: dict[int, list[int]] = {}
    if buckets:
        for place, key in enumerate(keys):
            places.setdefault(bucket_index(key, len(buckets)), []).append(place)
    return [(buckets[index], there) for index, there in places.items()]


def _head(values: Sequence[bytes | None]) -> Head:
    if values[0] is None:
        raise _AgainError
    return Head.unpack(values[0])
