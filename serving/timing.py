"""How long reads of the online store take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from featurestore.online.base import Answer, OnlineReads


class TimedReads:
    """Reads of an online store; `observe` is told the seconds of each."""

    def __init__(self, store: OnlineReads, observe: Callable[[float], None]) -> None:
        self._store = store
        self._observe = observe

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineReads."""
        began = time.perf_counter()
        try:
            return self._store.read(requests)
        finally:
            self._observe(time.perf_counter() - began)
