"""What keeps tables small and clean: rows taken out, small files joined, files that no kept version has removed.

Whoever calls holds the table's lease.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError

from featurestore.errors import OfflineStoreError, VersionGoneError
from featurestore.offline.tables import COMMITTED_AT, LAYOUT, LEASE, OfflineTables, Snapshot
from featurestore.timeline import SEQUENCE

TARGET_BYTES = 128 << 20  # files below half of it are joined


def take_out(tables: OfflineTables, table: str, sequences: Collection[int], at_us: int, token: int) -> Snapshot:
    """A new version of a table without the rows of those sequences; the log names no value of theirs."""
    before = _newest(tables, table)
    try:
        DeltaTable(tables.directory / table).delete(
            " OR ".join(_ranges(sequences)),
            writer_properties=LAYOUT,
            commit_properties=_properties(before, at_us, token, "rows taken out"),
        )
    except (DeltaError, OSError) as error:
        raise _failed(table, error) from error
    return _newest(tables, table)


def join_small_files(tables: OfflineTables, table: str, at_us: int, token: int) -> Snapshot:
    """A new version of a table with the same rows in fewer files; the same version when there is nothing to join."""
    before = _newest(tables, table)
    try:
        DeltaTable(tables.directory / table).optimize.compact(
            target_size=TARGET_BYTES,
            writer_properties=LAYOUT,
            commit_properties=_properties(before, at_us, token, "files joined"),
        )
    except (DeltaError, OSError) as error:
        raise _failed(table, error) from error
    return _newest(tables, table)


def commits(tables: OfflineTables, table: str) -> dict[int, int]:
    """When each version that the log still knows was committed."""
    try:
        entries = DeltaTable(tables.directory / table).history()
    except (DeltaError, OSError) as error:
        raise _failed(table, error) from error
    return {int(entry["version"]): int(entry[COMMITTED_AT]) for entry in entries}


def data_files(tables: OfflineTables, table: str) -> list[Path]:
    """Every data file in a table's folder, of whatever version or none."""
    return sorted((tables.directory / table).glob("*.parquet"))


def files_of(tables: OfflineTables, table: str, versions: Iterable[int]) -> set[str]:
    """The files of those versions that are still whole."""
    found: set[str] = set()
    for version in versions:
        with suppress(VersionGoneError):
            found.update(tables.kept(table, version).files)
    return found


def _ranges(sequences: Collection[int]) -> list[str]:
    """Conditions on the sequence: rows of one key mostly follow each other, so few ranges hold them."""
    ordered = sorted(sequences)
    breaks = [index for index, (one, other) in enumerate(pairwise(ordered), start=1) if other != one + 1]
    starts, ends = [0, *breaks], [*breaks, len(ordered)]
    runs = [(ordered[start], ordered[end - 1]) for start, end in zip(starts, ends, strict=True)]
    single = [str(first) for first, last in runs if first == last]
    listed = [f"{SEQUENCE} IN ({', '.join(single)})"] if single else []
    return [*(f"{SEQUENCE} BETWEEN {first} AND {last}" for first, last in runs if first != last), *listed]


def _properties(before: Snapshot, at_us: int, token: int, what: str) -> CommitProperties:
    """The marks of the table stay as they are; when it was committed and under which lease changes."""
    committed_us = max(at_us, before.committed_at_us)
    return CommitProperties(
        custom_metadata={"upkeep": what, COMMITTED_AT: str(committed_us)},
        app_transactions=[Transaction(COMMITTED_AT, committed_us), Transaction(LEASE, token)],
        max_commit_retries=0,
    )


def _newest(tables: OfflineTables, table: str) -> Snapshot:
    found = tables.snapshot(table)
    if found is None:
        raise VersionGoneError(f"Offline table '{table}' is gone.")
    return found


def _failed(table: str, error: Exception) -> OfflineStoreError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return OfflineStoreError(f"Offline table '{table}' cannot be written: {reason}. Run again; nothing has changed.")


def small_files(files: Sequence[str]) -> int:
    """How many of the files are worth joining."""
    return sum(Path(file).stat().st_size < TARGET_BYTES // 2 for file in files)
