"""How much may be worked on at once: beyond it a request is told to come again, and nothing queues up.

Only requests whose body is whole count, so that slow senders take nobody's place.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from serving.errors import Refused, unavailable
from serving.exchange import Request
from serving.routes import Route, Scope

Place: TypeAlias = AbstractContextManager[None]

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

    def admitted(self, route: Route, request: Request) -> Place:
        """A place in work for the length of a block; raises Refused when there is none."""
        if route.scope is Scope.OPEN:
            return _EVERYWHERE
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
        return _Taken(self, caller)

    def take(self, caller: str) -> None:
        """Count a request in."""
        self.in_work += 1
        if caller:
            self._of[caller] += 1

    def leave(self, caller: str) -> None:
        """Count a request out."""
        self.in_work -= 1
        if caller:
            self._of[caller] -= 1
            if not self._of[caller]:
                del self._of[caller]


class _Taken:
    """A place that is taken for the length of a block."""

    __slots__ = ("_caller", "_load")

    def __init__(self, load: Load, caller: str) -> None:
        self._load = load
        self._caller = caller

    def __enter__(self) -> None:
        self._load.take(self._caller)

    def __exit__(self, *_: object) -> None:
        self._load.leave(self._caller)


_EVERYWHERE: Place = nullcontext()
