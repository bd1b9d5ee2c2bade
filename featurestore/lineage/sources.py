"""Sources and views in the graph: each column from the columns that its SQL reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from featurestore.definitions.functions import ROWS
from featurestore.errors import FeatureStoreError
from featurestore.lineage.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, SourceColumns, step_columns
from featurestore.lineage.draft import Draft, Table
from featurestore.lineage.graph import Node, Use
from featurestore.lineage.origins import ALL, Origin, Origins, QueryLineage
from featurestore.lineage.sql import expression_lineage, query_lineage
from featurestore.plan.catalog import (
    AggregationRecord,
    Catalog,
    FeatureRecord,
    SourceRecord,
    SqlPlace,
    ViewPlace,
    ViewRecord,
    parse_reference,
    reference,
)
from featurestore.plan.fingerprint import meaning

Versions = Mapping[tuple[str, int], ViewRecord]


class Tables:
    """Puts sources and views into a draft, each once, and gives them back as tables.

    A view is the applied one under its plain name; other versions are `last@1`, and what they read in another meaning
    than the applied one is named after them.
    """

    def __init__(self, draft: Draft, catalog: Catalog, versions: Versions, columns: SourceColumns) -> None:
        self.draft = draft
        self.catalog = catalog
        self._versions = versions
        self._columns = columns
        self._sources: dict[str, Table] = {}
        self._views: dict[str, Table] = {}
        self._meanings = {name: meaning(source) for name, source in catalog.sources.items()}

    # sources

    def source(self, record: SourceRecord, reader: str = "") -> Table:
        """A source, and what it reads; `reader` is the view that reads it."""
        if isinstance(record.place, ViewPlace):
            return self._steps(record.place.view, reader)
        name = self._source_name(record, reader)
        if name not in self._sources:
            self._sources[name] = self._queried(name, record, reader)
        return self._sources[name]

    def _source_name(self, record: SourceRecord, reader: str) -> str:
        """The plain name, unless a query of another meaning has it: that would have another lineage."""
        if not isinstance(record.place, SqlPlace):
            return record.name
        found = meaning(record)
        same = self._meanings.setdefault(record.name, found) == found
        return record.name if same else f"{record.name} of {reader}"

    def _queried(self, name: str, record: SourceRecord, reader: str) -> Table:
        if not isinstance(record.place, SqlPlace):
            table = Table(self.draft, "source", name, tuple(column for column, _ in self._columns(record)))
            for column in (None, *table.columns):
                self.draft.node("source", name, column)
            return table
        reads = {part.name: self.source(part, reader) for part in record.place.inputs}
        known = {part.name: self._columns(part) for part in record.place.inputs}
        names = [column for column, _ in self._columns(record)]
        found = query_lineage(record.place.sql, known, names or None)
        table = Table(self.draft, "source", name, tuple(c.name for c in found.columns), tuple(reads.values()))
        add_query(self.draft, found, reads, table)
        return table

    # views

    def view(self, name: str, version: int | None = None) -> Table:
        """A view: the applied one, or a version of it."""
        applied = self.catalog.versions.get(name)
        number = applied if version is None else version
        shown = name if number == applied else reference(name, number)
        if shown not in self._views:
            record = self.catalog.views.get(name) if shown == name else self._version(name, number)
            if record is None:
                self.draft.notes.append(
                    f"View '{shown}' is no longer recorded; what it was computed from is not known."
                )
                return Table(self.draft, "view", shown, ())
            self._views[shown] = self._computed(record, shown)
        return self._views[shown]

    def referred(self, text: str) -> Table:
        """The view that a reference names."""
        return self.view(*parse_reference(text))

    def _version(self, name: str, number: int | None) -> ViewRecord | None:
        if number is None:
            return None
        return self._versions.get((name, number)) or self.catalog.pinned.get(reference(name, number))

    def _steps(self, record: ViewRecord, reader: str) -> Table:
        """The view whose steps are read: the applied one, a version, or what only its reader knows."""
        found = meaning(record)
        applied = self.catalog.views.get(record.name)
        if applied is not None and meaning(applied) == found:
            return self.view(record.name)
        for (name, number), version in self._versions.items():
            if name == record.name and meaning(version) == found:
                return self.view(name, number)
        shown = f"{record.name} of {reader}"
        if shown not in self._views:
            self._views[shown] = self._computed(record, shown)
        return self._views[shown]

    def _computed(self, view: ViewRecord, shown: str) -> Table:
        source = view.source
        read = self.source(source, shown)
        created = () if source.created_timestamp is None else (CREATED_TIMESTAMP,)
        names = [name for name, _ in step_columns(view) if not source.timeless or name != EVENT_TIMESTAMP]
        table = Table(self.draft, "view", shown, (*names, *created))
        self.draft.edge(read.rows, table.rows, "rows")
        for key, _ in view.keys:
            self._identified(read.column(key), table.column(key), table.rows, "key")
        for column, time in ((EVENT_TIMESTAMP, source.event_timestamp), (CREATED_TIMESTAMP, source.created_timestamp)):
            if time is not None:
                self._identified(read.column(time), table.column(column), table.rows, "time")
        marks: tuple[tuple[Use, str | None], ...] = (("event_id", source.event_id), ("deleted", source.deleted))
        for use, mark in marks:
            if mark is not None:
                self.draft.edge(read.column(mark), table.rows, use)
        self._compute(view, read, table)
        return table

    def _identified(self, source: Node, column: Node, rows: Node, use: Use) -> None:
        self.draft.edge(source, column, use)
        self.draft.edge(column, rows, use)

    def _compute(self, view: ViewRecord, read: Table, table: Table) -> None:
        texts = [(feature.name, text, use) for feature in view.outputs for text, use in _texts(feature)]
        try:
            origins = expression_lineage([text for _, text, _ in texts], self._columns(view.source))
        except FeatureStoreError as error:
            self.draft.notes.append(f"View '{table.name}': {error}")
            origins = tuple(frozenset({ALL}) for _ in texts)
        for feature in view.outputs:
            self.draft.edge(table.rows, table.column(feature.name), "rows")
            if isinstance(feature, FeatureRecord) and feature.expression is None:
                origin = read.column(feature.column or feature.was or feature.name)
                self.draft.edge(origin, table.column(feature.name), "value")
        for (name, _, use), columns in zip(texts, origins, strict=True):
            for column in sorted(columns):
                self.draft.edge(read.column(column), table.column(name), use)


def add_query(draft: Draft, found: QueryLineage, reads: Mapping[str, Table], table: Table) -> None:
    """Put the lineage of the query that makes a table's rows into the draft; `reads` are its tables by name."""
    for origin in sorted(found.rows, key=str):
        draft.edge(_origin(origin, reads), table.rows, "rows" if origin[1] is None else "condition")
    for column in found.columns:
        node = table.column(column.name)
        draft.edge(table.rows, node, "rows")
        parts: tuple[tuple[Use, Origins], ...] = (("value", column.values), ("condition", column.conditions))
        for use, origins in parts:
            for origin in sorted(origins, key=str):
                draft.edge(_origin(origin, reads), node, use)


def _origin(origin: Origin, tables: Mapping[str, Table]) -> Node:
    table, column = origin
    return tables[table].rows if column is None else tables[table].column(column)


def _texts(feature: FeatureRecord | AggregationRecord) -> Iterator[tuple[str, Use]]:
    """The SQL that a feature is computed with, and what each part is for."""
    match feature:
        case FeatureRecord():
            if feature.expression is not None:
                yield feature.expression, "value"
        case AggregationRecord():
            if feature.column != ROWS:
                yield feature.column, "value"
            for text in (feature.where, feature.params.get("of")):
                if isinstance(text, str):
                    yield text, "condition"
