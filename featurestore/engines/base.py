"""The seam between plans and what computes them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from featurestore.plan.historical import HistoricalPlan
from featurestore.plan.materialization import CurrentPlan, ExtractPlan
from featurestore.plan.nodes import Column, Scan, SourceRows
from featurestore.plan.ranges import RangePlan
from featurestore.plan.windows import CurrentWindowsPlan

if TYPE_CHECKING:
    import pyarrow as pa

STATUS_SUFFIX = "__status"


@dataclass(frozen=True, slots=True)
class FrameSpine:
    """A spine in memory."""

    table: pa.Table


@dataclass(frozen=True, slots=True)
class FileSpine:
    """A spine in a Parquet file."""

    path: Path


@dataclass(frozen=True, slots=True)
class QuerySpine:
    """A spine as the result of a SQL query over the given scans, visible under their names."""

    sql: str
    inputs: tuple[Scan, ...]


Spine = FrameSpine | FileSpine | QuerySpine


class OfflineEngine(Protocol):
    """Plan in, Arrow out. Raises SourceError for unreadable sources, InputError for a wrong spine."""

    def columns(self, scan: Scan) -> tuple[tuple[str, str], ...]:
        """Names and DuckDB-spelled types of a scan's columns, in order; raises SourceError when it can't be read."""
        ...

    def expression_types(self, scan: Scan, expressions: tuple[str, ...]) -> tuple[Column | str, ...]:
        """For each SQL expression over the scan its logical type, or the message why it has none."""
        ...

    def check(self, rows: SourceRows) -> None:
        """Raises the SourceError that `extract` would for a column that is missing, or of a type that does not fit.

        Types that fit may still hold values that do not.
        """
        ...

    def historical(self, plan: HistoricalPlan, spine: Spine) -> AbstractContextManager[pa.RecordBatchReader]:
        """The spine's columns, each join's columns, and for each join an int8 column `<label>__status`.

        One row per spine row, same order. The reader is valid inside the `with` block only.
        """
        ...

    def in_range(
        self, plan: RangePlan, entities: pa.Table | None = None
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """The steps of a view in a range, as RangePlan says.

        `entities` has columns named as the join looks keys up: only those entities; None: all. Raises InputError when
        a column is missing or of another type.
        """
        ...

    def extract(self, plan: ExtractPlan) -> AbstractContextManager[pa.RecordBatchReader]:
        """The rows of an interval, as ExtractPlan says, in logical types."""
        ...

    def current_windows(self, plan: CurrentWindowsPlan) -> AbstractContextManager[pa.RecordBatchReader]:
        """The values to publish of a windowed view, as CurrentWindowsPlan says, in logical types."""
        ...

    def current(self, plan: CurrentPlan) -> AbstractContextManager[pa.RecordBatchReader]:
        """The rows to publish, as CurrentPlan says, in logical types."""
        ...

    def event_bounds(self, scan: Scan, event_timestamp: str) -> tuple[int, int] | None:
        """Smallest and greatest event time of a scan, in microseconds; None when it has no row."""
        ...

    def query(self, sql: str, tables: tuple[Scan, ...]) -> AbstractContextManager[pa.RecordBatchReader]:
        """The result of one read-only SQL query over the given scans."""
        ...

    def close(self) -> None:
        """Release memory and temporary files."""
        ...
