"""Delta tables that hold what views have committed.

One table per storage fingerprint. A commit replaces one interval and carries, as Delta application transactions, the
committed start and the watermark, so that data and progress become visible in the same instant; and for people, as
custom metadata, the view, the interval and the row counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from featurestore.errors import ConflictError, OfflineStoreError
from featurestore.timeline import EVENT_TIMESTAMP, to_datetime

UNBOUNDED = -(2**63)  # stands for the beginning of time, where a first run took everything
_LAYOUT = WriterProperties(compression="SNAPPY", max_row_group_size=122_880)  # what DuckDB reads in one go
_START, _WATERMARK, _REACH = "featurestore.start", "featurestore.watermark", "featurestore.reach"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table: its data files, and what is committed without a gap: [start_us, watermark_us).

    `start_us` None: from the beginning. `reach_us`: events before it do not exist for a windowed view (None: all do).
    `committed_at_us` is when this version was committed.
    """

    table: str
    version: int
    files: tuple[str, ...]
    rows: int
    start_us: int | None
    watermark_us: int
    reach_us: int | None
    committed_at_us: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit replaces: rows with event time in [delete_from_us, end_us); with both None all of them.

    `delete_from_us` None alone: from the beginning. `start_us` and `watermark_us` are what is committed without a gap
    afterwards, `reach_us` the earliest event that exists for a windowed view. `base_version` is the version this was
    computed on; None means that there was no table. `notes` are kept in the log for people.
    """

    table: str
    base_version: int | None
    delete_from_us: int | None
    end_us: int | None
    start_us: int | None
    watermark_us: int
    notes: Mapping[str, str]
    reach_us: int | None = None

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
        path = self.directory / table
        if not (path / "_delta_log").exists():
            return None
        try:
            return _snapshot(table, DeltaTable(path, version=version))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise OfflineStoreError(
                f"Offline table '{table}' in {self.directory} cannot be read: {_first_line(error)}. Restore the "
                "folder, or delete it and materialize again."
            ) from error

    def commit(self, commit: Commit, rows: pa.RecordBatchReader) -> Snapshot:
        """Replace the commit's interval by `rows` and return the new version; nothing is visible before that.

        Raises ConflictError when another writer committed since `base_version`, OfflineStoreError when the disk
        refuses. An error while `rows` are read leaves the table as it was.
        """
        before = self.snapshot(commit.table)
        found = before.version if before else None
        if found != commit.base_version:
            raise _conflict(commit)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write(commit, rows)
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

    def _write(self, commit: Commit, rows: pa.RecordBatchReader) -> None:
        path = self.directory / commit.table
        marks = {_START: commit.start_us, _WATERMARK: commit.watermark_us, _REACH: commit.reach_us}
        properties = CommitProperties(
            custom_metadata=dict(commit.notes),
            app_transactions=[Transaction(n, UNBOUNDED if us is None else us) for n, us in marks.items()],
            max_commit_retries=0,
        )
        if commit.base_version is None:
            write_deltalake(path, rows, mode="error", commit_properties=properties, writer_properties=_LAYOUT)
            return
        predicate = _interval_predicate(commit)
        write_deltalake(
            path,
            rows,
            mode="overwrite",
            predicate=predicate,
            commit_properties=properties,
            writer_properties=_LAYOUT,
        )


def _snapshot(table: str, delta: DeltaTable) -> Snapshot:
    start, watermark, reach = (delta.transaction_version(name) for name in (_START, _WATERMARK, _REACH))
    if start is None or watermark is None or reach is None:
        raise ValueError("it carries no watermark, so this platform did not write it")
    latest = delta.history(limit=1)[0]
    counts = pa.table(delta.get_add_actions(flatten=True)).column("num_records").to_pylist()
    return Snapshot(
        table=table,
        version=delta.version(),
        files=tuple(_local_path(uri) for uri in delta.file_uris()),
        rows=sum(counts),
        start_us=None if start == UNBOUNDED else start,
        watermark_us=watermark,
        reach_us=None if reach == UNBOUNDED else reach,
        committed_at_us=int(latest["timestamp"]) * 1000,
    )


def _local_path(uri: str) -> str:
    return unquote(urlparse(uri).path) if uri.startswith("file:") else uri


def _interval_predicate(commit: Commit) -> str | None:
    bounds = []
    if commit.delete_from_us is not None:
        bounds.append(f"{EVENT_TIMESTAMP} >= '{to_datetime(commit.delete_from_us).isoformat()}'")
    if commit.end_us is not None:
        bounds.append(f"{EVENT_TIMESTAMP} < '{to_datetime(commit.end_us).isoformat()}'")
    return " AND ".join(bounds) or None


def _conflict(commit: Commit) -> ConflictError:
    return ConflictError(
        f"Offline table '{commit.table}' was committed to by another materialization meanwhile. Run again."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
