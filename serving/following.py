"""What a server reads from the registry, read again in a thread when the registry was touched.

Requests go on with what was read last, so that a registry that is locked, damaged or away holds nobody up; whoever
wants the newest waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from featurestore.errors import FeatureStoreError

log = logging.getLogger("featurestore.serving")

_AGAIN_SECONDS = 0.5  # after a reading that failed
_PATIENCE_SECONDS = 1.0  # half of the deadline of a request


class Following:
    """Calls `read` when `touched()` (`Registry.touched`) tells that there may be something new; one call at a time.

    `failure` says why the last reading failed, None when it did not; `what` names what goes on meanwhile.
    """

    def __init__(self, touched: Callable[[], object], read: Callable[[], None], what: str) -> None:
        self._touched = touched
        self._read = read
        self._what = what
        self._read_at: object = self  # nothing was read yet
        self._reading: asyncio.Future[None] | None = None
        self._began_at = 0.0
        self._again_at = 0.0
        self.failure: str | None = None

    def is_current(self) -> bool:
        """Whether nobody touched the registry since it was read; found in a microsecond."""
        return bool(self._touched() == self._read_at)

    def follow(self) -> None:
        """Begin to read when something may be new, unless that is under way or has failed just now."""
        now = time.monotonic()
        if not self.is_current() and not self._is_reading() and now >= self._again_at:
            self._began_at = now
            self._reading = asyncio.get_running_loop().run_in_executor(None, self.read)

    async def followed(self) -> None:
        """Wait until the newest is read; not for a reading that fails, or is under way for a second."""
        while not self.is_current():
            self.follow()
            left = self._began_at + _PATIENCE_SECONDS - time.monotonic()
            if self._reading is None or self._reading.done() or left <= 0:
                return
            await asyncio.wait({self._reading}, timeout=left)

    def read(self) -> None:
        """Read now, or keep what was read last and tell why in `failure`."""
        touched = self._touched()
        try:
            self._read()
        except FeatureStoreError as error:
            if str(error) != self.failure:
                log.error("The registry cannot be read, so %s: %s", self._what, error)
            self.failure = str(error)
            self._read_at = self  # to be read again, though it may come back as it was
            self._again_at = time.monotonic() + _AGAIN_SECONDS
        else:
            self.failure = None
            self._read_at = touched

    def _is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()
