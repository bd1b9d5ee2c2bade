"""Several readers of equally many rows, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa


def side_by_side(readers: Sequence[Iterator[pa.RecordBatch]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of all readers, row by row; the readers may cut their batches differently.

    `schema` names all columns, in the order of the readers. Readers must have equally many rows.
    """
    pending = [next_rows(reader) for reader in readers]
    while all(batch is not None for batch in pending):
        batches = [batch for batch in pending if batch is not None]
        length = min(batch.num_rows for batch in batches)
        columns = [column for batch in batches for column in batch.slice(0, length).columns]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
        pending = [
            batch.slice(length) if batch.num_rows > length else next_rows(reader)
            for batch, reader in zip(batches, readers, strict=True)
        ]
    if any(batch is not None for batch in pending):
        raise AssertionError("the readers do not have equally many rows")


def next_rows(reader: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """The next batch that has rows; None at the end."""
    return next((batch for batch in reader if batch.num_rows), None)
