"""Parquet files whose bytes depend on their rows alone: not on how the rows came in batches, threads or the clock.

They do depend on the version of pyarrow, which stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import InputError, OfflineStoreError
from featurestore.files import sync

GROUP_ROWS = 131_072


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the rows to a file, which appears whole or not at all, and return their number.

    Raises OfflineStoreError when the disk refuses, InputError for a column of a type that Parquet does not know.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    rows = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writer(partial, schema) as writer:
            for group in _read_ahead(groups(schema, batches)):
                writer.write_table(group, row_group_size=GROUP_ROWS)
                rows += group.num_rows
        sync(partial)
        partial.replace(path)
    except OSError as error:
        raise OfflineStoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"The rows do not fit a Parquet file: {error}. Cast or drop that column.") from error
    finally:
        partial.unlink(missing_ok=True)
    return rows


def groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in tables of GROUP_ROWS, the last one shorter, each of one chunk."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        rest = batch
        while held + rest.num_rows >= GROUP_ROWS:
            room = GROUP_ROWS - held
            yield pa.Table.from_batches([*waiting, rest.slice(0, room)], schema).combine_chunks()
            rest, waiting, held = rest.slice(room), [], 0
        if rest.num_rows:
            waiting.append(rest)
            held += rest.num_rows
    if held:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _read_ahead(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same tables, in order: the next one is read by a thread while the one before is in use."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = reader.submit(next, tables, None)
        while (table := waiting.result()) is not None:
            waiting = reader.submit(next, tables, None)
            yield table


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer that makes no dictionaries of numbers: they seldom repeat, and looking costs half of the writing."""
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pq.ParquetWriter(path, schema, use_dictionary=repeating, compression="snappy", version="2.6")
