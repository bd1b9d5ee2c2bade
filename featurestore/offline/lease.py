"""One writer per table: an advisory file lock, which the kernel frees at once when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurestore.errors import ConflictError, OfflineStoreError


@contextmanager
def lease(directory: Path, table: str) -> Iterator[None]:
    """Hold the right to write one table; raises ConflictError at once while another process or thread holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / f"{table}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OfflineStoreError(f"The offline store {directory} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConflictError(
            f"Offline table '{table}' is being written by another materialization; wait for it to end, then run again."
        ) from error
    try:
        yield
    finally:
        os.close(handle)
