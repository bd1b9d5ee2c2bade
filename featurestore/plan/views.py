"""From catalog records to plan nodes: a view's scan, its rows from the source, and its rows as stored."""

from __future__ import annotations

from pathlib import Path

from featurestore.dtypes import DType, parse, stored_type
from featurestore.plan.catalog import (
    CsvPlace,
    DeltaPlace,
    FeatureRecord,
    FramePlace,
    ParquetPlace,
    SourceRecord,
    SqlPlace,
    ViewRecord,
)
from featurestore.plan.fingerprint import publication, storage
from featurestore.plan.nodes import (
    Column,
    Computed,
    CsvScan,
    DeltaScan,
    FrameScan,
    ParquetScan,
    Scan,
    SourceRows,
    SqlScan,
    StoredRows,
)


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


def source_rows(view: ViewRecord, root: str, start_us: int | None = None, extra: tuple[str, ...] = ()) -> SourceRows:
    """The view's rows computed from its source; `extra` names source columns that the contract sees as well."""
    return SourceRows(
        view=view.name,
        scan=scan_of(view.source, root),
        keys=tuple(Computed(key, parse(dtype), key) for key, dtype in view.keys),
        event_timestamp=view.source.event_timestamp,
        created_timestamp=view.source.created_timestamp,
        columns=tuple(Computed(f.stored, parse(f.dtype), f.column, f.expression) for f in stored_features(view)),
        start_us=start_us,
        extra=extra,
    )


def stored_rows(view: ViewRecord, files: tuple[str, ...]) -> StoredRows:
    """The view's rows in the given data files of its table."""
    return StoredRows(
        view=view.name,
        files=files,
        keys=tuple(Column(key, parse(dtype)) for key, dtype in view.keys),
        columns=tuple(Column(f.stored, parse(f.dtype)) for f in stored_features(view)),
        timeless=view.source.timeless,
        has_created=view.source.created_timestamp is not None,
    )


def stored_features(view: ViewRecord) -> tuple[FeatureRecord, ...]:
    """The features in the order of their stored columns, which a rename or a new order leaves alone."""
    return tuple(sorted(view.features, key=lambda feature: feature.stored))


def stored_types(view: ViewRecord) -> tuple[tuple[str, DType], ...]:
    """Name and type in the Delta table of the keys and features."""
    keys = tuple((key, stored_type(parse(dtype))) for key, dtype in view.keys)
    return (*keys, *((f.stored, stored_type(parse(f.dtype))) for f in stored_features(view)))


def table_name(view: ViewRecord) -> str:
    """The folder of the view's offline table: its name and the digest of what is kept."""
    return f"{view.name}-{storage(view)}"


def namespace(project: str, view: ViewRecord) -> str:
    """Where the view's records stand in the online store."""
    return f"{project}/{view.name}/{publication(view)}"
