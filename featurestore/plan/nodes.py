"""The nodes that every plan is made of: where rows come from and what a view makes of them.

All instants and durations are int64 microseconds (`*_us`). Paths are absolute. Tuples keep declared order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from featurestore.dtypes import DType
from featurestore.timeline import CREATED_TIMESTAMP as CREATED_TIMESTAMP
from featurestore.timeline import DELETED as DELETED
from featurestore.timeline import EVENT_TIMESTAMP as EVENT_TIMESTAMP
from featurestore.timeline import SEQUENCE as SEQUENCE

if TYPE_CHECKING:
    from featurestore.plan.windows import WindowSteps


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class ParquetScan:
    """Rows of Parquet files; `path` is a file, a directory (all *.parquet below) or a glob; ordered by path, row."""

    name: str
    path: str
    hive_partitions: bool = False


@dataclass(frozen=True, slots=True)
class CsvScan:
    """Rows of CSV files with a header; ordered by path, row. `delimiter` is one character."""

    name: str
    path: str
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class DeltaScan:
    """Rows of a Delta table at its newest version, or at `version`; ordered by data file path, row."""

    name: str
    path: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class FrameScan:
    """Literal rows: `data` is an Arrow IPC stream; ordered as written."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SqlScan:
    """The result of a query over whole inputs, visible to it under their names; ties are ordered by content."""

    name: str
    sql: str
    inputs: tuple[Scan, ...]


@dataclass(frozen=True, slots=True)
class ViewScan:
    """The steps of a windowed view as rows: one per key and grid instant v at which a window holds an event.

    Columns: the keys, `event_timestamp` (v + delay, when the step is seen) and the aggregates. The steps have a grid
    and no watermark, and no aggregate is without end; ties are ordered by key.
    """

    name: str
    steps: WindowSteps


Scan = ParquetScan | CsvScan | DeltaScan | FrameScan | SqlScan | ViewScan


@dataclass(frozen=True, slots=True)
class Computed:
    """A column computed from a source row: a source column when `expression` is None, else a SQL expression."""

    name: str
    dtype: DType
    column: str
    expression: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRows:
    """A view's rows computed from its source, with canonical columns: keys, times, sequence, computed columns.

    `start_us` None: all rows. Otherwise rows with event time at or after it, and each key's last row before it unless
    they are `events`. `deleted` names the Bool column of markers (null: false), a canonical column where there is one;
    before the start each key's rows then count from the last event time on that no marker cancels (none such: all).
    `extra` names source columns carried along under their own names, for the contract. A timeless source has no
    `event_timestamp`. `pushed`: these rows as well, which come after those of the source in ties, and which no start
    leaves out.
    """

    view: str
    scan: Scan
    keys: tuple[Computed, ...]
    event_timestamp: str | None
    created_timestamp: str | None
    columns: tuple[Computed, ...]
    start_us: int | None = None
    extra: tuple[str, ...] = ()
    events: bool = False
    deleted: str | None = None
    pushed: StoredRows | None = None


Origin = Literal["all", "source", "pushed"]


@dataclass(frozen=True, slots=True)
class StoredRows:
    """A view's rows as committed: data files of one table version, with canonical columns.

    Stored column types are `stored_type(dtype)`. `has_created`: the created time is not null everywhere.
    `has_ties`: two rows may share key and event time (False only when every commit proved there are none). `deleted`:
    there is a canonical column of markers. `origin`: all rows, those that came from the source, or those that were
    pushed (sequence from FIRST_PUSHED on).
    """

    view: str
    files: tuple[str, ...]
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    timeless: bool = False
    has_created: bool = True
    has_ties: bool = True
    deleted: bool = False
    origin: Origin = "all"


Rows = SourceRows | StoredRows
