"""Who publishes to a namespace: one at a time, for as long as his lease lasts.

The lease is renewed while he lives; when he dies or stalls it ends, and another takes over. The one who comes back
finds himself fenced off: without the lease nothing he does becomes visible.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from featurestore.errors import OnlineStoreError
from featurestore.online.redis.connection import Reply
from featurestore.online.redis.layout import Entry
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.scripts import ACQUIRE, FENCED, RENEW, SWITCH, Call, Script, run
from featurestore.online.redis.servers import Servers

LEASE_S = 6.0
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.05


class Lease:
    """The right to publish to a namespace, with the epoch of the publish and the entry found at its begin."""

    def __init__(self, servers: Servers, reader: Reader, namespace: str, seconds: float) -> None:
        self.namespace = namespace
        self.token = secrets.token_hex(8).encode()
        self._servers = servers
        self._reader = reader
        self._seconds = seconds
        self._ended = threading.Event()
        self._is_held = True
        self.epoch, self.entry = self._acquired()
        self._renewed = time.monotonic()

    def _acquired(self) -> tuple[bytes, Entry | None]:
        wait = _SHORTEST_WAIT_S
        while True:
            reply = self._run(ACQUIRE, self.token, _micros(self._seconds))
            if not isinstance(reply, int):
                epoch, raw = reply
                return epoch, None if raw is None else Entry.unpack(raw)
            time.sleep(min(wait, reply / 1e6))
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def switch(self, entry: Entry | None) -> None:
        """Publish the entry, or drop the namespace with None, and give the lease back; raises when it was lost."""
        if self._run(SWITCH, self.token, b"" if entry is None else entry.pack()) == FENCED:
            raise self._taken_over()
        self._is_held = False

    def renew(self, *, now: bool = False) -> None:
        """Make it last from now on, when a good part of it is over or it must be `now`; raises when it was lost."""
        if now or time.monotonic() - self._renewed > self._seconds / 4:
            if not self._run(RENEW, self.token, _micros(self._seconds)):
                raise self._taken_over()
            self._renewed = time.monotonic()

    def release(self) -> None:
        """Give it back, if it is still there."""
        if self._is_held:
            with suppress(OnlineStoreError):  # then it ends by itself
                self._run(RENEW, self.token, 0)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """While inside, a thread renews it."""
        thread = threading.Thread(target=self._keep, name="featurestore-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / 4):
            with suppress(OnlineStoreError):  # the switch will tell
                self._run(RENEW, self.token, _micros(self._seconds))

    def _run(self, script: Script, *arguments: bytes | int) -> Reply:
        layout = self._reader.layout
        keys = (layout.catalog, layout.publishing, layout.generations)
        call = Call(layout.slot, script, keys, (self.namespace, *arguments))
        [reply] = self._reader.checked(run(self._servers, [call]))
        return reply

    def _taken_over(self) -> OnlineStoreError:
        return OnlineStoreError(
            f"Publishing to '{self.namespace}' stalled for longer than {self._seconds:g} s, and somebody else took "
            "over; nothing of it was published. Publish again."
        )


@contextmanager
def lease(servers: Servers, reader: Reader, namespace: str, seconds: float = LEASE_S) -> Iterator[Lease]:
    """The lease of a namespace; waits for whoever has it, and gives it back in the end."""
    held = Lease(servers, reader, namespace, seconds)
    try:
        yield held
    finally:
        held.release()


def _micros(seconds: float) -> int:
    return int(seconds * 1e6)
