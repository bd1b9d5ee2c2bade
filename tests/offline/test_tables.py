"""Commits to offline tables: intervals replaced whole, with their watermark."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from featurestore.errors import ConflictError, NotCommittedError, OfflineStoreError
from featurestore.offline.lease import lease
from featurestore.offline.tables import Commit, Marks, OfflineTables, Replaced, Snapshot
from featurestore.timeline import EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

SCHEMA = pa.schema([(EVENT_TIMESTAMP, pa.timestamp("us", tz="UTC")), (SEQUENCE, pa.int64()), ("n", pa.int64())])


def rows(*pairs: tuple[int, int], first: int = 0) -> pa.RecordBatchReader:
    times, numbers = ([pair[i] for pair in pairs] for i in (0, 1))
    sequence = pa.array(range(first, first + len(pairs)), pa.int64())
    events = pa.array(times, pa.int64()).cast(SCHEMA.types[0])
    return pa.table([events, sequence, pa.array(numbers, pa.int64())], schema=SCHEMA).to_reader()


def commit(
    start: int | None, end: int | None, base: int | None, watermark: int, kept: int | None = None, token: int = 1
) -> Commit:
    return Commit("t", base, Replaced(start, end), Marks(kept, watermark), 7, token, {"view": "v"})


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


def test_a_commit_of_an_interval_leaves_pushed_rows_alone(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1), (5, 2)))
    pushed = replace(commit(None, None, 0, 10), replaced=None)
    assert content(tables.commit(pushed, rows((5, 3), first=FIRST_PUSHED))) == [(1, 1), (5, 2), (5, 3)]
    assert content(tables.commit(commit(None, 10, 1, 10), rows((4, 4)))) == [(4, 4), (5, 3)]


def test_a_table_may_begin_without_a_watermark(tables: OfflineTables) -> None:
    snapshot = tables.commit(replace(commit(None, None, None, 0), replaced=None, marks=Marks()), rows((1, 1)))
    assert (content(snapshot), snapshot.watermark_us) == ([(1, 1)], None)


def test_the_marks_of_a_version_are_those_of_its_commit(tables: OfflineTables) -> None:
    marks = Marks(start_us=-7, watermark_us=5, reach_us=-9, created_us=0)
    assert tables.commit(replace(commit(None, 5, None, 5), marks=marks), rows((1, 1))).marks == marks
    assert tables.commit(replace(commit(None, 5, 0, 5), marks=Marks()), rows((1, 1))).marks == Marks()


def test_a_commit_without_bounds_replaces_everything(tables: OfflineTables) -> None:
    tables.commit(commit(None, None, None, 10), rows((1, 1), first=FIRST_PUSHED))
    whole = replace(commit(None, None, 0, 20), replaced=Replaced(whole=True))
    assert content(tables.commit(whole, rows((50, 2)))) == [(50, 2)]


def test_a_committed_start_before_1970_is_kept(tables: OfflineTables) -> None:
    assert tables.commit(commit(-7, 5, None, 5, kept=-7), rows((1, 1))).start_us == -7


def test_an_older_version_stays_readable(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    tables.commit(commit(None, None, 0, 20), rows((2, 2)))
    before = tables.snapshot("t", version=0)
    assert (content(before), before and before.watermark_us) == ([(1, 1)], 10)


def test_the_version_of_an_instant_is_the_newest_committed_by_then(tables: OfflineTables) -> None:
    assert tables.snapshot_at("t", 100) is None
    for number, at in enumerate((20, 30, 30, 25, 40)):  # the clock stands still, then goes back
        tables.commit(replace(commit(None, 10, number - 1 if number else None, 10), at_us=at), rows((1, number)))
    found = {at: tables.snapshot_at("t", at) for at in (20, 29, 30, 39, 40, 1000)}
    assert {at: s and (s.version, s.committed_at_us, content(s)) for at, s in found.items()} == {
        20: (0, 20, [(1, 0)]),
        29: (0, 20, [(1, 0)]),
        30: (3, 30, [(1, 3)]),
        39: (3, 30, [(1, 3)]),
        40: (4, 40, [(1, 4)]),
        1000: (4, 40, [(1, 4)]),
    }
    with pytest.raises(NotCommittedError, match=r"held nothing yet at 1970.*00:00.000019Z; its first commit") as error:
        tables.snapshot_at("t", 19)
    assert error.value.since_us == 20


def test_a_version_whose_files_are_gone_is_one_clear_sentence(tables: OfflineTables) -> None:
    first = tables.commit(commit(None, 10, None, 10), rows((1, 1)))
    tables.commit(replace(commit(None, 10, 0, 10), at_us=8), rows((1, 2)))
    Path(first.files[0]).unlink()
    with pytest.raises(OfflineStoreError, match="Version 0 of offline table 't' is gone"):
        tables.snapshot_at("t", 7)


def test_many_commits_later_the_first_version_still_answers(tables: OfflineTables) -> None:
    for number in range(110):  # the log is condensed every hundred commits
        tables.commit(
            replace(commit(None, None, number - 1 if number else None, 10), replaced=None, at_us=number),
            rows((1, number)),
        )
    assert content(tables.snapshot_at("t", 3)) == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_a_writer_whose_lease_was_taken_over_cannot_commit(tables: OfflineTables) -> None:
    tables.commit(commit(None, 10, None, 10, token=5), rows((1, 1)))
    with pytest.raises(ConflictError, match="taken over by another writer"):
        tables.commit(commit(None, 10, 0, 10, token=4), rows((1, 2)))
    assert content(tables.snapshot("t")) == [(1, 1)]
    tables.commit(commit(None, 10, 0, 10, token=5), rows((1, 3)))
    assert content(tables.snapshot("t")) == [(1, 3)]


def test_tokens_grow_even_when_the_lock_file_is_gone(tables: OfflineTables) -> None:
    tokens = []
    for base in (None, 0, 1):
        with tables.lease("t") as token:
            tokens.append(token)
            tables.commit(commit(None, 10, base, 10, token=token), rows((1, 1)))
        if base == 0:
            (tables.directory / "t.lock").unlink()
    assert tokens == [1, 2, 3]


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


def test_who_waits_gets_the_lease_when_it_is_free(tmp_path: Path) -> None:
    holding, tokens = threading.Event(), []

    def hold() -> None:
        with lease(tmp_path, "t") as token:
            tokens.append(token)
            holding.set()
            waiting.wait(30)

    waiting = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(30)
    with pytest.raises(ConflictError, match=r"was not free within 0\.05 seconds"), lease(tmp_path, "t", 0.05):
        pass
    threading.Timer(0.1, waiting.set).start()
    with lease(tmp_path, "t", 30) as token:
        assert [*tokens, token] == [1, 2]
    holder.join()


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
