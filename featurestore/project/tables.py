"""What SQL sees: every view, source and dataset as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlglot import exp

from featurestore.dtypes import duckdb_type, parse
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import Catalog, ViewRecord
from featurestore.plan.nodes import DeltaScan, ParquetScan, Scan, SqlScan
from featurestore.plan.views import EVENT_ID, scan_of, table_name
from featurestore.registry.base import DatasetRecord
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE


def queryable_tables(
    catalog: Catalog, datasets: Sequence[DatasetRecord], tables: OfflineTables, root: str
) -> tuple[Scan, ...]:
    """A table for each materialized view, each source and each dataset.

    A view has its keys, `event_timestamp`, `created_timestamp` and features; no markers, and no rows of an event time
    (or event) that a marker cancels, as far as is known. Where names collide the view keeps the
    plain one, and the others are `{name}_source` and `{name}_dataset`. A dataset's newest version has its plain name,
    each version also `{name}_v{version}`.
    """
    found: dict[str, Scan] = {}
    for view in catalog.views.values():
        snapshot = tables.snapshot(table_name(view))
        if snapshot is not None:
            found[view.name] = _view_table(view, tables.directory / table_name(view), snapshot.version)
    for source in catalog.sources.values():
        name = _free(source.name, "source", found)
        found[name] = replace(scan_of(source, root), name=name)
    newest = {dataset.name: dataset for dataset in reversed(datasets)}
    for dataset in newest.values():
        name = _free(dataset.name, "dataset", found)
        found[name] = ParquetScan(name, str(Path(root, dataset.path)))
    for dataset in datasets:
        name = _free(f"{dataset.name}_v{dataset.version}", "dataset", found)
        found[name] = ParquetScan(name, str(Path(root, dataset.path)))
    return tuple(found.values())


def _free(name: str, kind: str, taken: Mapping[str, Scan]) -> str:
    return f"{name}_{kind}" if name in taken else name


def _view_table(view: ViewRecord, place: Path, version: int) -> Scan:
    """The view's committed rows under the names and types in which people know them."""
    shown = [(key, key, dtype) for key, dtype in view.keys]
    if view.source.event_timestamp is not None:
        shown.append((EVENT_TIMESTAMP, "event_timestamp", "Timestamp"))
    if view.source.created_timestamp is not None:
        shown.append((CREATED_TIMESTAMP, "created_timestamp", "Timestamp"))
    shown += [(feature.stored, feature.name, feature.dtype) for feature in view.features]
    columns = [
        exp.alias_(exp.cast(_column(stored), duckdb_type(parse(dtype)), dialect="duckdb"), name, quoted=True)
        for stored, name, dtype in shown
    ]
    query = exp.select(*columns).from_(exp.table_("committed", quoted=True))
    if view.source.deleted is not None:
        query = query.qualify(_standing(view))
    return SqlScan(view.name, query.sql("duckdb"), (DeltaScan("committed", str(place), version),))


def _standing(view: ViewRecord) -> exp.Condition:
    """Whether a row is no marker, nor a marker the greatest row of its key and event time (or event)."""
    keys = [key for key, _ in view.keys]
    created = [] if view.source.created_timestamp is None else [CREATED_TIMESTAMP]
    together, ranks = [*keys, EVENT_TIMESTAMP], [*created, SEQUENCE]
    if view.aggregations:
        together, ranks = [EVENT_ID], [*created, EVENT_TIMESTAMP, *keys, SEQUENCE]
    greatest = exp.Window(
        this=exp.FirstValue(this=_column(DELETED)),
        partition_by=[_column(name) for name in together],
        order=exp.Order(expressions=[exp.Ordered(this=_column(n), desc=True, nulls_first=False) for n in ranks]),
    )
    alone = [_column(EVENT_ID).is_(exp.null())] if view.aggregations else []
    return exp.and_(exp.not_(_column(DELETED)), exp.or_(*alone, exp.not_(greatest)))


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)
