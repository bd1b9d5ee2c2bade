"""The online store in the memory of one process: for tests and trials, gone when the last holder lets go."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from featurestore.errors import OnlineStoreError
from featurestore.online.base import (
    STAMP_SIZE,
    Answer,
    WriteCount,
    check_namespace,
    check_stamp,
    checked_items,
    duplicate_key,
)


@dataclass(slots=True)
class _Namespace:
    records: dict[bytes, bytes] = field(default_factory=dict)
    meta: bytes | None = None


@dataclass(slots=True, weakref_slot=True)
class _State:
    """What all stores of one name share. `writing` spans a whole publish, `access` one look or one change."""

    namespaces: dict[str, _Namespace] = field(default_factory=dict)
    writing: threading.Lock = field(default_factory=threading.Lock)
    access: threading.Lock = field(default_factory=threading.Lock)


_STATES: weakref.WeakValueDictionary[str, _State] = weakref.WeakValueDictionary()
_STATES_LOCK = threading.Lock()


class MemoryOnlineStore:
    """An OnlineStore over dictionaries; stores opened under one name in one process share their records."""

    def __init__(self, name: str | None = None) -> None:
        self._open_state: _State | None
        if name is None:
            self._open_state = _State()
            return
        with _STATES_LOCK:
            self._open_state = _STATES.setdefault(name, _State())

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineStore."""
        state = self._state()
        answers: list[Answer] = []
        with state.access:
            for name, keys in requests:
                namespace = state.namespaces.get(name)
                if namespace is None:
                    answers.append((None, [None] * len(keys)))
                else:
                    get = namespace.records.get
                    answers.append((namespace.meta, [get(key) for key in keys]))
        return answers

    def write(
        self,
        namespace: str,
        items: Iterable[tuple[bytes, bytes | None]],
        *,
        compare: bool = True,
        meta: bytes | None = None,
    ) -> WriteCount:
        """As OnlineStore."""
        state = self._state()
        check_namespace(namespace)
        listed = checked_items(items, compare=compare)
        with state.writing, state.access:
            target = state.namespaces.setdefault(namespace, _Namespace())
            if meta is not None:
                target.meta = meta
            return _apply(target.records, listed, compare=compare)

    def replace(self, namespace: str, items: Iterable[tuple[bytes, bytes]], *, meta: bytes) -> int:
        """As OnlineStore, except that memory holds the old and the new records until the switch."""
        state = self._state()
        check_namespace(namespace)
        with state.writing:
            records: dict[bytes, bytes] = {}
            for key, record in items:
                check_stamp(key, record)
                if key in records:
                    raise duplicate_key(namespace)
                records[key] = record
            with state.access:
                state.namespaces[namespace] = _Namespace(records, meta)
            return len(records)

    def count(self, namespace: str) -> int:
        """As OnlineStore."""
        state = self._state()
        with state.access:
            found = state.namespaces.get(namespace)
            return len(found.records) if found else 0

    def namespaces(self) -> list[str]:
        """As OnlineStore."""
        state = self._state()
        with state.access:
            return sorted(state.namespaces)

    def drop(self, namespace: str) -> None:
        """As OnlineStore."""
        state = self._state()
        with state.writing, state.access:
            state.namespaces.pop(namespace, None)

    def compact(self) -> int:
        """As OnlineStore: nothing to do."""
        self._state()
        return 0

    def close(self) -> None:
        """As OnlineStore."""
        self._open_state = None

    def _state(self) -> _State:
        if self._open_state is None:
            raise OnlineStoreError("This online store is closed; open it again with open_online_store(...).")
        return self._open_state


def _apply(records: dict[bytes, bytes], items: list[tuple[bytes, bytes | None]], *, compare: bool) -> WriteCount:
    written = skipped = deleted = 0
    for key, record in items:
        if record is None:
            deleted += records.pop(key, None) is not None
        elif compare and key in records and record[:STAMP_SIZE] < records[key][:STAMP_SIZE]:
            skipped += 1
        else:
            records[key] = record
            written += 1
    return WriteCount(written, skipped, deleted)
