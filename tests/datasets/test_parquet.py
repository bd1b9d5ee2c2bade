"""Rows to one Parquet file: the next ones are read while those before are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.parquet import GROUP_ROWS, write_parquet

SCHEMA = pa.schema([("n", pa.int64())])


def _batch(first: int, rows: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(first, first + rows))], schema=SCHEMA)


def test_next_group_is_read_while_the_one_before_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Event()
    write_table = pq.ParquetWriter.write_table

    def batches() -> Iterator[pa.RecordBatch]:
        yield _batch(0, GROUP_ROWS)
        asked.set()
        yield _batch(GROUP_ROWS, 1)

    def write(writer: pq.ParquetWriter, table: pa.Table, row_group_size: int) -> None:
        assert asked.wait(10)
        write_table(writer, table, row_group_size)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    assert write_parquet(tmp_path / "rows.parquet", SCHEMA, batches()) == GROUP_ROWS + 1
    assert pq.read_table(tmp_path / "rows.parquet").column("n").to_pylist() == list(range(GROUP_ROWS + 1))


def test_failure_of_a_later_group_reaches_the_caller_and_leaves_no_file(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield _batch(0, 2 * GROUP_ROWS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_parquet(tmp_path / "rows.parquet", SCHEMA, batches())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cuts", [(0,), (1, 0, 5), (GROUP_ROWS, 3), (2 * GROUP_ROWS + 7, 1)])
def test_rows_keep_their_order_however_they_come(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    firsts = [sum(cuts[:place]) for place in range(len(cuts))]
    batches = [_batch(first, rows) for first, rows in zip(firsts, cuts, strict=True)]
    assert write_parquet(tmp_path / "rows.parquet", SCHEMA, batches) == sum(cuts)
    assert pq.read_table(tmp_path / "rows.parquet").column("n").to_pylist() == list(range(sum(cuts)))
