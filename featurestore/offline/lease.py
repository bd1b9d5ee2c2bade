"""One writer per table: an advisory file lock, which the kernel frees at once when its holder dies.

The file holds a number that grows with every holder. A commit carries its holder's number, so that one who was thought
dead, and is not, cannot commit after his successor.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from featurestore.errors import ConflictError, OfflineStoreError

_POLL_S = 0.02


@contextmanager
def lease(
    directory: Path,
    table: str,
    wait_s: float = 0,
    newest: Callable[[str], int] = lambda _: 0,
    what: str | None = None,
) -> Iterator[int]:
    """Hold the right to write one table, and yield a number greater than the file's and `newest(table)`.

    `what` is its name for people, where it is no offline table. Raises ConflictError when another process or thread
    holds it for longer than `wait_s`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / f"{table}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OfflineStoreError(f"The offline store {directory} cannot be written: {error.strerror}.") from error
    try:
        _acquire(handle, what or f"Offline table '{table}'", wait_s)
        token = max(_number(handle), newest(table)) + 1
        try:
            os.pwrite(handle, b"%020d" % token, 0)
        except OSError as error:
            raise OfflineStoreError(f"The offline store {directory} cannot be written: {error.strerror}.") from error
        yield token
    finally:
        os.close(handle)


def _acquire(handle: int, what: str, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                waited = f", and was not free within {wait_s:g} seconds" if wait_s else ""
                raise ConflictError(
                    f"{what} is being written by another materialization or push{waited}; wait for "
                    "it to end, then run again."
                ) from error
            time.sleep(_POLL_S)
        else:
            return


def _number(handle: int) -> int:
    text = os.pread(handle, 20, 0)
    return int(text) if text.isdigit() else 0
