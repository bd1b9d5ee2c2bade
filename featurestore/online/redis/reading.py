"""Reading: the catalog and all records of a request in one round trip, of one instant.

Where a namespace's records lie is remembered from the last read. A read asks for the catalog's entries and, at the
place remembered, for the records; when the entry is another by now, or a bucket does not answer for its epoch, the
read begins again. An epoch's records never change, so all buckets together answer as at the instant of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import hiredis

from featurestore.errors import RecordsLostError
from featurestore.online.base import Answer
from featurestore.online.redis.connection import Reply, pack
from featurestore.online.redis.failures import refused
from featurestore.online.redis.layout import HEAD, RECORD, Bucket, Entry, Head, Layout, bucket_index
from featurestore.online.redis.servers import Command, Servers

ATTEMPTS = 12
_PATIENT_ATTEMPTS = 3
_PAUSE_S = 0.0005  # doubled each time, so a second in all

Requests = Sequence[tuple[str, Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class Known:
    """A namespace as it was found last; `heads` are those that its buckets had and that answer for its epoch."""

    raw: bytes | None
    entry: Entry | None
    buckets: tuple[Bucket, ...] = ()
    heads: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of one bucket: the keys at some places of a request's keys."""

    request: int
    bucket: Bucket
    fields: list[bytes]
    places: Sequence[int] | None  # None: all keys, in their order


class _AgainError(Exception):
    """The read met a publish; it has to begin again."""


class Reader:
    """Answers reads from the servers; safe for threads."""

    def __init__(self, servers: Servers, layout: Layout, where: object) -> None:
        self._servers = servers
        self.layout = layout
        self.where = where
        self._known: dict[str, Known] = {}

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
        known = [self._known.get(namespace) for namespace, _ in requests]
        questions = [
            question
            for i, (_, keys) in enumerate(requests)
            if keys and (last := known[i]) is not None
            for question in _questions(i, keys, last.buckets)
        ]
        catalog = (self.layout.slot, pack("HMGET", self.layout.catalog, *[name for name, _ in requests]))
        asked: list[Command] = [catalog]
        asked += [(q.bucket.slot, pack("HMGET", q.bucket.key, HEAD, *q.fields)) for q in questions]
        raws, *found_values = self.checked(self._servers.exchange(asked, again=True))
        present = []
        for (namespace, keys), before, raw in zip(requests, known, raws, strict=True):
            now = before if before is not None and before.raw == raw else self._remembered(namespace, raw)
            if keys and (before is None or before.buckets != now.buckets):
                raise _AgainError
            present.append(now)
        answers: list[Answer] = [
            (now.entry.meta if now.entry else None, [None] * len(keys))
            for now, (_, keys) in zip(present, requests, strict=True)
        ]
        for question, found in zip(questions, found_values, strict=True):
            now = present[question.request]
            values = found if found[0] in now.heads else self._settled(question, found, now)
            meta, records = answers[question.request]
            if question.places is None:
                answers[question.request] = (meta, values[1:])
            else:
                for place, record in zip(question.places, values[1:], strict=True):
                    records[place] = record
        return answers

    def _settled(self, question: _Question, values: list[bytes | None], now: Known) -> list[bytes | None]:
        """The head and the records that a bucket has at the epoch, with those of its overlay."""
        assert now.entry is not None
        epoch = now.entry.epoch
        head = _head(values)
        if head.overlaid == epoch:
            bucket = question.bucket
            commands = [
                (bucket.slot, pack("HMGET", bucket.overlay, *question.fields)),  # first: a merge moves from here ...
                (bucket.slot, pack("HMGET", bucket.key, HEAD, *question.fields)),  # ... to there
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


def _questions(request: int, keys: Sequence[bytes], buckets: tuple[Bucket, ...]) -> list[_Question]:
    """What to ask of each bucket that may hold one of the keys."""
    if len(buckets) == 1:
        return [_Question(request, buckets[0], [RECORD + key for key in keys], None)]
    if not buckets:
        return []
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(bucket_index(key, len(buckets)), []).append(place)
    return [
        _Question(request, buckets[index], [RECORD + keys[place] for place in there], there)
        for index, there in places.items()
    ]


def _head(values: Sequence[bytes | None]) -> Head:
    if values[0] is None:
        raise _AgainError
    return Head.unpack(values[0])
