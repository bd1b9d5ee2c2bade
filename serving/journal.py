"""The audit log of writes: a line of JSON for each request that may change something, answered or refused.

    {"at": "2024-03-01T00:00:00Z", "key": "1f...", "route": "POST /v1/push/{view}", "view": "last", "status": 200}

Lines are appended whole, so that many processes may share one file. Bodies and keys' secrets are never in it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from featurestore.timeline import Clock, format_instant
from serving.exchange import Request
from serving.routes import Route, Scope

log = logging.getLogger("featurestore.serving")

_LONGEST_NAME = 200  # as much of a name as is kept: who is refused must not fill the disk
_WRITES = frozenset({Scope.PUSH, Scope.ADMIN})


class Journal:
    """Writes the log to a file, which is made with its first line; a line that cannot be written goes to the log."""

    def __init__(self, path: Path, now_us: Clock) -> None:
        self._path = path
        self._now_us = now_us

    def answered(self, route: Route | None, request: Request, status: int, seconds: float) -> None:
        """As Observer."""
        if route is not None and route.scope in _WRITES:
            said = {
                "route": f"{route.method} {route.path}",
                **{name: value[:_LONGEST_NAME] for name, value in request.path.items()},
                "status": status,
                "seconds": round(seconds, 6),
            }
            self.write(request.caller or None, said)

    def write(self, key: str | None, said: dict[str, object]) -> None:
        """Append a line."""
        line = msgspec.json.encode({"at": format_instant(self._now_us()), "key": key, **said}) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            log.error("The audit log %s cannot be written (%s): %s", self._path, error.strerror, line.decode().strip())
