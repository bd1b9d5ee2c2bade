"""Fills an online store from the offline tables: our own rebuild, or the least that LMDB asks for."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import lmdb
import msgspec
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.inputs import ONLINE_VIEWS
from benchmarks.measure import measured
from featurestore import FeatureStore

_KEY = struct.Struct(">q")
_HIDDEN = "__"  # columns that are no feature begin so
_LAST = """
WITH rows AS (
    SELECT key, __event_timestamp, __sequence, filename, file_row_number
    FROM read_parquet({files}, filename=true, file_row_number=true)
), last AS (
    SELECT max_by((filename, file_row_number), (__event_timestamp, __sequence)) AS place
    FROM rows GROUP BY key
)
SELECT key, {features} FROM read_parquet({files}, filename=true, file_row_number=true)
SEMI JOIN last ON (filename, file_row_number) = place
ORDER BY key"""


def load_raw(workspace: Path, threads: int) -> None:
    """Each view's last rows, chosen by DuckDB, appended to a database of their own in the order of keys."""
    folder = workspace / "raw-loaded"
    shutil.rmtree(folder, ignore_errors=True)
    connection = duckdb.connect(config={"threads": threads})
    with lmdb.open(str(folder), map_size=1 << 32, max_dbs=len(ONLINE_VIEWS)) as environment:
        for table in sorted(log.parent for log in (workspace / "project/data/offline/views").glob("*/_delta_log")):
            database = environment.open_db(table.name.encode())
            with environment.begin(write=True, db=database) as transaction:
                for key, record in _records(connection, table):
                    if not transaction.put(key, record, append=True):
                        raise SystemExit(f"LMDB refuses {key!r} of {table.name}.")


def _records(connection: duckdb.DuckDBPyConnection, table: Path) -> Iterator[tuple[bytes, bytes]]:
    files = DeltaTable(table).file_uris()
    names = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [files]).fetchall()
    features = ", ".join(f'"{name}"' for name, *_ in names if name != "key" and not name.startswith(_HIDDEN))
    listed = "[" + ", ".join(f"'{file}'" for file in files) + "]"
    encode = msgspec.msgpack.Encoder().encode
    reader: pa.RecordBatchReader = connection.execute(_LAST.format(files=listed, features=features)).to_arrow_reader()
    for batch in reader:
        keys, *values = (column.to_pylist() for column in batch.columns)
        for key, row in zip(keys, zip(*values, strict=True), strict=True):
            yield _KEY.pack(key), encode(row)


def load_ours(workspace: Path, url: str) -> None:
    """`rebuild_online`, which is what `featurestore online rebuild` calls."""
    os.environ["FEATURESTORE_ONLINE__URL"] = url
    with FeatureStore(workspace / "project") as store:
        store.rebuild_online()


def main() -> None:
    """Arguments: workspace, threads, and the URL of the store, or `raw`."""
    workspace, threads, url = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    measured(lambda: load_raw(workspace, threads) if url == "raw" else load_ours(workspace, url))


if __name__ == "__main__":
    main()
