"""Records for the rules, and short ways to look at a store."""

from __future__ import annotations

from featurestore.online.base import STAMP_SIZE, OnlineStore


def record(event: int, created: int | None = None, value: bytes = b"") -> bytes:
    """A record stamped with an event time and a created time, null lowest."""
    stamp = event.to_bytes(STAMP_SIZE // 2, "big") + (0 if created is None else created + 1).to_bytes(
        STAMP_SIZE // 2, "big"
    )
    return stamp + value


def read(store: OnlineStore, namespace: str, *keys: bytes) -> list[bytes | None]:
    """The records of the keys."""
    [(_, records)] = store.read([(namespace, keys)])
    return records


def read_meta(store: OnlineStore, namespace: str) -> bytes | None:
    """The metadata of a namespace."""
    [(meta, _)] = store.read([(namespace, ())])
    return meta
