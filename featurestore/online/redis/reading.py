"""Reading: the catalog and all records of a request in one round trip, of one instant.

Where a namespace's records lie is remembered from the last read. A read asks for the catalog's entries and, at the
place remembered, for the records; when the entry is another by now, or a bucket does not answer for its epoch, the
read begins again. An epoch's records never change, so all buckets together answer as at the instant of the catalog.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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

    @property
    def meta(self) -> bytes | None:
        """The namespace's metadata."""
        return None if self.entry is None else self.entry.meta


_UNSEEN = Known(b"", None)  # what a namespace is known as before it is read; an entry is never empty


class _Question(NamedTuple):
    """What is asked of one bucket: the fields of the keys at some places of a request's keys."""

    bucket: Bucket
    fields: Sequence[bytes]
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
        asked: list[Command] = [self._catalog_command([namespace for namespace, _ in requests])]
        questions: list[Sequence[_Question]] = []  # of each request
        fields: list[bytes] = []
        fields_of: Sequence[bytes] | None = None
        for (_, keys), last in zip(requests, known, strict=True):
            if keys is not fields_of:  # views of one entity are asked for the same keys
                fields, fields_of = [RECORD + key for key in keys], keys
            of_request = _questions(keys, fields, last.buckets) if keys else ()
            questions.append(of_request)
            for bucket, some, _ in of_request:
                asked.append((bucket.slot, pack("HMGET", bucket.key, HEAD, *some)))
        raws, *replies = self.checked(self._servers.exchange(asked, again=True))
        if raws != [last.raw for last in known]:
            known = self._renewed(requests, known, raws)
        found = iter(replies)
        answers: list[Answer] = []
        for (_, keys), now, of_request in zip(requests, known, questions, strict=True):
            records: list[bytes | None] | None = None
            for question in of_request:
                values = next(found)
                if values[0] not in now.heads:
                    values = self._settled(question, values, now)
                if question.places is None:
                    records = values[1:]
                    continue
                records = records or [None] * len(keys)
                for place, record in zip(question.places, values[1:], strict=True):
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


def _questions(keys: Sequence[bytes], fields: Sequence[bytes], buckets: tuple[Bucket, ...]) -> Sequence[_Question]:
    """What to ask of each bucket that may hold one of the keys."""
    if len(buckets) == 1:
        return (_Question(buckets[0], fields, None),)
    if not buckets:
        return ()
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(bucket_index(key, len(buckets)), []).append(place)
    return [_Question(buckets[index], [fields[place] for place in there], there) for index, there in places.items()]


def _head(values: Sequence[bytes | None]) -> Head:
    if values[0] is None:
        raise _AgainError
    return Head.unpack(values[0])
