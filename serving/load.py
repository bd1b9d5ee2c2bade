"""How much may be worked on at once: beyond it a request is told to come again, and nothing queues up.

Only requests whose body is whole count, so that slow senders take nobody's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import Refused, unavailable
from serving.exchange import Request
from serving.routes import Route, Scope

_RETRY_SECONDS = 1


class Load:
    """Counts the requests in work: `most` of all (503), `most_of_one` of one key (429). Health is always answered.

    Used on one event loop.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: Counter[str] = Counter()
        self.in_work = 0

    @contextmanager
    def admitted(self, route: Route, request: Request) -> Iterator[None]:
        """Count a request in for the length of the block; raises Refused when there is no place for it."""
        if route.scope is Scope.OPEN:
            yield
            return
        caller = request.caller
        if self.in_work >= self._most:
            raise unavailable(f"{self._most} requests are in work already; try again.")
        if caller and self._of[caller] >= self._most_of_one:
            raise Refused(
                429,
                "TooManyRequests",
                f"{self._most_of_one} requests of this key are in work already; wait for one of them.",
                retry_seconds=_RETRY_SECONDS,
            )
        self.in_work += 1
        self._of[caller] += 1
        try:
            yield
        finally:
            self.in_work -= 1
            self._of[caller] -= 1
            if not self._of[caller]:
                del self._of[caller]
