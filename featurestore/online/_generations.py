"""Which files of an LMDB directory are the live ones, when the environment was rewritten.

LMDB never clears a page that it frees, and a deleted key may go on separating two pages, so what was deleted can be
read from the file for long. `compact` therefore writes what is live anew, as a generation, and lets the old one go. The
first generation lies in the directory itself, later ones in folders of their own; the file `current` names the live
one.

Once `current` names a new generation, a mark is all that the old one keeps: readers that have it open, in any process,
meet it in their next transaction and move on. A crash before the mark leaves two equal generations; whoever publishes
next marks the old one first.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

DATA_FILE = "data.mdb"
MOVED = b"\x00moved"  # in the catalog of a generation that was left; no namespace has such a name

_CURRENT = "current"
_PREFIX = "generation-"
_FILES = (DATA_FILE, "lock.mdb")


def live_folder(path: Path) -> Path:
    """The folder of the live generation."""
    try:
        return path / (path / _CURRENT).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return path


def next_folder(path: Path) -> Path:
    """A new, empty folder for the next generation."""
    known = [int(folder.name.removeprefix(_PREFIX)) for folder in path.glob(f"{_PREFIX}*")]
    folder = path / f"{_PREFIX}{max([1, *known]) + 1}"
    folder.mkdir()
    return folder


def make_live(folder: Path) -> None:
    """Let `current` name a generation, whose files are on the disk."""
    partial = folder.parent / f".{_CURRENT}.{uuid4().hex}"
    partial.write_text(folder.name, encoding="ascii")
    sync(partial)
    partial.replace(folder.parent / _CURRENT)
    sync(folder.parent)


def others(path: Path) -> list[Path]:
    """The folders of generations that are not live: left, or never finished."""
    live = live_folder(path)
    folders = [folder for folder in path.glob(f"{_PREFIX}*") if folder != live]
    return [*folders, path] if live != path and (path / DATA_FILE).exists() else folders


def remove_others(path: Path) -> None:
    """Remove them; who still has one open reads it until its next transaction."""
    for folder in others(path):
        if folder != path:
            shutil.rmtree(folder)
    if live_folder(path) != path:
        for name in _FILES:
            (path / name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
