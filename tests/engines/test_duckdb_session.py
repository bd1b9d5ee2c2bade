"""Memory, disk and life of the duckdb engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.engines.base import FileSpine, QuerySpine
from featurestore.engines.duckdb import DuckDbEngine
from featurestore.engines.duckdb.errors import sentence
from featurestore.errors import ConfigurationError, FeatureStoreError, SourceError
from featurestore.plan.nodes import ParquetScan
from featurestore.testing.engines.suite import PRESENT, ask, history, join_of, read
from featurestore.testing.engines.tables import instants, source_columns, source_rows, view_table

SORTED = "SELECT hash(n) AS h, n AS a, n AS b, n AS c FROM range({rows}) AS numbers(n) ORDER BY h"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDbEngine]:
    engine = DuckDbEngine(memory_limit="60MB", temp_directory=tmp_path / "spill", threads=2)
    yield engine
    engine.close()


def test_what_exceeds_the_memory_limit_spills_to_the_temp_directory(engine: DuckDbEngine, tmp_path: Path) -> None:
    with engine.query(SORTED.format(rows=4_000_000), ()) as reader:
        first = reader.read_next_batch()
        assert any(file.stat().st_size > 0 for file in (tmp_path / "spill").rglob("*.tmp"))
        hashes = pa.chunked_array([first.column("h"), *(batch.column("h") for batch in reader)])
    assert len(hashes) == 4_000_000
    assert hashes.equals(hashes.take(pa.compute.sort_indices(hashes)))


def test_close_leaves_nothing_on_disk(tmp_path: Path) -> None:
    engine = DuckDbEngine(memory_limit="60MB", temp_directory=tmp_path / "spill")
    with engine.query(SORTED.format(rows=2_000_000), ()) as reader:
        reader.read_next_batch()
    engine.close()
    engine.close()
    assert list((tmp_path / "spill").iterdir()) == []


def test_two_engines_share_a_temp_directory(tmp_path: Path) -> None:
    one, other = (DuckDbEngine(temp_directory=tmp_path) for _ in range(2))
    one.close()
    with other.query("SELECT 1 AS x", ()) as reader:
        assert reader.read_all().to_pydict() == {"x": [1]}
    other.close()


def test_a_closed_engine_says_so() -> None:
    engine = DuckDbEngine()
    engine.close()
    with pytest.raises(FeatureStoreError, match="closed"), engine.query("SELECT 1", ()):
        pass


def test_a_memory_limit_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'a lot'"):
        DuckDbEngine(memory_limit="a lot", temp_directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_temp_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="temp_directory"):
        DuckDbEngine(temp_directory=tmp_path / "file" / "below")


def test_too_little_memory_is_said_with_the_remedy(tmp_path: Path) -> None:
    engine = DuckDbEngine(memory_limit="8MB", temp_directory=tmp_path, threads=2)
    with (
        pytest.raises(FeatureStoreError, match="Raise memory_limit"),
        engine.query(SORTED.format(rows=2_000_000), ()) as reader,
    ):
        reader.read_all()
    engine.close()


@pytest.mark.parametrize(
    "text",
    [
        "Out of Memory Error: failed to offload data block of size 224.0 KiB (19.0 MiB/19.0 MiB used).\nThis limit was",
        'IO Error: Could not write file "/spill/block.tmp": No space left on device',
    ],
)
def test_a_full_disk_is_one_sentence_with_the_remedy(text: str) -> None:
    error = sentence(duckdb.Error(text), "View 'spend'", SourceError)
    assert str(error) == (
        "View 'spend': the disk for temporary files is full. Free space, or give a temp_directory on a larger disk."
    )


def test_a_source_replaced_between_two_calls_is_read_anew(engine: DuckDbEngine, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    rows = source_rows(view_table(), ParquetScan("rows", str(file)))
    for value in (1, 2):
        pq.write_table(pa.table(source_columns(view_table(("a", 10, value)))), file)
        assert ask(engine, rows, [("a", 10)]) == [(value, PRESENT)]
        assert read(engine.query("SELECT max(x) AS x FROM rows", (rows.scan,))).to_pydict() == {"x": [value]}


def test_a_result_that_is_not_read_blocks_no_other(engine: DuckDbEngine) -> None:
    with engine.query(SORTED.format(rows=500_000), ()) as open_reader:
        open_reader.read_next_batch()
        assert ask(engine, source_rows(view_table(("a", 10, 1))), [("a", 10)]) == [(1, PRESENT)]
        assert sum(batch.num_rows for batch in open_reader) > 0


def test_spine_order_and_ties_hold_over_many_batches(engine: DuckDbEngine) -> None:
    size = 300_000
    view = view_table(*((f"k{n % 1_000}", n // 1_000 // 3, n) for n in range(30_000)))
    keys = pa.array([f"k{n * 7 % 1_003}" for n in range(size)])
    spine = pa.table({"k": keys, "t": instants(n % 12 for n in range(size)), "row": pa.array(range(size))})
    table = history(engine, spine, join_of(source_rows(view)))
    assert table.select(["k", "t", "row"]).equals(spine)
    # Key k<n> has rows n, n + 1000, ...: three rows for each of ten instants, of which the last wins.
    expected = [
        None if n * 7 % 1_003 >= 1_000 else n * 7 % 1_003 + 1_000 * (3 * min(n % 12, 9) + 2) for n in range(size)
    ]
    assert table.column("x").to_pylist() == expected


@pytest.mark.parametrize("kind", ["file", "query"])
def test_the_order_of_a_long_spine_is_that_of_its_origin(engine: DuckDbEngine, tmp_path: Path, kind: str) -> None:
    size = 400_000
    sql = f"SELECT 'k' || n % 5 AS k, make_timestamptz(n % 3) AS t, n FROM range({size}) AS numbers(n) ORDER BY hash(n)"
    spine = read(engine.query(sql, ()))
    pq.write_table(spine, tmp_path / "spine.parquet", row_group_size=50_000)
    asked = FileSpine(tmp_path / "spine.parquet") if kind == "file" else QuerySpine(sql, ())
    table = history(engine, asked, join_of(source_rows(view_table(*((f"k{n}", 1, n) for n in range(5))))))
    assert table.select(["k", "t", "n"]).equals(spine)
    expected = [None if n % 3 == 0 else n % 5 for n in spine.column("n").to_pylist()]
    assert table.column("x").to_pylist() == expected
