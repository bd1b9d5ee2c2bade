"""What commits do to a table's statistics; the tables are Parquet files with a sequence, as the offline store has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.arrow import arrow_type
from featurestore.dtypes import Timestamp, parse
from featurestore.errors import OfflineStoreError
from featurestore.offline.tables import Marks, Replaced, Snapshot
from featurestore.plan.nodes import Column
from featurestore.statistics.files import FOLDER, StatisticsFiles
from featurestore.statistics.reading import Asked, Shown, read_statistics
from featurestore.statistics.recording import ROWS_PER_COMMIT, Change, Recorder
from featurestore.statistics.records import ViewStatistics
from featurestore.timeline import EVENT_TIMESTAMP, FIRST_PUSHED, SEQUENCE

COLUMNS = [Column("n", parse("Int64")), Column("t", parse("String"))]
SHOWN = [Shown("number", "n", parse("Int64")), Shown("text", "t", parse("String"))]
Row = tuple[int, int | None, str]


class Table:
    """A table as commits would make it: what a commit keeps of the older rows, and its own."""

    def __init__(self, directory: Path) -> None:
        self.recorder = Recorder(directory, threads=1)
        self.directory = directory
        self.rows: list[tuple[int, Row]] = []
        self.name: int | None = None
        self.commits = 0

    def commit(
        self,
        *rows: Row,
        replaced: tuple[int | None, int | None] | None = None,
        whole: bool = False,
        pushed: bool = False,
    ) -> None:
        self.commits += 1
        first = self.commits * ROWS_PER_COMMIT + (FIRST_PUSHED if pushed else 0)
        target = Replaced(whole=True) if whole else Replaced(*replaced) if replaced is not None else None
        self.name = self.recorder.record("v", COLUMNS, _arrow(rows), Change(self._base(), target, first))
        start, end = replaced or (0, 0)
        kept = [
            (sequence, row)
            for sequence, row in self.rows
            if not whole
            and (
                sequence >= FIRST_PUSHED
                or replaced is None
                or (start is not None and row[0] < start)
                or (end is not None and row[0] >= end)
            )
        ]
        self.rows = [*kept, *((first + place, row) for place, row in enumerate(rows))]

    def statistics(self, start: int | None = None, end: int | None = None) -> ViewStatistics:
        return read_statistics(self.directory / "v", self.name, len(self.rows), Asked("v", "rows", SHOWN, start, end))

    def _base(self) -> Snapshot:
        return Snapshot("v", 0, (self._file(),), len(self.rows), Marks(), 0, 0, self.name)

    def _file(self) -> str:
        path = self.directory / f"{self.commits}.parquet"
        table = _arrow([row for _, row in self.rows])
        pq.write_table(table.append_column(SEQUENCE, pa.array([s for s, _ in self.rows], pa.int64())), path)
        return str(path)


def _arrow(rows: Iterable[Row]) -> pa.Table:
    times, numbers, texts = ([row[i] for row in rows] for i in range(3))
    time = pa.array(times, pa.int64()).cast(arrow_type(Timestamp))
    return pa.table({EVENT_TIMESTAMP: time, "n": pa.array(numbers, pa.int64()), "t": pa.array(texts, pa.string())})


def intervals(found: ViewStatistics) -> list[tuple[int | None, int | None, int, bool]]:
    return [(one.start_us, one.end_us, one.rows, one.pushed) for one in found.intervals]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_each_commit_is_an_interval_and_all_of_them_are_merged(table: Table) -> None:
    table.commit((1, 10, "a"), (2, None, "a"), replaced=(None, 10))
    table.commit((11, 30, "b"), (12, 30, "a"), replaced=(10, 20))
    found = table.statistics()
    assert intervals(found) == [(None, 10, 2, False), (10, 20, 2, False)]
    number, text = found.features
    assert (found.rows, found.uncounted, number.rows, number.nulls, number.min, number.max) == (4, 0, 4, 1, 10, 30)
    assert (number.histogram.edges, number.histogram.counts) == ((10.0, 30.0, 31.0), (0, 1, 2, 0))
    assert (text.histogram.categories, text.histogram.counts) == (("a",), (3, 1))
    first, second = found.intervals
    assert first.features[0].histogram.counts == (0, 1, 0, 0)
    assert second.features[1].histogram.counts == (1, 1)


def test_an_interval_that_is_committed_again_is_replaced(table: Table) -> None:
    table.commit((1, 10, "a"), replaced=(None, 10))
    table.commit((11, 20, "a"), replaced=(10, 20))
    table.commit((12, 77, "a"), (13, 77, "a"), replaced=(10, 20))
    assert intervals(table.statistics()) == [(None, 10, 1, False), (10, 20, 2, False)]
    assert table.statistics().feature("number").max == 77


def test_an_interval_that_is_replaced_in_part_is_counted_again(table: Table) -> None:
    table.commit(*((at, at, "a") for at in range(10)), replaced=(None, 10))
    table.commit((4, 400, "a"), replaced=(3, 6))
    found = table.statistics()
    assert intervals(found) == [(None, 3, 3, False), (3, 6, 1, False), (6, 10, 4, False)]
    assert [(one.features[0].min, one.features[0].max) for one in found.intervals] == [(0, 2), (400, 400), (6, 9)]
    assert found.uncounted == 0


def test_rows_that_are_added_stay_until_their_own_time_is_replaced(table: Table) -> None:
    table.commit((1, 1, "a"), replaced=(None, 10))
    table.commit((3, 3, "late"), (8, 8, "late"))
    table.commit((5, 5, "pushed"), pushed=True)
    assert intervals(table.statistics()) == [(5, 6, 1, True), (3, 9, 2, False), (None, 10, 1, False)]
    table.commit((4, 4, "a"), replaced=(0, 5))
    assert intervals(table.statistics()) == [
        (None, 0, 0, False),
        (0, 5, 1, False),
        (5, 6, 1, True),
        (5, 9, 1, False),
        (5, 10, 0, False),
    ]
    assert table.statistics().uncounted == 0


def test_a_whole_replacement_leaves_nothing_behind(table: Table) -> None:
    table.commit((1, 1, "a"), pushed=True)
    table.commit((2, 2, "b"), whole=True)
    assert [one.rows for one in table.statistics().intervals] == [1]
    assert table.statistics().feature("number").max == 2


def test_an_interval_without_rows_is_there(table: Table) -> None:
    table.commit((1, 1, "a"), replaced=(None, 10))
    table.commit(replaced=(10, 20))
    assert intervals(table.statistics()) == [(None, 10, 1, False), (10, 20, 0, False)]
    table.commit()
    assert len(table.statistics().intervals) == 2


def test_bins_are_made_of_the_first_thousand_values_and_stay(table: Table) -> None:
    table.commit(*((at, at, "early") for at in range(600)), replaced=(None, 600))
    before = table.statistics().feature("number").histogram
    table.commit(*((at, at, "late") for at in range(600, 1200)), replaced=(600, 1200))
    frozen = table.statistics().feature("number").histogram
    table.commit(*((at, at, "new") for at in range(1200, 3200)), replaced=(1200, 3200))
    after = table.statistics().feature("number").histogram
    assert before.edges != frozen.edges == after.edges
    assert sum(frozen.counts) == 1200
    assert after.counts[:-1] == frozen.counts[:-1]
    assert after.counts[-1] == frozen.counts[-1] + 2000
    texts = table.statistics().feature("text").histogram
    assert (texts.categories, texts.counts) == (("early", "late"), (600, 600, 2000))


def test_intervals_that_overlap_what_is_asked_are_merged(table: Table) -> None:
    for start in (0, 10, 20):
        table.commit((start + 1, start, "a"), replaced=(start, start + 10))
    assert intervals(table.statistics(10, 20)) == [(10, 20, 1, False)]
    assert intervals(table.statistics(start=19)) == [(10, 20, 1, False), (20, 30, 1, False)]
    assert table.statistics(10, 20).uncounted == 0
    assert table.statistics(90).feature("number").rows == 0


def test_statistics_of_an_older_version_are_still_those_of_that_version(table: Table) -> None:
    table.commit((1, 1, "a"), replaced=(None, 10))
    older = table.name
    table.commit((2, 2, "a"), (3, 3, "a"), replaced=(None, 10))
    found = read_statistics(table.directory / "v", older, 1, Asked("v", "rows", SHOWN))
    assert (found.rows, found.feature("number").max) == (1, 1)


def test_what_nothing_names_is_removed_after_a_day(table: Table) -> None:
    folder = table.directory / "v" / FOLDER
    for _ in range(3):
        table.commit((1, 1, "a"), replaced=(None, 10))
    assert len(list(folder.iterdir())) == 6
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    table.commit((1, 1, "a"), replaced=(None, 10))
    assert len(list(folder.iterdir())) == 4  # this commit's, and the one's before it
    assert table.statistics().rows == 1


def test_files_that_are_gone_or_broken_count_as_rows_without_statistics(table: Table) -> None:
    table.commit((1, 1, "a"), replaced=(None, 10))
    table.commit((11, 1, "a"), (12, 1, "a"), replaced=(10, 20))
    files = StatisticsFiles(table.directory / "v" / FOLDER)
    assert table.name is not None
    index = files.index(table.name)
    assert index is not None
    (files.folder / f"{index.entries[0].file:016x}.profiles").write_bytes(b"no statistics")
    assert (table.statistics().rows, table.statistics().uncounted) == (2, 1)
    (files.folder / f"{table.name:016x}.index").unlink()
    assert (table.statistics().rows, table.statistics().uncounted) == (0, 3)
    table.commit((21, 1, "a"), replaced=(20, 30))
    assert (table.statistics().rows, table.statistics().uncounted) == (1, 3)


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(table: Table) -> None:
    (table.directory / "v").mkdir()
    (table.directory / "v" / FOLDER).write_text("in the way")
    with pytest.raises(OfflineStoreError, match="Statistics cannot be written"):
        table.commit((1, 1, "a"), replaced=(None, 10))
