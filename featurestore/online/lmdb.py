"""The embedded online store: LMDB, one memory-mapped file that many processes read and one at a time writes.

Each namespace has a slot, a database of its own; the catalog maps the namespace to its slot and metadata. A
`replace` fills a free slot in several transactions, then one transaction points the catalog to it and frees
the old one. So memory stays flat, and a crash leaves nothing but a slot that the next `replace` empties.

LMDB keys have 1 to 511 bytes. A key of up to 510 bytes is stored as it is; a longer or empty one as its first
479 bytes and its SHA-256, 511 bytes in all, with the full key before the record.
"""

from __future__ import annotations

import hashlib
import struct
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import lmdb

from featurestore.errors import OnlineStoreError
from featurestore.online._environment import (
    ATTEMPTS,
    CLOSED,
    MAP_SIZE,
    MAX_NAMESPACES,
    Entry,
    Opened,
    SharedEnvironment,
    Transaction,
    acquire,
    release,
    slot_name,
)
from featurestore.online._generations import MOVED
from featurestore.online.base import (
    LONGEST_NAMESPACE,
    STAMP_SIZE,
    Answer,
    WriteCount,
    check_namespace,
    check_stamp,
    checked_items,
    duplicate_key,
)

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_LONGEST_PLAIN_KEY = 510
_DIGESTED_PREFIX = 479
_CHUNK_BYTES = 16 << 20  # of a replace, per transaction
_ITEM_BYTES = 150  # of the Python objects around a key and a record

_CATALOG_VALUE = struct.Struct(">H?")  # slot, whether metadata follows
_KEY_SIZE = struct.Struct(">I")  # before the full key of a digested one


class _SlotNotOpenError(Exception):
    """A reader met a slot whose handle this process has not opened yet."""

    def __init__(self, slot: int) -> None:
        self.slot = slot


class _MovedError(Exception):
    """A reader met a generation that was left."""


class LmdbOnlineStore:
    """An OnlineStore in a directory; all stores on one directory in one process share one environment."""

    def __init__(self, path: Path, *, map_size: int = MAP_SIZE) -> None:
        environment = acquire(path, map_size)
        self._shared: SharedEnvironment | None = environment
        self._release = weakref.finalize(self, release, environment)
        try:
            environment.opened()
        except OnlineStoreError:
            self.close()
            raise

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineStore."""
        if self._shared is not None and (opened := self._shared.current) is not None:
            try:
                with opened.env.begin() as txn:
                    return _read(opened, txn, requests)
            except (lmdb.Error, _SlotNotOpenError, _MovedError):
                pass  # which the next line cures
        return self._look(_read, requests)

    def write(
        self,
        namespace: str,
        items: Iterable[tuple[bytes, bytes | None]],
        *,
        compare: bool = True,
        meta: bytes | None = None,
    ) -> WriteCount:
        """As OnlineStore."""
        environment = self._environment()
        check_namespace(namespace)
        listed = checked_items(items, compare=compare)
        with environment.publishing(exclusive=False):
            return environment.transact(partial(_write, namespace=namespace, items=listed, compare=compare, meta=meta))

    def replace(self, namespace: str, items: Iterable[tuple[bytes, bytes]], *, meta: bytes) -> int:
        """As OnlineStore. Other publishes to this directory wait meanwhile."""
        environment = self._environment()
        check_namespace(namespace)
        total = 0
        with environment.publishing(exclusive=True):
            slot = environment.transact(_empty_slot)
            for chunk in _chunks(items):
                if not environment.transact(partial(_fill, slot=slot, chunk=chunk)):
                    raise duplicate_key(namespace)
                total += len(chunk)
            environment.transact(partial(_switch, namespace=namespace, slot=slot, total=total, meta=meta))
        return total

    def count(self, namespace: str) -> int:
        """As OnlineStore."""
        return self._look(_count, namespace)

    def namespaces(self) -> list[str]:
        """As OnlineStore."""
        return self._look(_namespaces)

    def drop(self, namespace: str) -> None:
        """As OnlineStore."""
        environment = self._environment()
        with environment.publishing(exclusive=True):
            environment.transact(partial(_drop, namespace=namespace))

    def compact(self) -> int:
        """As OnlineStore. Publishes to this directory wait meanwhile, readers do not; takes space for a second copy."""
        environment = self._environment()
        with environment.publishing(exclusive=True):
            return environment.compact(_copy)

    def close(self) -> None:
        """As OnlineStore; the environment is closed with its last holder."""
        self._shared = None
        self._release()

    def _environment(self) -> SharedEnvironment:
        if self._shared is None:
            raise OnlineStoreError(CLOSED)
        return self._shared

    def _look(
        self,
        action: Callable[Concatenate[Opened, Transaction, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """The result of an action in one read transaction, begun again when something interrupts it."""
        environment = self._environment()
        for _ in range(ATTEMPTS):
            opened = environment.opened()
            try:
                with opened.env.begin() as txn:
                    return action(opened, txn, *args, **kwargs)
            except _SlotNotOpenError as missing:
                environment.open_slot(missing.slot)
            except _MovedError:
                environment.leave(opened)
            except lmdb.Error as error:
                environment.recover(opened, error)
        raise OnlineStoreError(f"The online store at {environment.path} cannot be read: it was interrupted too often.")


def _read(opened: Opened, txn: Transaction, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
    snapshot, get, entries = txn.id(), txn.get, opened.entries
    answers: list[Answer] = []
    for namespace, keys in requests:
        entry = entries.get(namespace)
        if entry is None or entry.snapshot != snapshot:
            entry = _entry(opened, txn, namespace)
        _, _, database, meta = entry
        records: list[bytes | None]
        if database is None:
            records = [None] * len(keys)
        elif len(keys) == 1 and 0 < len(keys[0]) <= _LONGEST_PLAIN_KEY:
            records = [get(keys[0], None, database)]
        elif all(keys) and max(map(len, keys), default=0) <= _LONGEST_PLAIN_KEY:
            records = list(map(get, keys, repeat(None), repeat(database)))
        else:
            records = [_get(txn, database, key) for key in keys]
        answers.append((meta, records))
    return answers


def _entry(opened: Opened, txn: Transaction, namespace: str) -> Entry:
    """The catalog's entry in this snapshot; its database has an open handle."""
    raw = _catalog_value(opened, txn, namespace)
    known = opened.entries.get(namespace)
    if raw is None:
        _check_live(opened, txn)
        entry = Entry(txn.id(), None, None, None)
    elif known is not None and known.raw == raw:
        entry = known._replace(snapshot=txn.id())
    else:
        slot, meta = _unpack_catalog_value(raw)
        if slot not in opened.slots:
            raise _SlotNotOpenError(slot)
        entry = Entry(txn.id(), raw, opened.slots[slot], meta)
    opened.entries[namespace] = entry
    return entry


def _count(opened: Opened, txn: Transaction, namespace: str) -> int:
    database = _entry(opened, txn, namespace).database
    return 0 if database is None else txn.stat(database)["entries"]


def _check_live(opened: Opened, txn: Transaction) -> None:
    if txn.get(MOVED, None, opened.catalog) is not None:
        raise _MovedError


def _namespaces(opened: Opened, txn: Transaction) -> list[str]:
    _check_live(opened, txn)
    return sorted(key.decode() for key, _ in txn.cursor(opened.catalog))


def _write(
    opened: Opened,
    txn: Transaction,
    *,
    namespace: str,
    items: list[tuple[bytes, bytes | None]],
    compare: bool,
    meta: bytes | None,
) -> WriteCount:
    raw = _catalog_value(opened, txn, namespace)
    slot = _empty_slot(opened, txn) if raw is None else _unpack_catalog_value(raw)[0]
    if raw is None or meta is not None:
        _put_entry(opened, txn, namespace, slot, meta)
    database = opened.env.open_db(slot_name(slot), txn=txn)
    written = skipped = deleted = 0
    for key, record in items:
        if record is None:
            deleted += txn.delete(_stored_key(key), db=database)
        elif compare and _is_older(record, _get(txn, database, key)):
            skipped += 1
        else:
            txn.put(_stored_key(key), _stored_record(key, record), db=database)
            written += 1
    return WriteCount(written, skipped, deleted)


def _is_older(record: bytes, stored: bytes | None) -> bool:
    return stored is not None and record[:STAMP_SIZE] < stored[:STAMP_SIZE]


def _empty_slot(opened: Opened, txn: Transaction) -> int:
    """The first slot that no namespace has, emptied of what an interrupted `replace` left in it."""
    used = {_unpack_catalog_value(raw)[0] for _, raw in txn.cursor(opened.catalog)}
    slot = next(slot for slot in count() if slot not in used)
    txn.drop(opened.env.open_db(slot_name(slot), txn=txn), delete=False)
    return slot


def _copy(old: Opened, new: Opened) -> None:
    """Write every namespace with its records and metadata to a new environment, each tree from the live keys alone."""
    with old.env.begin() as txn:
        entries = [(key, *_unpack_catalog_value(raw)) for key, raw in txn.cursor(old.catalog)]
        for place, (name, slot, meta) in enumerate(entries):
            source = txn.cursor(old.env.open_db(slot_name(slot), txn=txn, create=False))
            for chunk in _lists(iter(source)):
                with new.env.begin(write=True) as written:
                    if not _fill(new, written, slot=place, chunk=chunk):
                        raise lmdb.CorruptedError(f"the records of '{name.decode()}' are not in order")
            with new.env.begin(write=True) as written:
                new.env.open_db(slot_name(place), txn=written)
                _put_entry(new, written, name.decode(), place, meta)


def _lists(stored: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Stored keys and records in lists of a few megabytes."""
    chunk, size = [], 0
    for key, record in stored:
        chunk.append((key, record))
        size += len(key) + len(record) + _ITEM_BYTES
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _chunks(items: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The items as they are stored, in lists of a few megabytes, each sorted."""
    for chunk in _lists(_stored_items(items)):
        yield sorted(chunk)


def _stored_items(items: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for key, record in items:
        check_stamp(key, record)
        yield _stored_key(key), _stored_record(key, record)


def _fill(opened: Opened, txn: Transaction, *, slot: int, chunk: list[tuple[bytes, bytes]]) -> bool:
    """Store a sorted chunk in a slot; False when a key of it is there already."""
    with txn.cursor(opened.env.open_db(slot_name(slot), txn=txn)) as cursor:
        append = not cursor.last() or cursor.key() < chunk[0][0]
        _, added = cursor.putmulti(chunk, overwrite=False, append=append)
    return added == len(chunk)


def _switch(opened: Opened, txn: Transaction, *, namespace: str, slot: int, total: int, meta: bytes) -> None:
    """Point the catalog to a filled slot and empty the namespace's old one."""
    stored = txn.stat(opened.env.open_db(slot_name(slot), txn=txn))["entries"]
    if stored != total:
        raise OnlineStoreError(f"Of {total} records for '{namespace}' {stored} were stored; the old ones stay live.")
    _free(opened, txn, namespace)
    _put_entry(opened, txn, namespace, slot, meta)


def _drop(opened: Opened, txn: Transaction, *, namespace: str) -> None:
    if _free(opened, txn, namespace):
        txn.delete(namespace.encode(), db=opened.catalog)


def _free(opened: Opened, txn: Transaction, namespace: str) -> bool:
    """Empty the namespace's slot, if it has one; the handle stays, for the slot's next namespace."""
    raw = _catalog_value(opened, txn, namespace)
    if raw is None:
        return False
    slot, _ = _unpack_catalog_value(raw)
    txn.drop(opened.env.open_db(slot_name(slot), txn=txn), delete=False)
    return True


def _catalog_value(opened: Opened, txn: Transaction, namespace: str) -> bytes | None:
    key = namespace.encode()
    return txn.get(key, None, opened.catalog) if 0 < len(key) <= LONGEST_NAMESPACE else None


def _put_entry(opened: Opened, txn: Transaction, namespace: str, slot: int, meta: bytes | None) -> None:
    entries = txn.stat(opened.catalog)["entries"]
    if entries >= MAX_NAMESPACES and _catalog_value(opened, txn, namespace) is None:
        raise OnlineStoreError(f"The online store holds {entries} namespaces and takes no more; drop unused ones.")
    value = _CATALOG_VALUE.pack(slot, meta is not None) + (meta or b"")
    txn.put(namespace.encode(), value, db=opened.catalog)


def _unpack_catalog_value(raw: bytes) -> tuple[int, bytes | None]:
    slot, has_meta = _CATALOG_VALUE.unpack_from(raw)
    return slot, raw[_CATALOG_VALUE.size :] if has_meta else None


def _stored_key(key: bytes) -> bytes:
    if 0 < len(key) <= _LONGEST_PLAIN_KEY:
        return key
    return key[:_DIGESTED_PREFIX].ljust(_DIGESTED_PREFIX, b"\x00") + hashlib.sha256(key).digest()


def _stored_record(key: bytes, record: bytes) -> bytes:
    if 0 < len(key) <= _LONGEST_PLAIN_KEY:
        return record
    return _KEY_SIZE.pack(len(key)) + key + record


def _get(txn: Transaction, database: lmdb._Database, key: bytes) -> bytes | None:
    """The record of a key of any length."""
    stored = txn.get(_stored_key(key), None, database)
    if stored is None or 0 < len(key) <= _LONGEST_PLAIN_KEY:
        return stored
    start = _KEY_SIZE.size
    end = start + _KEY_SIZE.unpack_from(stored)[0]
    return stored[end:] if stored[start:end] == key else None
