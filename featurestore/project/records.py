"""One declaration as one catalog record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import polars as pl

from featurestore import on_demand
from featurestore.arrow import as_table, ipc_stream
from featurestore.definitions import (
    Aggregation,
    CsvSource,
    Declaration,
    DeltaSource,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    FrameSource,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
    SqlSource,
    ViewProjection,
)
from featurestore.definitions.sources import TableSource, ViewSource
from featurestore.dtypes import DType, parse
from featurestore.errors import UnknownNameError
from featurestore.plan.catalog import (
    AggregationRecord,
    ContractRecord,
    CsvPlace,
    DeltaPlace,
    EntityRecord,
    ExpressionText,
    FeatureRecord,
    FramePlace,
    FunctionReference,
    Metadata,
    Object,
    OnDemandMember,
    OnDemandRecord,
    ParquetPlace,
    Place,
    Projected,
    Requested,
    ScheduleRecord,
    ServiceRecord,
    SourceRecord,
    SqlPlace,
    ViewPlace,
    ViewRecord,
    reference,
)
from featurestore.sql import check_expression, check_query
from featurestore.timeline import duration_us

Recorded = Callable[[str, int | None], ViewRecord]


def record_of(declaration: Declaration, root: Path, recorded: Recorded) -> Object:
    """The record of one declaration; raises FeatureStoreError when its SQL, contract or function cannot be used.

    `recorded` finds the record of a view that this one refers to, which was made before, or of one of its versions.
    """
    match declaration:
        case Entity():
            keys = tuple((key, str(dtype)) for key, dtype in declaration.join_keys.items())
            return EntityRecord(name=declaration.name, join_keys=keys, metadata=_metadata(declaration))
        case FeatureView():
            return _view_record(declaration, root, recorded)
        case OnDemandFeatureView():
            return _on_demand_record(declaration, recorded)
        case FeatureService():
            members = tuple(
                _projected(m, recorded) if isinstance(m, ViewProjection) else OnDemandMember(view=m.name)
                for m in declaration.features
            )
            return ServiceRecord(name=declaration.name, members=members, metadata=_metadata(declaration))
        case RequestSource():
            raise AssertionError("request sources stand inside on-demand views")
        case _:
            return _source_record(declaration, root, recorded)


def _source_record(source: TableSource, root: Path, recorded: Recorded) -> SourceRecord:
    return SourceRecord(
        name=source.name,
        place=_source_place(source, root, recorded),
        event_timestamp=source.event_timestamp,
        created_timestamp=source.created_timestamp,
        event_id=source.event_id,
        deleted=source.deleted,
        delay_us=duration_us(source.delay),
        lookback_us=None if source.lookback is None else duration_us(source.lookback),
        timeless=source.timeless,
        visibility=source.visibility,
        metadata=_metadata(source),
    )


def _source_place(source: TableSource, root: Path, recorded: Recorded) -> Place:
    match source:
        case ParquetSource():
            return ParquetPlace(path=_portable(source.path, root), hive_partitions=source.hive_partitions)
        case CsvSource():
            return CsvPlace(path=_portable(source.path, root), delimiter=source.delimiter)
        case DeltaSource():
            return DeltaPlace(path=_portable(source.path, root), version=source.version)
        case FrameSource():
            return FramePlace(data=ipc_stream(as_table(source.frame, f"FrameSource '{source.name}'").combine_chunks()))
        case SqlSource():
            check_query(source.sql, tuple(part.name for part in source.tables))
            inputs = tuple(_source_record(part, root, recorded) for part in source.tables)
            return SqlPlace(sql=source.sql, inputs=inputs)
        case ViewSource():
            return ViewPlace(view=recorded(source.view.name, None))


def _portable(path: str, root: Path) -> str:
    """Paths inside the project are kept relative, so that it can be copied."""
    absolute = Path(path)
    return str(absolute.relative_to(root)) if absolute.is_absolute() and absolute.is_relative_to(root) else path


def _view_record(view: FeatureView, root: Path, recorded: Recorded) -> ViewRecord:
    aggregations = tuple(_aggregation_record(f) for f in view.features if isinstance(f, Aggregation))
    return ViewRecord(
        name=view.name,
        entities=tuple(entity.name for entity in view.entities),
        keys=tuple((key, str(dtype)) for key, dtype in view.join_keys.items()),
        source=_source_record(view.table, root, recorded),
        features=tuple(_feature_record(f) for f in view.features if isinstance(f, Feature)),
        aggregations=aggregations,
        ttl_us=None if view.ttl is None else duration_us(view.ttl),
        delay_us=duration_us(view.effective_delay),
        every_us=None if view.every is None else duration_us(view.every),
        contract=None if view.contract is None else _contract_record(view.contract),
        on_refusal=view.on_refusal,
        schedule=None if view.schedule is None else ScheduleRecord(cron=view.schedule, zone=view.schedule_zone),
        metadata=_metadata(view),
    )


def _contract_record(contract: type) -> ContractRecord:
    # pandera is slow to import, and most views have no contract
    from featurestore.contracts.digest import contract_digest
    from featurestore.contracts.inspection import inspect_contract
    from featurestore.contracts.reference import contract_reference

    inspect_contract(contract)
    return ContractRecord(reference=contract_reference(contract), digest=contract_digest(contract))


def _feature_record(feature: Feature) -> FeatureRecord:
    if feature.expr is not None:
        check_expression(feature.expr)
    inherits = feature.was is not None and feature.expr is None and feature.column is None
    return FeatureRecord(
        name=feature.name,
        dtype=str(feature.dtype),
        column="" if inherits else (feature.column or feature.name),
        expression=feature.expr,
        was=feature.was,
        metadata=Metadata(description=feature.description, tags=dict(feature.tags)),
    )


def _aggregation_record(aggregation: Aggregation) -> AggregationRecord:
    if aggregation.column != "*":
        check_expression(aggregation.column)
    if aggregation.where is not None:
        check_expression(aggregation.where)
    return AggregationRecord(
        name=str(aggregation.name),
        column=aggregation.column,
        function=aggregation.function,
        window_us=None if aggregation.window is None else duration_us(aggregation.window),
        offset_us=0 if aggregation.offset is None else duration_us(aggregation.offset),
        where=aggregation.where,
        params=dict(aggregation.params or {}),
        metadata=Metadata(description=aggregation.description, tags=dict(aggregation.tags)),
    )


def _on_demand_record(view: OnDemandFeatureView, recorded: Recorded) -> OnDemandRecord:
    inputs: dict[str, DType] = {}
    parts: list[Requested | Projected] = []
    for part in view.inputs:
        match part:
            case RequestSource():
                inputs |= part.columns
                columns = tuple((name, str(dtype)) for name, dtype in part.columns.items())
                parts.append(Requested(source=part.name, columns=columns))
            case ViewProjection():
                projected = _projected(part, recorded)
                record = recorded(part.view.name, part.pinned)
                named = {name: record.output(name).dtype for name in projected.features}
                inputs |= {name: parse(dtype) for name, dtype in named.items()}
                parts.append(msgspec.structs.replace(projected, types=tuple(named.values())))
            case FeatureView():
                raise AssertionError("declarations turn views into projections")
    computation: ExpressionText | FunctionReference
    if view.function is None:
        expressions = {name: value for name, value in view.features.items() if isinstance(value, pl.Expr)}
        types = on_demand.output_types(expressions, inputs)
        computation = ExpressionText(features=tuple((n, on_demand.expression_text(e)) for n, e in expressions.items()))
    else:
        types = {name: value for name, value in view.features.items() if isinstance(value, DType)}
        module, name, digest = on_demand.function_reference(view.function)
        computation = FunctionReference(module=module, name=name, digest=digest)
    features = tuple((name, str(dtype)) for name, dtype in types.items())
    return OnDemandRecord(
        name=view.name, inputs=tuple(parts), features=features, computation=computation, metadata=_metadata(view)
    )


def _projected(projection: ViewProjection, recorded: Recorded) -> Projected:
    keys, features = projection.keys, projection.features
    if projection.pinned is not None:
        record = recorded(projection.view.name, projection.pinned)
        keys = {key: projection.aliases.get(key, key) for key, _ in record.keys}
        names = [output.name for output in record.outputs]
        where = f"view '{reference(record.name, projection.pinned)}'"
        for kind, asked, known in (("feature", features, names), ("join key", projection.aliases, list(keys))):
            for name in asked:
                if name not in known:
                    raise UnknownNameError(kind, name, known, where=where)
        features = features or tuple(names)
    return Projected(
        view=projection.view.name,
        features=features,
        keys=tuple(keys.items()),
        prefix=projection.prefix,
        version=projection.pinned,
    )


def _metadata(declaration: Declaration) -> Metadata:
    tags: Mapping[str, str] = getattr(declaration, "tags", {})
    return Metadata(description=declaration.description, owner=getattr(declaration, "owner", ""), tags=dict(tags))
