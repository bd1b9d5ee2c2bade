"""Commits to offline tables: intervals replaced whole, with their watermark."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from featurestore.errors import ConflictError, OfflineStoreError
from featurestore.offline.lease import lease
from featurestore.offline.tables import Commit, OfflineTables, Snapshot
from featurestore.timeline import EVENT_TIMESTAMP

SCHEMA = pa.schema([(EVENT_TIMESTAMP, pa.timestamp("us", tz="UTC")), ("n", pa.int64())])


def rows(*pairs: tuple[int, int]) -> pa.RecordBatchReader:
    times, numbers = ([pair[i] for pair in pairs] for i in (0, 1))
    table = pa.table([pa.array(times, pa.int64()).cast(SCHEMA.types[0]), pa.array(numbers, pa.int64())], schema=SCHEMA)
    return table.to_reader()


def commit(start: int | None, end: int | None, base: int | None, watermark: int, kept: int | None = None) -> Commit:
    return Commit("t", base, start, end, kept, watermark, {"view": "v"})


def content(snapshot: Snapshot | None) -> list[tuple[int, int]]:
    assert snapshot is not None
    if not snapshot.files:
        return []
    query = f"SELECT epoch_us({EVENT_TIMESTAMP}), n FROM read_parquet($files) ORDER BY ALL"
    found: list[tuple[int, int]] = duckdb.execute(query, {"files": list(snapshot.files)}).fetchall()
    return found


@pytest.fixture
def tables(tmp_path: Path) -> OfflineTables:
    return OfflineTables(tmp_path / "views")


def test_a_table_that_was_never_committed_has_no_snapshot(tables: OfflineTables) -> None:
    assert tables.snapshot("t") is None


def test_a_first_commit_carries_rows_and_watermark(tables: OfflineTables) -> None:
    snapshot = tables.commit(commit(None, 10, None, 10), rows((1, 1), (9, 2)))
    assert content(snapshot) == [(1, 1), (9, 2)]
    assert (snapshot.version, snapshot.rows, snapshot.start_us, snapshot.watermark_us) == (0, 2, None, 10)
    assert tables.snapshot("t") == snapshot


def test_a_commit_replaces_its_interval_to_the_microsecond(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10_000_000, None, 10_000_000), rows((1_000_122, 1), (1_000_123, 2), (1_000_125, 3)))
    snapshot = tables.commit(commit(1_000_123, 1_000_125, 0, 10_000_000), rows((1_000_124, 9)))
    assert content(snapshot) == [(1_000_122, 1), (1_000_124, 9), (1_000_125, 3)]


def test_intervals_before_1970_are_replaced_too(tables: OfflineTables) -> None:
    tables.commit(commit(None, 0, None, 0), rows((-5, 1), (-3, 2)))
    assert content(tables.commit(commit(-4, 0, 0, 0), rows((-2, 3)))) == [(-5, 1), (-2, 3)]


def test_an_interval_without_rows_still_moves_the_watermark(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    snapshot = tables.commit(commit(10, 20, 0, 20), rows())
    assert (content(snapshot), snapshot.watermark_us) == ([(1, 1)], 20)


def test_a_commit_without_bounds_replaces_everything(tables: OfflineTables) -> None:
    tables.commit(commit(None, None, None, 10), rows((1, 1)))
    assert content(tables.commit(commit(None, None, 0, 20), rows((50, 2)))) == [(50, 2)]


def test_a_committed_start_before_1970_is_kept(tables: OfflineTables) -> None:
    assert tables.commit(commit(-7, 5, None, 5, kept=-7), rows((1, 1))).start_us == -7


def test_an_older_version_stays_readable(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    tables.commit(commit(None, None, 0, 20), rows((2, 2)))
    before = tables.snapshot("t", version=0)
    assert (content(before), before and before.watermark_us) == ([(1, 1)], 10)


def test_a_commit_on_an_older_version_is_refused(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    tables.commit(commit(10, 20, 0, 20), rows((11, 2)))
    with pytest.raises(ConflictError, match="Run again"):
        tables.commit(commit(10, 20, 0, 20), rows((12, 3)))
    assert content(tables.snapshot("t")) == [(1, 1), (11, 2)]


def test_an_error_while_rows_are_read_leaves_the_table_as_it_was(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))

    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows((11, 2))
        raise OSError("the source went away")

    with pytest.raises(OfflineStoreError, match="what was committed before is unchanged"):
        tables.commit(commit(10, 20, 0, 20), pa.RecordBatchReader.from_batches(SCHEMA, broken()))
    snapshot = tables.snapshot("t")
    assert (content(snapshot), snapshot and snapshot.watermark_us) == ([(1, 1)], 10)


def test_a_damaged_log_is_one_clear_sentence(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    next((tables.directory / "t" / "_delta_log").glob("*.json")).write_text("{")
    with pytest.raises(OfflineStoreError, match=r"Offline table 't' in .* cannot be read"):
        tables.snapshot("t")


def test_a_directory_that_is_a_file_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "views").write_text("")
    with pytest.raises(OfflineStoreError, match="cannot be written"):
        OfflineTables(tmp_path / "views").commit(commit(None, 10, None, 10), rows((1, 1)))


def test_a_second_holder_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    with lease(tmp_path, "t"), pytest.raises(ConflictError, match="being written"), lease(tmp_path, "t"):
        pass
    with lease(tmp_path, "t"):
        pass


def test_leases_of_two_tables_do_not_meet(tmp_path: Path) -> None:
    with lease(tmp_path, "a"), lease(tmp_path, "b"):
        pass


def _hold(directory: Path, ready: multiprocessing.synchronize.Event) -> None:
    with lease(directory, "t"):
        ready.set()
        multiprocessing.Event().wait()


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join()
    with lease(tmp_path, "t"):
        pass
