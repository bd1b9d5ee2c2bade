"""The files of a scan, in the order in which their rows count as ingested."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from featurestore.errors import SourceError

_GLOB_SIGNS = "*?["
_HIDDEN = (".", "_")


def list_files(path: str, suffix: str, what: str) -> tuple[str, ...]:
    """A file, all files below a directory that end with `suffix`, or those a glob matches; sorted by path.

    Raises SourceError when there is none or a directory cannot be read. Hidden files and folders are left out.
    """
    place = Path(path)
    try:
        if place.is_dir():
            found = _below(place, suffix)
            missing = f"directory '{path}' holds no *{suffix} file"
        elif place.exists():
            found = [path]
            missing = ""
        else:
            found = sorted(str(file) for file in _matches(path) if file.is_file())
            kind = "no file matches" if any(sign in path for sign in _GLOB_SIGNS) else "there is no file"
            missing = f"{kind} '{path}'"
    except OSError as error:
        raise SourceError(
            f"{what}: cannot read '{error.filename or path}': {error.strerror}. Check the rights of files and folders."
        ) from error
    if not found:
        raise SourceError(f"{what}: {missing}. Correct the path, or write the data first.")
    return tuple(found)


def pattern(file: str) -> str:
    """The path as DuckDB takes it: signs of a glob stand for themselves."""
    return "".join(f"[{sign}]" if sign in _GLOB_SIGNS else sign for sign in file)


def _below(folder: Path, suffix: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        found += [str(Path(parent) / n) for n in names if n.endswith(suffix) and not n.startswith(_HIDDEN)]
    return sorted(found)


def _matches(path: str) -> Iterator[Path]:
    start = Path(path).anchor
    return Path(start).glob(str(Path(path).relative_to(start)))
