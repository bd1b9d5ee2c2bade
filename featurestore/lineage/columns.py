"""The columns that sources have, as they are: files are asked, queries are bound over empty tables of those columns."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from featurestore.dtypes import duckdb_type, parse
from featurestore.engines.base import OfflineEngine
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.plan.catalog import SourceRecord, SqlPlace, ViewPlace, ViewRecord
from featurestore.plan.fingerprint import meaning
from featurestore.plan.nodes import SqlScan
from featurestore.plan.views import scan_of

EVENT_TIMESTAMP, CREATED_TIMESTAMP = "event_timestamp", "created_timestamp"  # a view's time columns, as SQL knows them
Columns = tuple[tuple[str, str], ...]  # names and DuckDB's types


class SourceColumns:
    """Asks an engine for the columns of the sources of the project at `root`, once each; computes no row of a query.

    `notes` has a sentence for each source that cannot be read; such a source has no columns.
    """

    def __init__(self, engine: OfflineEngine, root: str) -> None:
        self._engine = engine
        self._root = root
        self._found: dict[str, Columns] = {}
        self.notes: list[str] = []

    def __call__(self, source: SourceRecord) -> Columns:
        """The columns of a source, in order; of a view's steps its keys, event time and features."""
        key = meaning(source)
        if key not in self._found:
            try:
                self._found[key] = self._columns(source)
            except FeatureStoreError as error:
                self._found[key] = ()
                self.notes.append(f"{str(error).rstrip('.')}; its columns are known only where they are named.")
        return self._found[key]

    def _columns(self, source: SourceRecord) -> Columns:
        match source.place:
            case ViewPlace(view=view):
                return step_columns(view)
            case SqlPlace(sql=sql, inputs=inputs):
                empty = tuple(self._empty(part, source.name) for part in inputs)
                return self._engine.columns(SqlScan(source.name, sql, empty))
            case _:
                return self._engine.columns(scan_of(source, self._root))

    def _empty(self, source: SourceRecord, reader: str) -> SqlScan:
        columns = self(source)
        if not columns:
            raise SourceError(f"Source '{reader}' reads '{source.name}', which cannot be read.")
        nulls = [exp.alias_(_null(dtype), name, quoted=True) for name, dtype in columns]
        return SqlScan(source.name, exp.select(*nulls).where(exp.false()).sql("duckdb"), ())


def _null(dtype: str) -> exp.Expr:
    return exp.null() if "NULL" in dtype else exp.cast(exp.null(), dtype, dialect="duckdb")


def step_columns(view: ViewRecord) -> Columns:
    """The columns of a view's steps as a source."""
    return tuple(_step_columns(view))


def _step_columns(view: ViewRecord) -> Iterator[tuple[str, str]]:
    for key, dtype in view.keys:
        yield key, duckdb_type(parse(dtype))
    yield EVENT_TIMESTAMP, "TIMESTAMP WITH TIME ZONE"
    for feature in view.outputs:
        yield feature.name, duckdb_type(parse(feature.dtype))
