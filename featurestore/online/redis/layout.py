"""How namespaces lie in Redis: names of keys, and the forms of what is kept beside the records.

The records of a namespace are a generation: `buckets` hashes named by the generation's random number, one on a single
server, many on a cluster, each with its own slot. Three hashes in one slot say what the generations are: the catalog
(namespace -> entry), the generations that exist (number -> who made it for which namespace), and who publishes what.

An entry names the generation and the epoch, the number of the last publish. Each bucket has a head: the one or two
epochs whose records it holds, and the epoch whose changes lie in the overlay beside it. A bucket answers for an epoch
only when its head names it; so whatever Redis has forgotten (a flush, an eviction, a failover to a replica that was
behind) is noticed by the read itself, and a reader meets no half of a publish (docs/adr/0004).

All numbers are decimal digits of fixed width, so that scripts and people can read them.
"""

from __future__ import annotations

import binascii
import re
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from featurestore.online.redis.connection import pack_more

HEAD = b"h"  # a bucket's field for its head; its records have fields of RECORD and their key
RECORD = b"k"
DELETED = b""  # in an overlay, in place of a record

ABSENT = b"-" * 16  # in place of an epoch
GENERATION_DIGITS = 16
_SLOTS = 16_384
ASKED_FIRST = 3  # arguments that ask for a bucket's head: HMGET, the key, HEAD
_EPOCH = slice(16, 32)
_BUCKETS = slice(32, 37)
_HAS_META = 37
ENTRY_SIZE = 38  # before the metadata


class Bucket(NamedTuple):
    """One hash of a generation, and the overlay for what a publish is about to change in it."""

    slot: int
    key: bytes
    overlay: bytes
    asking: bytes  # the arguments that ask for its head, packed; fields may follow


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalog says of a namespace."""

    generation: bytes
    epoch: bytes
    buckets: int
    meta: bytes | None

    def pack(self) -> bytes:
        """The entry as it is stored."""
        flag, meta = (b"-", b"") if self.meta is None else (b"m", self.meta)
        return b"%b%b%05d%b%b" % (self.generation, self.epoch, self.buckets, flag, meta)

    @staticmethod
    def unpack(raw: bytes) -> Entry:
        """The entry that was stored."""
        meta = raw[ENTRY_SIZE:] if raw[_HAS_META : _HAS_META + 1] == b"m" else None
        return Entry(raw[:GENERATION_DIGITS], raw[_EPOCH], int(raw[_BUCKETS]), meta)


@dataclass(frozen=True, slots=True)
class Head:
    """Which epochs a bucket answers for: `first` and `second` by its records, `overlaid` with its overlay."""

    first: bytes
    second: bytes = ABSENT
    overlaid: bytes = ABSENT

    def pack(self) -> bytes:
        """The head as it is stored."""
        return self.first + self.second + self.overlaid

    @staticmethod
    def unpack(raw: bytes) -> Head:
        """The head that was stored."""
        return Head(raw[:16], raw[16:32], raw[32:48])

    def is_settled_at(self, epoch: bytes) -> bool:
        """Whether the bucket's own records are those of the epoch, without the overlay."""
        return epoch in (self.first, self.second) and self.overlaid != epoch


class Layout:
    """The names of the keys that begin with a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.pattern = f"{prefix}:{{*"  # of the keys that may be buckets; no character of a prefix is special there
        self._bucket = re.compile(rf"{re.escape(prefix)}:\{{([0-9a-f]{{{GENERATION_DIGITS}}})\.\d+\}}(:next)?".encode())
        self.catalog = f"{{{prefix}}}:catalog".encode()
        self.generations = f"{{{prefix}}}:generations".encode()
        self.publishing = f"{{{prefix}}}:publishing".encode()
        self.slot = slot_of(self.catalog)

    def buckets(self, generation: bytes, count: int) -> tuple[Bucket, ...]:
        """The buckets of a generation."""
        names = [f"{self._prefix}:{{{generation.decode()}.{i}}}".encode() for i in range(count)]
        return tuple(Bucket(slot_of(name), name, name + b":next", pack_more([b"HMGET", name, HEAD])) for name in names)

    def generation_of(self, key: bytes) -> bytes | None:
        """The generation of a key that is a bucket or its overlay; None for any other key."""
        found = self._bucket.fullmatch(key)
        return found and found[1]


def new_generation() -> bytes:
    """A number that no other generation has."""
    return secrets.token_hex(GENERATION_DIGITS // 2).encode()


def bucket_index(key: bytes, buckets: int) -> int:
    """The place of a key's bucket among those of its generation."""
    return binascii.crc32(key) % buckets


def slot_of(key: bytes) -> int:
    """The slot of a key in a cluster: CRC16 of what stands in its first braces (Redis Cluster specification)."""
    start = key.find(b"{") + 1
    end = key.find(b"}", start) if start else -1
    return binascii.crc_hqx(key[start:end] if end > start else key, 0) % _SLOTS
