"""From catalog records to plan nodes: a view's scan, its rows from the source, and its rows as stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from featurestore.dtypes import DType, Timestamp, parse, stored_type
from featurestore.plan.catalog import (
    AggregationRecord,
    CsvPlace,
    DeltaPlace,
    FeatureRecord,
    FramePlace,
    ParquetPlace,
    SourceRecord,
    SqlPlace,
    ViewPlace,
    ViewRecord,
)
from featurestore.plan.fingerprint import publication, storage
from featurestore.plan.nodes import (
    Column,
    Computed,
    CsvScan,
    DeltaScan,
    FrameScan,
    Origin,
    ParquetScan,
    Rows,
    Scan,
    SourceRows,
    SqlScan,
    StoredRows,
    ViewScan,
)
from featurestore.plan.windows import WindowAggregate, WindowSteps

EVENT_ID = "__event_id"  # the event column that a source's event_id is kept in


def scan_of(source: SourceRecord, root: str) -> Scan:
    """The source's scan; relative paths start at `root`."""
    match source.place:
        case ParquetPlace(path=path, hive_partitions=hive):
            return ParquetScan(source.name, str(Path(root, path)), hive)
        case CsvPlace(path=path, delimiter=delimiter):
            return CsvScan(source.name, str(Path(root, path)), delimiter)
        case DeltaPlace(path=path, version=version):
            return DeltaScan(source.name, str(Path(root, path)), version)
        case FramePlace(data=data):
            return FrameScan(source.name, data)
        case SqlPlace(sql=sql, inputs=inputs):
            return SqlScan(source.name, sql, tuple(scan_of(part, root) for part in inputs))
        case ViewPlace(view=view):
            return ViewScan(source.name, window_steps(view, source_rows(view, root), None))


def source_rows(view: ViewRecord, root: str, start_us: int | None = None, extra: tuple[str, ...] = ()) -> SourceRows:
    """The view's rows computed from its source; `extra` names source columns that the contract sees as well."""
    return SourceRows(
        view=view.name,
        scan=scan_of(view.source, root),
        keys=tuple(Computed(key, parse(dtype), key) for key, dtype in view.keys),
        event_timestamp=view.source.event_timestamp,
        created_timestamp=view.source.created_timestamp,
        columns=tuple(Computed(f.stored, parse(f.dtype), f.column, f.expression) for f in kept_columns(view)),
        start_us=start_us,
        extra=extra,
        events=bool(view.aggregations),
        deleted=view.source.deleted,
    )


def stored_rows(view: ViewRecord, files: tuple[str, ...], origin: Origin = "all") -> StoredRows:
    """The view's rows in the given data files of its table."""
    return StoredRows(
        view=view.name,
        files=files,
        keys=tuple(Column(key, parse(dtype)) for key, dtype in view.keys),
        columns=tuple(Column(f.stored, parse(f.dtype)) for f in kept_columns(view)),
        timeless=view.source.timeless,
        has_created=view.source.created_timestamp is not None,
        deleted=view.source.deleted is not None,
        origin=origin,
    )


def kept_columns(view: ViewRecord) -> tuple[FeatureRecord, ...]:
    """What the offline table keeps beside keys and times: the features, or the event columns of a windowed view.

    In the order of their stored columns, which a rename or a new order of features leaves alone.
    """
    return tuple(sorted((*view.features, *view.events), key=lambda column: column.stored))


def published_columns(view: ViewRecord) -> tuple[FeatureRecord | AggregationRecord, ...]:
    """The features in the order in which online records hold their values."""
    return kept_columns(view) if not view.aggregations else tuple(sorted(view.aggregations, key=lambda a: a.name))


def window_steps(
    view: ViewRecord, rows: Rows, watermark_us: int | None, features: Iterable[tuple[str, str]] | None = None
) -> WindowSteps:
    """The steps of a windowed view; `features` are (feature, result name), by default all as they are published."""
    asked = [(a.name, a.name) for a in published_columns(view)] if features is None else features
    records = {aggregation.name: aggregation for aggregation in view.aggregations}
    return WindowSteps(
        rows=rows,
        aggregates=tuple(_aggregate(records[feature], name) for feature, name in asked),
        every_us=view.every_us,
        delay_us=view.delay_us,
        watermark_us=watermark_us,
        visibility=view.source.visibility,
        event_id=EVENT_ID if view.source.event_id is not None else None,
    )


def _aggregate(record: AggregationRecord, name: str) -> WindowAggregate:
    params = record.params
    return WindowAggregate(
        name=name,
        dtype=parse(record.dtype),
        function=record.function,
        value=record.value or None,
        mask=record.mask or None,
        under=record.under or None,
        window_us=record.window_us,
        offset_us=record.offset_us,
        n=int(params["n"]) if "n" in params else None,
        p=float(params["p"]) if "p" in params else None,
        series=int(params["series"]) if "series" in params else None,
    )


def stored_types(view: ViewRecord) -> tuple[tuple[str, DType], ...]:
    """Name and type in the Delta table of the keys and features."""
    keys = tuple((key, stored_type(parse(dtype))) for key, dtype in view.keys)
    return (*keys, *((f.stored, stored_type(parse(f.dtype))) for f in kept_columns(view)))


def declared_types(source: SourceRecord, views: Iterable[ViewRecord]) -> dict[str, DType]:
    """The types of source columns that say when, or that all views which take them as they are declare alike."""
    found: dict[str, set[str]] = {}
    for view in views:
        plain = [(f.column, f.dtype) for f in (*view.features, *view.events) if f.expression in (None, f.column)]
        for column, dtype in (*view.keys, *plain):
            found.setdefault(column, set()).add(dtype)
    types = {column: parse(dtypes.pop()) for column, dtypes in found.items() if len(dtypes) == 1}
    times = (source.event_timestamp, source.created_timestamp)
    return types | {time: Timestamp for time in times if time is not None}


def table_name(view: ViewRecord) -> str:
    """The folder of the view's offline table: its name and the digest of what is kept."""
    return f"{view.name}-{storage(view)}"


def namespace(project: str, view: ViewRecord) -> str:
    """Where the view's records stand in the online store."""
    return f"{project}/{view.name}/{publication(view)}"
