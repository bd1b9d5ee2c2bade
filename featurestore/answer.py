"""Rows that are computed when a person asks for them, in the form that is asked for."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from featurestore.parquet import write_parquet

if TYPE_CHECKING:
    import pandas as pd


class Answer:
    """Rows, computed on demand, each time anew. Integers stay integers beside nulls."""

    __slots__ = ()

    @abstractmethod
    def batches(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The rows as a stream of Arrow batches, valid inside the `with` block."""

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        with self.batches() as reader:
            return reader.read_all()

    def to_polars(self) -> pl.DataFrame:
        """All rows as a polars frame."""
        return pl.DataFrame(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas frame, with Arrow-backed types so that integers stay integers beside nulls."""
        import pandas as pd

        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def to_parquet(self, path: str | Path) -> int:
        """Write all rows to one Parquet file, which appears whole or not at all, and return their number."""
        with self.batches() as reader:
            return write_parquet(Path(path), reader.schema, reader)
