"""The seam between lookups and what keeps the records: bytes in, bytes out.

A namespace holds the records of one view version. A record starts with its stamp (`STAMP_SIZE` bytes, ordered
by event time, then created time); what follows is the business of `featurestore.online.values`. Beside its
records a namespace has one metadata record, written in the same transaction; it is None until the first
publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from featurestore.errors import InputError

STAMP_SIZE = 16
LONGEST_NAMESPACE = 400  # bytes

Answer = tuple[bytes | None, list[bytes | None]]  # the namespace's metadata; a record or None per key, in key order


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What a write did: records stored, records left alone because a newer one was there, records deleted."""

    written: int = 0
    skipped: int = 0
    deleted: int = 0


class OnlineReads(Protocol):
    """What lookups need of a store."""

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineStore."""
        ...


class OnlineStore(Protocol):
    """Current records by namespace and key; safe for threads.

    What the caller hands in wrongly is refused with InputError, every failure of the store is an OnlineStoreError.
    """

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """For each (namespace, keys) its metadata and records, all of one instant and in one round trip.

        An unknown namespace has no metadata and no record.
        """
        ...

    def write(
        self,
        namespace: str,
        items: Iterable[tuple[bytes, bytes | None]],
        *,
        compare: bool = True,
        meta: bytes | None = None,
    ) -> WriteCount:
        """Publish the items, and `meta` when given, in one transaction; readers see all or nothing of it.

        With `compare` a record replaces another only when its stamp is not below the stored one's, compared
        within the transaction. A record of None deletes, without `compare` only. Of equal keys the later item
        wins (with `compare`: unless its stamp is below). Waits for a `replace` of the namespace that is under
        way.
        """
        ...

    def replace(self, namespace: str, items: Iterable[tuple[bytes, bytes]], *, meta: bytes) -> int:
        """Replace the whole namespace in one switch: readers see the old one or the new one, never a mixture.

        Returns the number of records, counted in the store before the switch. Keys may come in any order,
        ascending is fastest; a key given twice is refused with InputError and leaves the old namespace live.
        Memory stays flat in the number of items.
        """
        ...

    def count(self, namespace: str) -> int:
        """The number of records; 0 for an unknown namespace."""
        ...

    def namespaces(self) -> list[str]:
        """The namespaces that were written and not dropped, in alphabetical order."""
        ...

    def drop(self, namespace: str) -> None:
        """Remove a namespace, its records and its metadata; nothing happens when there is none."""
        ...

    def compact(self) -> int:
        """Give back the space of what was replaced and deleted, so that no file of the store holds a byte of it.

        Returns the bytes given back. A store without files of its own has nothing to do.
        """
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing, any other call afterwards fails."""
        ...


def checked_items(items: Iterable[tuple[bytes, bytes | None]], *, compare: bool) -> list[tuple[bytes, bytes | None]]:
    """The items as a list; raises InputError for a record without stamp and for a deletion that should compare."""
    listed = list(items)
    for key, record in listed:
        if record is not None:
            check_stamp(key, record)
        elif compare:
            raise InputError(f"Key {key!r}: a deletion has no stamp to compare; pass compare=False to delete.")
    return listed


def check_namespace(namespace: str) -> None:
    """Refuse with InputError a name under which nothing can be kept."""
    if not 0 < len(namespace.encode()) <= LONGEST_NAMESPACE:
        raise InputError(f"A namespace has a name of 1 to {LONGEST_NAMESPACE} bytes, got '{namespace}'.")


def check_stamp(key: bytes, record: bytes) -> None:
    """Refuse with InputError a record that is too short to hold a stamp."""
    if len(record) < STAMP_SIZE:
        raise InputError(f"Key {key!r}: a record starts with a stamp of {STAMP_SIZE} bytes, got {record!r}.")


def duplicate_key(namespace: str) -> InputError:
    """The refusal of a `replace` that was given a key twice."""
    return InputError(
        f"The items to publish to '{namespace}' hold a key twice, so nothing was published; merge the steps of one key "
        "into one record."
    )
