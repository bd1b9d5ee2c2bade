"""Reads of a project's online store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from featurestore.online.base import Answer
from featurestore.store import FeatureStore


class StoreReads:
    """Opens the store with the first read, so that a server can start while it is away.

    `observe` is told the seconds of each read.
    """

    def __init__(self, store: FeatureStore, observe: Callable[[float], None] = lambda _: None) -> None:
        self._store = store
        self._observe = observe

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineReads."""
        began = time.perf_counter()
        try:
            return self._store.online.read(requests)
        finally:
            self._observe(time.perf_counter() - began)
