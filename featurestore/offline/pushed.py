"""The push log: every push in the columns of its source, so that tables made later take it in too.

A push is one Parquet file with the rows as they were handed in, named by its number; where it went stands in the file's
metadata. Files appear whole or not at all, in the order of their numbers. A table's mark names the last push that it
has taken; those after it wait for the next run or push.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import InputError, OfflineStoreError
from featurestore.files import write_whole
from featurestore.offline.lease import lease

_METADATA = b"featurestore.pushed"
_PER_FOLDER = 1_000  # one folder is listed to learn what came last
_WAIT_S = 10.0  # for another push to be written
_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}

Found = TypeVar("Found")


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a push went: to a `view` or a `source` of that name, or to the `tables` of one version of a view.

    `views` are those that it reached then: they keep it when they read another source since.
    """

    kind: Literal["view", "source", "version"]
    name: str
    views: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    def reaches(self, reader: Reader) -> bool:
        """Whether the rows are those of a table; a view that is made later takes what was pushed to its source."""
        match self.kind:
            case "version":
                return reader.table in self.tables
            case "view":
                return reader.view == self.name
            case "source":
                return reader.source == self.name or reader.view in self.views


@dataclass(frozen=True, slots=True)
class Reader:
    """A table, the view it belongs to, and the source that the view reads."""

    table: str
    view: str
    source: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push: its number, its file, and where it went."""

    number: int
    path: Path
    address: Address


@dataclass(frozen=True, slots=True)
class PushLog:
    """The pushes of a project in one directory, which is made when the first arrives."""

    directory: Path
    _known: dict[Path, Address] = field(default_factory=dict, repr=False)

    def append(
        self, address: Address, rows: pa.Table, marks: Sequence[int | None]
    ) -> tuple[Pushed, tuple[Pushed, ...]]:
        """Write a push, for good, and return it with those that came since the least of the tables' marks.

        Its number is greater than all marks and that of every earlier push. Raises OfflineStoreError when the disk
        refuses, and InputError for columns that no file takes; then nothing is written.
        """
        known = [mark for mark in marks if mark is not None]
        with self._lease(max(known, default=0)) as number:
            between = tuple(self.since(min(known) if len(known) == len(marks) else None))
            path = self._path(number)
            self._write(path, rows, address)
        return Pushed(number, path, address), between

    def last(self) -> int | None:
        """The number of the last push; None when there is none."""
        return next((max(found) for folder in reversed(self._folders()) if (found := _numbers(folder))), None)

    def since(self, after: int | None, until: int | None = None) -> Iterator[Pushed]:
        """The pushes after a number (None: all) up to another, in order."""
        last = self.last() if until is None else until  # what is listed later has all that came before this one
        if last is None:
            return
        for folder in self._folders():
            if after is not None and int(folder.name) < after // _PER_FOLDER:
                continue
            for number in sorted(_numbers(folder)):
                if (after is None or number > after) and number <= last:
                    path = self._path(number)
                    try:
                        address = self._address(path)
                    except FileNotFoundError:  # erased meanwhile
                        continue
                    yield Pushed(number, path, address)

    def waiting(self, reader: Reader, after: int | None, until: int | None = None) -> tuple[Pushed, ...]:
        """The pushes after a number that are those of a table."""
        return tuple(pushed for pushed in self.since(after, until) if pushed.address.reaches(reader))

    def read(self, pushed: Pushed) -> pa.Table | None:
        """The rows of a push, in their order; None when all were erased meanwhile."""
        with suppress(FileNotFoundError):
            return _readable(pushed.path, lambda: pq.ParquetFile(pushed.path).read().replace_schema_metadata(None))
        return None

    def rewrite(self, pushed: Pushed, rows: pa.Table) -> None:
        """Leave these of a push's rows; without rows the push goes."""
        with self._lease():
            if rows.num_rows:
                self._write(pushed.path, rows, pushed.address)
            else:
                pushed.path.unlink(missing_ok=True)

    def _lease(self, above: int = 0) -> AbstractContextManager[int]:
        """The right to write, with a number greater than all before."""
        return lease(self.directory, "log", _WAIT_S, lambda _: max(self.last() or 0, above), "The push log")

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.directory.glob("[0-9]*") if path.is_dir())

    def _path(self, number: int) -> Path:
        return self.directory / f"{number // _PER_FOLDER:012d}" / f"{number:015d}.parquet"

    def _address(self, path: Path) -> Address:
        if path not in self._known:
            metadata = _readable(path, lambda: pq.read_schema(path).metadata[_METADATA])
            self._known[path] = _readable(path, lambda: msgspec.json.decode(metadata, type=Address))
        return self._known[path]

    def _write(self, path: Path, rows: pa.Table, address: Address) -> None:
        described = _plain(rows).replace_schema_metadata({_METADATA: msgspec.json.encode(address)})
        try:
            write_whole(path, lambda file: pq.write_table(described, file, version="2.6"))
        except pa.ArrowNotImplementedError as error:
            raise InputError(f"The pushed rows cannot be kept: {error}. Cast or drop that column.") from error
        except OSError as error:
            raise OfflineStoreError(
                f"The push log {self.directory} cannot be written: {error.strerror or error}. Free space or grant "
                "rights and push again; nothing was taken in."
            ) from error


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("[0-9]*.parquet")]


def _plain(rows: pa.Table) -> pa.Table:
    """Without dictionaries, which would keep what is erased, and with texts and bytes as files have them."""
    for place, given in enumerate(rows.schema):
        found = rows.column(place)
        kept = _PLAIN.get(given.type, given.type)
        if pa.types.is_dictionary(given.type):
            kept = _PLAIN.get(given.type.value_type, given.type.value_type)
            parts = [
                pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(kept)).cast(kept) for c in found.chunks
            ]
            found = pa.chunked_array(parts, kept)
        if kept != given.type:
            rows = rows.set_column(place, given.name, found.cast(kept))
    return rows


def _readable(path: Path, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, KeyError, TypeError, msgspec.DecodeError) as error:
        raise OfflineStoreError(
            f"Push log file {path} cannot be read: {error}. Restore it, or remove it and push its rows again."
        ) from error
