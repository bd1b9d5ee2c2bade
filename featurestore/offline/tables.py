"""Delta tables that hold what views have committed.

One table per storage fingerprint. A commit replaces one interval, or adds rows, and carries as Delta application
transactions the marks of the table and the lease it was made under, so that data and progress become visible in the
same instant; and for people, as custom metadata, the view, the interval and the row counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from featurestore.errors import ConflictError, NotCommittedError, OfflineStoreError, VersionGoneError
from featurestore.offline.lease import lease
from featurestore.timeline import EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE, format_instant, to_datetime

UNBOUNDED = -(2**63)  # stands for the beginning of time, where a first run took everything; and for no mark at all
LAYOUT = WriterProperties(compression="SNAPPY", max_row_group_size=122_880)  # what DuckDB reads in one go
_START, _WATERMARK, _REACH = "featurestore.start", "featurestore.watermark", "featurestore.reach"
_CREATED, LEASE = "featurestore.created", "featurestore.lease"
_STATISTICS = "featurestore.statistics"  # names what was counted; a commit that counts nothing leaves it as it is
_PUSHED = "featurestore.pushed"  # the number of the last push that was taken from the push log
COMMITTED_AT = "featurestore.committed_at"  # microseconds of the store's clock; in the log's metadata as well
_SETTINGS = {"delta.enableExpiredLogCleanup": "false"}  # old versions answer `as_of`; upkeep decides how long


@dataclass(frozen=True, slots=True)
class Marks:
    """What a table has taken from the source without a gap: events in [start_us, watermark_us).

    `start_us` None: from the beginning. `watermark_us` None: nothing yet, though rows may have been pushed. Events
    before `reach_us` do not exist for a windowed view (None: all do). `created_us` is the greatest created time that
    the source had when it was last read to its end: what comes later with a greater one is late (None: there is none).
    `pushed` is the number of the last push up to which all that are the table's were taken (None: none was).
    """

    start_us: int | None = None
    watermark_us: int | None = None
    reach_us: int | None = None
    created_us: int | None = None
    pushed: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table: its data files, and its marks.

    `pushed_files` are those of the files that hold rows which were pushed; there they may be alone or beside others.
    `committed_at_us` is when this version was committed, by the store's clock; it never falls from one version to the
    next. `token` is that of the lease it was committed under. `statistics` is the name of what was counted of its rows.
    """

    table: str
    version: int
    files: tuple[str, ...]
    rows: int
    marks: Marks
    committed_at_us: int
    token: int
    statistics: int | None = None
    pushed_files: tuple[str, ...] = ()

    @property
    def start_us(self) -> int | None:
        """Where what is committed without a gap begins; None: at the beginning."""
        return self.marks.start_us

    @property
    def watermark_us(self) -> int | None:
        """Where what is committed without a gap ends; None: nothing was taken from the source yet."""
        return self.marks.watermark_us

    @property
    def reach_us(self) -> int | None:
        """The earliest event that exists for a windowed view; None: all do."""
        return self.marks.reach_us


@dataclass(frozen=True, slots=True)
class Replaced:
    """Rows from the source with event time in [from_us, until_us), open where None; `whole`: pushed rows as well."""

    from_us: int | None = None
    until_us: int | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its rows take the place of `replaced` (None: they are added).

    `base_version` is the version this was computed on; None means that there was no table. `marks` are the table's
    afterwards. `at_us` is the instant of the commit and `token` that of the lease it is made under. `notes` are kept
    in the log for people. `statistics` is the name of what was counted of the table's rows as they are afterwards.
    """

    table: str
    base_version: int | None
    replaced: Replaced | None
    marks: Marks
    at_us: int
    token: int
    notes: Mapping[str, str]
    statistics: int | None = None

    @property
    def version(self) -> int:
        """The table version that this commit makes."""
        return 0 if self.base_version is None else self.base_version + 1


class OfflineTables:
    """The tables below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def snapshot(self, table: str, version: int | None = None) -> Snapshot | None:
        """The newest version (or the given one) of a table; None when it was never committed."""
        delta = self._delta(table, version)
        return None if delta is None else self._readable(table, delta)

    def snapshot_at(self, table: str, at_us: int) -> Snapshot | None:
        """The newest version that was committed at or before an instant; None when the table was never committed.

        Raises NotCommittedError when its first commit came later, VersionGoneError when that version's files are gone.
        """
        delta = self._delta(table)
        if delta is None:
            return None
        commits = {int(entry["version"]): int(entry[COMMITTED_AT]) for entry in delta.history()}
        known = [version for version, instant in commits.items() if instant <= at_us]
        if not known:
            since_us = min(commits.values())
            raise NotCommittedError(
                f"Offline table '{table}' held nothing yet at {format_instant(at_us)}; its first commit came at "
                f"{format_instant(since_us)}. Ask for that instant or a later one.",
                since_us,
            )
        try:
            return self.kept(table, max(known))
        except VersionGoneError as error:
            raise VersionGoneError(f"{error} It stood at {format_instant(at_us)}; ask for a later instant.") from error

    def kept(self, table: str, version: int) -> Snapshot:
        """A version of a table with all its files; raises VersionGoneError when it is no longer whole."""
        delta = self._delta(table)
        if delta is None:
            raise VersionGoneError(f"Offline table '{table}' is gone, and its version {version} with it.")
        if delta.version() < version:
            raise VersionGoneError(f"Offline table '{table}' was made anew since version {version} stood.")
        found = self.snapshot(table, version)
        lost = [file for file in found.files if not Path(file).exists()] if found else []
        if found is None or lost:
            told = f"{len(lost)} of its {len(found.files)} files were swept or erased" if found else "its log was cut"
            raise VersionGoneError(f"Version {version} of offline table '{table}' is gone: {told}.")
        return found

    @contextmanager
    def lease(self, table: str, wait_s: float = 0) -> Iterator[int]:
        """Hold the right to write one table, and yield its token, which is greater than that of every earlier holder.

        Raises ConflictError when another process or thread holds it for longer than `wait_s`.
        """
        with lease(self.directory, table, wait_s, self._newest_token) as token:
            yield token

    def commit(self, commit: Commit, rows: pa.RecordBatchReader) -> Snapshot:
        """Write `rows` as the commit says and return the new version; nothing is visible before that.

        Raises ConflictError when another writer committed since `base_version`, or took the lease since `token`;
        OfflineStoreError when the disk refuses. An error while `rows` are read leaves the table as it was.
        """
        delta = self._delta(commit.table)
        before = None if delta is None else self._readable(commit.table, delta)
        if before and before.token > commit.token:
            raise ConflictError(
                f"Offline table '{commit.table}' was taken over by another writer, which found this one dead. Run "
                "again."
            )
        if (before.version if before else None) != commit.base_version:
            raise _conflict(commit)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            target = self.directory / commit.table if delta is None else delta
            _write(target, commit, rows, max(commit.at_us, before.committed_at_us) if before else commit.at_us)
        except CommitFailedError as error:
            raise _conflict(commit) from error
        except (DeltaError, OSError) as error:
            raise OfflineStoreError(
                f"Offline table '{commit.table}' in {self.directory} cannot be written: {_first_line(error)}. Free "
                "space or grant rights and run again; what was committed before is unchanged."
            ) from error
        after = self.snapshot(commit.table)
        assert after is not None
        return after

    def _delta(self, table: str, version: int | None = None) -> DeltaTable | None:
        path = self.directory / table
        if not (path / "_delta_log").exists():
            return None
        try:
            return DeltaTable(path, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise self._unreadable(table, error) from error

    def _readable(self, table: str, delta: DeltaTable) -> Snapshot:
        try:
            return _snapshot(table, delta)
        except (DeltaError, OSError, ValueError) as error:
            raise self._unreadable(table, error) from error

    def _unreadable(self, table: str, error: Exception) -> OfflineStoreError:
        return OfflineStoreError(
            f"Offline table '{table}' in {self.directory} cannot be read: {_first_line(error)}. Restore the folder, or "
            "delete it and materialize again."
        )

    def _newest_token(self, table: str) -> int:
        found = self.snapshot(table)
        return found.token if found else 0


def _write(target: Path | DeltaTable, commit: Commit, rows: pa.RecordBatchReader, at_us: int) -> None:
    """Commit on exactly the version that `target` has loaded: another commit meanwhile is a conflict."""
    marks = commit.marks
    states = {
        _START: marks.start_us,
        _WATERMARK: marks.watermark_us,
        _REACH: marks.reach_us,
        _CREATED: marks.created_us,
        _PUSHED: marks.pushed,
        LEASE: commit.token,
        COMMITTED_AT: at_us,
        **({} if commit.statistics is None else {_STATISTICS: commit.statistics}),
    }
    properties = CommitProperties(
        custom_metadata={**commit.notes, COMMITTED_AT: str(at_us)},
        app_transactions=[Transaction(name, UNBOUNDED if mark is None else mark) for name, mark in states.items()],
        max_commit_retries=0,
    )
    if isinstance(target, Path):
        write_deltalake(
            target,
            rows,
            mode="error",
            configuration={**_SETTINGS, **_counted_columns(rows.schema)},
            commit_properties=properties,
            writer_properties=LAYOUT,
        )
    elif commit.replaced is None:
        write_deltalake(target, rows, mode="append", commit_properties=properties, writer_properties=LAYOUT)
    else:
        write_deltalake(
            target,
            rows,
            mode="overwrite",
            predicate=_predicate(commit.replaced),
            commit_properties=properties,
            writer_properties=LAYOUT,
        )


def _counted_columns(schema: pa.Schema) -> dict[str, str]:
    """The columns whose bounds stand in the log: what commits select by. Bounds of keys would outlive an erased key."""
    return {"delta.dataSkippingStatsColumns": ",".join(n for n in (EVENT_TIMESTAMP, SEQUENCE) if n in schema.names)}


def _snapshot(table: str, delta: DeltaTable) -> Snapshot:
    marks = [delta.transaction_version(name) for name in (_START, _WATERMARK, _REACH, _CREATED, _PUSHED)]
    token, committed_at = (delta.transaction_version(name) for name in (LEASE, COMMITTED_AT))
    if token is None or committed_at is None or None in marks:
        raise ValueError("it carries no watermark, so this platform did not write it")
    actions = delta.get_add_actions(flatten=True)  # read as it is: pyarrow would load pandas first
    files = tuple(_local_path(uri) for uri in delta.file_uris())
    greatest: Iterable[int | None] = actions.column(f"max.{SEQUENCE}").to_pylist() if files else []
    return Snapshot(
        table=table,
        version=delta.version(),
        files=files,
        rows=sum(actions.column("num_records").to_pylist()),
        marks=Marks(*(None if mark == UNBOUNDED else mark for mark in marks)),
        committed_at_us=committed_at,
        token=token,
        statistics=delta.transaction_version(_STATISTICS),
        pushed_files=tuple(
            file for file, last in zip(files, greatest, strict=True) if last is None or last >= FIRST_PUSHED
        ),
    )


def _local_path(uri: str) -> str:
    return unquote(urlparse(uri).path) if uri.startswith("file:") else uri


def _predicate(replaced: Replaced) -> str | None:
    """What the rows that go away have in common; None: all rows."""
    if replaced.whole:
        return None
    bounds = [f"{SEQUENCE} < {FIRST_PUSHED}"]
    if replaced.from_us is not None:
        bounds.append(f"{EVENT_TIMESTAMP} >= '{to_datetime(replaced.from_us).isoformat()}'")
    if replaced.until_us is not None:
        bounds.append(f"{EVENT_TIMESTAMP} < '{to_datetime(replaced.until_us).isoformat()}'")
    return " AND ".join(bounds)


def _conflict(commit: Commit) -> ConflictError:
    return ConflictError(f"Offline table '{commit.table}' was committed to by another writer meanwhile. Run again.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
