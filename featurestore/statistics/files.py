"""Where statistics stand: beside the data files of a table, in a folder that Delta's vacuum leaves alone.

An index is written for each commit, before it, and the commit names it; so a committed interval always has its
statistics, and a reader of one table version sees exactly those of its intervals. Profiles are written once for each
interval and carried from index to index by their names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from featurestore.errors import OfflineStoreError
from featurestore.statistics.bins import Bins
from featurestore.statistics.profile import Profile

FOLDER = "_statistics"
_KEPT_S = 86_400  # files that nothing names any more stay so long, for readers that are on their way
_PRESENT = 0
_INDEX, _PROFILES = ".index", ".profiles"

T = TypeVar("T")
Values = tuple[tuple[float | str, int], ...]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An interval of event time and the file of its profiles; `start_us` None: from the beginning.

    `first` is the sequence of the first of its `rows` rows when they were committed. Both ends are None for a timeless
    view. The first and last event are the least and the greatest event time among the rows (None: there are none).
    """

    file: int
    start_us: int | None
    end_us: int | None
    rows: int
    first: int = 0
    first_event_us: int | None = None
    last_event_us: int | None = None


class Index(msgspec.Struct, frozen=True):
    """All intervals of one table version, the earliest end first; the bins of the columns, and values kept for them."""

    entries: tuple[Entry, ...] = ()
    bins: dict[str, Bins] = {}
    values: dict[str, Values] = {}


@dataclass(frozen=True, slots=True)
class StatisticsFiles:
    """The files in one folder; every method raises OfflineStoreError when the disk refuses."""

    folder: Path

    def index(self, name: int) -> Index | None:
        """The index of that name; None when it is not there or cannot be understood."""
        return self._read(name, _INDEX, Index)

    def profiles(self, entry: Entry) -> dict[str, Profile]:
        """The profiles of an interval, by column; none when the file is not there or cannot be understood."""
        return self._read(entry.file, _PROFILES, dict[str, Profile]) or {}

    def add_profiles(self, profiles: Mapping[str, Profile]) -> int:
        """Write an interval's profiles, and return the name of the file."""
        return self._add(_PROFILES, dict(profiles))

    def add_index(self, index: Index, before: int | None) -> int:
        """Write an index, and return its name; removes what neither it nor the one before names any more."""
        name = self._add(_INDEX, index)
        old = None if before is None else self.index(before)
        named = {(entry.file, _PROFILES) for one in (index, old) if one is not None for entry in one.entries}
        self._sweep({*named, (name, _INDEX), (before, _INDEX)})
        return name

    def present(self) -> Index | None:
        """The index that stands at present where no commit names one."""
        return self.index(_PRESENT)

    def put_present(self, index: Index) -> None:
        """Put an index in the place of the present one, at once; removes what neither names any more."""
        old = self.present() or Index()
        self._path(self._add(_INDEX, index), _INDEX).replace(self._path(_PRESENT, _INDEX))
        named = {(entry.file, _PROFILES) for one in (index, old) for entry in one.entries}
        self._sweep({*named, (_PRESENT, _INDEX)})

    def _add(self, kind: str, content: object) -> int:
        name = secrets.randbits(62)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path(name, kind).write_bytes(msgspec.msgpack.encode(content))
        except OSError as error:
            raise OfflineStoreError(
                f"Statistics cannot be written to {self.folder}: {error.strerror}. Free space or grant rights and run "
                "again; what was committed before is unchanged."
            ) from error
        return name

    def _read(self, name: int, kind: str, form: type[T]) -> T | None:
        try:
            return msgspec.msgpack.decode(self._path(name, kind).read_bytes(), type=form)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None
        except OSError as error:
            raise OfflineStoreError(f"Statistics in {self.folder} cannot be read: {error.strerror}.") from error

    def _path(self, name: int, kind: str) -> Path:
        return self.folder / f"{name:016x}{kind}"

    def _sweep(self, named: Iterable[tuple[int | None, str]]) -> None:
        keep = {self._path(name, kind).name for name, kind in named if name is not None}
        before = time.time() - _KEPT_S
        for path in self.folder.iterdir():
            if path.name not in keep and path.suffix in (_INDEX, _PROFILES) and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
