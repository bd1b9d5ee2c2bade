"""What only trying can tell of a declared catalog: whether sources have its columns, and features are row-wise."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from featurestore.engines.base import OfflineEngine
from featurestore.errors import DefinitionError, Fault, FeatureStoreError, closest_first
from featurestore.on_demand import check_row_wise
from featurestore.plan.building import on_demand_step
from featurestore.plan.catalog import Catalog, CsvPlace, ParquetPlace, SourceRecord, ViewPlace, ViewRecord
from featurestore.plan.nodes import Scan
from featurestore.plan.views import scan_of, source_rows

_INSTANTS = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")  # how the types of instants begin; others lack a time zone


Places = Mapping[tuple[str, str], Fault]  # by (kind, name): a fault that only says where it was declared


def inspect_catalog(
    catalog: Catalog, engine: OfflineEngine, root: str, places: Places, changed: Collection[str]
) -> None:
    """Check every view against its source and every on-demand view on generated rows; raises all faults at once.

    Faults: a source that cannot be read, a missing column, a time column of another type or without time zone, a column
    of markers that is not true or false, a SQL expression that does not fit the source, an on-demand feature that
    depends on other rows; of views that `changed` also a column or expression of another type than the declared one.
    """
    faults = [
        replace(places["view", view.name], message=fault.message)
        for view in catalog.views.values()
        for fault in _view_faults(view, engine, root, typed=view.name in changed)
    ]
    for record in catalog.on_demand.values():
        try:
            check_row_wise(on_demand_step(record, catalog))
        except FeatureStoreError as error:
            faults.append(replace(places["on_demand", record.name], message=str(error)))
    if faults:
        raise DefinitionError(dict.fromkeys(faults))


def _view_faults(view: ViewRecord, engine: OfflineEngine, root: str, *, typed: bool) -> Iterator[Fault]:
    faults = list(_shape_faults(view, engine, root))
    yield from faults
    if faults or not typed or isinstance(view.source.place, ViewPlace):  # whose steps are costly to compute
        return
    try:
        engine.check(source_rows(view, root))
    except FeatureStoreError as error:
        yield Fault(str(error))


def _shape_faults(view: ViewRecord, engine: OfflineEngine, root: str) -> Iterator[Fault]:
    scan = scan_of(view.source, root)
    try:
        columns = dict(engine.columns(scan))
    except FeatureStoreError as error:
        yield Fault(str(error))
        return
    missing = False
    for use, column in _columns_used(view):
        if column not in columns:
            missing = True
            yield Fault(
                f"FeatureView '{view.name}': {use} '{column}' is no column of source '{view.source.name}'. It has "
                f"{', '.join(closest_first(column, columns))}."
            )
    for use, time in (("event_timestamp", view.source.event_timestamp), ("created", view.source.created_timestamp)):
        if time in columns and not columns[time].startswith(_INSTANTS):
            yield Fault(
                f"FeatureView '{view.name}': {use} '{time}' of source '{view.source.name}' holds {columns[time]}, and "
                f"must hold timestamps with a time zone; convert it in a SqlSource{_converted(time, columns[time])}."
            )
    mark = view.source.deleted
    if mark in columns and columns[mark] not in _booleans(view.source):
        yield Fault(
            f"FeatureView '{view.name}': deleted '{mark}' of source '{view.source.name}' holds {columns[mark]}, and "
            "must hold true and false (Bool); compute it in a SqlSource."
        )
    if not missing:
        yield from _expression_faults(view, scan, engine)


def _converted(time: str | None, found: str) -> str:
    """How SQL makes instants of dates, and of timestamps without a time zone."""
    if not found.startswith(("TIMESTAMP", "DATE")):
        return ""
    there = time if found.startswith("TIMESTAMP") else f"CAST({time} AS TIMESTAMP)"
    return f", such as with SELECT * REPLACE ({there} AT TIME ZONE 'UTC' AS {time})"


def _booleans(source: SourceRecord) -> tuple[str, ...]:
    """The types of columns that can hold markers; text only where everything is text until it is read."""
    texts = isinstance(source.place, CsvPlace) or (
        isinstance(source.place, ParquetPlace) and source.place.hive_partitions
    )
    return ("BOOLEAN", "NULL", '"NULL"', *(["VARCHAR"] if texts else []))


def _columns_used(view: ViewRecord) -> Iterator[tuple[str, str]]:
    for key, _ in view.keys:
        yield "join key", key
    for use in ("event_timestamp", "created_timestamp", "deleted"):
        column = getattr(view.source, use)
        if column is not None:
            yield use, column
    for feature in view.features:
        if feature.expression is None:
            yield f"feature '{feature.name}': column", feature.column or feature.was or feature.name


def _expression_faults(view: ViewRecord, scan: Scan, engine: OfflineEngine) -> Iterator[Fault]:
    named = [(f.name, f.expression) for f in view.features if f.expression is not None]
    if not named:
        return
    types = engine.expression_types(scan, tuple(expression for _, expression in named))
    for (name, expression), found in zip(named, types, strict=True):
        if isinstance(found, str):
            yield Fault(f"FeatureView '{view.name}', feature '{name}': `{expression}` does not fit: {found}")
