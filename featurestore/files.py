"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO
from uuid import uuid4

PARTIAL_SUFFIX = ".tmp"  # of a file that is being written, beside its place and with a dot before its name


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, or put it in the place of another, so that it is there whole or not, even when the machine stops.

    Its folder is made when missing. Raises OSError, and what `write` raises; then the place is as it was.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
