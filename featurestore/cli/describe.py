"""`featurestore describe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from featurestore.cli.lineage import print_lineage
from featurestore.cli.output import JsonFlag, console, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.errors import UnknownNameError
from featurestore.plan.building import build_lookup_plan
from featurestore.plan.catalog import (
    AggregationRecord,
    Catalog,
    EntityRecord,
    FeatureRecord,
    Object,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    Requested,
    ServiceRecord,
    SourceRecord,
    ViewRecord,
    encode,
)
from featurestore.plan.selection import select
from featurestore.timeline import format_duration, format_instant

_TITLES = {
    "entity": "entity",
    "source": "source",
    "view": "feature view",
    "on_demand": "on-demand view",
    "service": "service",
}
_VERSION = ("version", "applied", "by", "use")
Facts = list[tuple[str, object]]


def describe(
    name: Annotated[
        str | None,
        typer.Argument(
            help="An entity, source, view or service; by default all. With --lineage also a dataset, a model, "
            "SOURCE.COLUMN or VIEW:FEATURE."
        ),
    ] = None,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Show what it comes from, and what comes from it.")
    ] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="The lineage as Mermaid text.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Draw the lineage into this SVG file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Describe what is applied. Everything in a line each, or one object whole, a view with its versions.

    With --lineage: column by column what it comes from, through sources, views, services and datasets to models.
    """
    if lineage or mermaid or svg is not None:
        print_lineage(name, as_json=as_json, mermaid=mermaid, svg=svg)
        return
    with open_store() as store:
        catalog = store.catalog()
        known = store.registry.view_versions(name) if name in catalog.views else ()
        uses = {(used.version.view, used.version.version): used.reasons for used in store.versions()} if known else {}
    versions = [
        (v.version, format_instant(v.applied_at_us), v.applied_by, ", ".join(uses.get((v.view, v.version), ())))
        for v in known
    ]
    objects = catalog.objects()
    if name is None:
        _print_overview(objects, as_json)
        return
    named = {kind: record for (kind, other), record in objects.items() if other == name}
    if not named:
        raise UnknownNameError("entity, source, view or service", name, (other for _, other in objects))
    if as_json:
        document: dict[str, object] = {kind: msgspec.json.decode(encode(record)) for kind, record in named.items()}
        if versions:
            document["versions"] = [dict(zip(_VERSION, row, strict=True)) for row in versions]
        print_json(document)
        return
    for kind, record in named.items():
        _print_object(kind, record, catalog)
    if versions:
        print_table(_VERSION, [(f"v{version}", *rest) for version, *rest in versions])


def _print_overview(objects: dict[tuple[str, str], Object], as_json: bool) -> None:
    rows = [(_TITLES[kind], name, record.metadata.owner or None, record.metadata.description or None)
            for (kind, name), record in objects.items()]  # fmt: skip
    columns = ("kind", "name", "owner", "description")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table(columns, rows)
    else:
        console().print("Nothing is applied. Run `featurestore apply`.")


def _print_object(kind: str, record: Object, catalog: Catalog) -> None:
    out = console()
    version = f" v{catalog.versions[record.name]}" if isinstance(record, ViewRecord) else ""
    out.print(f"[bold]{_TITLES[kind]} {record.name}{version}[/]")
    if record.metadata.description:
        out.print(record.metadata.description, markup=False)
    facts: Facts = [("owner", record.metadata.owner)] if record.metadata.owner else []
    facts += [(f"tag {key}", value) for key, value in record.metadata.tags.items()]
    for fact, value in [*_facts(record, catalog), *facts]:
        out.print(f"  {fact:<12} {value}", markup=False)
    features = _features(record, catalog)
    if features:
        print_table(("feature", "type", "from"), features)


def _facts(record: Object, catalog: Catalog) -> Facts:
    match record:
        case EntityRecord(join_keys=keys):
            return [("join keys", _typed(keys))]
        case SourceRecord():
            return _source_facts(record)
        case ViewRecord():
            facts: Facts = [("entities", ", ".join(record.entities) or "none: one global row")]
            facts += [("join keys", _typed(record.keys))] if record.keys else []
            facts += _source_facts(record.source)
            facts += [
                ("ttl", "none: values do not expire" if record.ttl_us is None else format_duration(record.ttl_us))
            ]
            if record.aggregations:
                steps = "continuous" if record.every_us is None else f"every {format_duration(record.every_us)}"
                facts.append(("values", f"{steps}, from windows over the source's rows"))
            if record.schedule is not None:
                facts.append(("schedule", f"{record.schedule.cron} ({record.schedule.zone})"))
            if record.contract is not None:
                facts.append(("contract", f"{record.contract.reference}, on refusal {record.on_refusal}"))
            return facts
        case OnDemandRecord(inputs=inputs):
            return [("inputs", "; ".join(_input(part) for part in inputs))]
        case ServiceRecord():
            plan = build_lookup_plan(select(record.name, catalog), catalog, "")
            columns = dict(pair for view in plan.views for pair in view.keys)
            asked: Facts = [("join keys", ", ".join(f"{name} {dtype}" for name, dtype in columns.items()))]
            return asked + ([("request", ", ".join(f"{n} {d}" for n, d in plan.request))] if plan.request else [])


def _source_facts(source: SourceRecord) -> Facts:
    place = source.place
    where = getattr(place, "path", None) or getattr(place, "sql", None) or "literal rows"
    facts: Facts = [("source", f"{source.name}: {' '.join(where.split())}")]
    if source.timeless:
        return [*facts, ("times", "timeless")]
    times = f"event {source.event_timestamp}"
    times += f", created {source.created_timestamp}" if source.created_timestamp else ""
    times += f", deleted where {source.deleted}" if source.deleted else ""
    times += f", seen {format_duration(source.delay_us)} later" if source.delay_us else ""
    return [*facts, ("times", times)]


def _features(record: Object, catalog: Catalog) -> list[tuple[str, str, str]]:
    match record:
        case ViewRecord():
            return [(feature.name, feature.dtype, _origin(feature)) for feature in record.outputs]
        case OnDemandRecord(features=features):
            return [(name, dtype, "computed when asked") for name, dtype in features]
        case ServiceRecord(members=members):
            rows: list[tuple[str, str, str]] = []
            for member in members:
                match member:
                    case Projected():
                        view = catalog.view(member.reference)
                        rows += [
                            (member.output_name(f), view.output(f).dtype, f"{member.reference}:{f}")
                            for f in member.features
                        ]
                    case OnDemandMember():
                        on_demand = catalog.on_demand[member.view]
                        rows += [(name, dtype, f"{on_demand.name}:{name}") for name, dtype in on_demand.features]
            return rows
        case _:
            return []


def _origin(feature: FeatureRecord | AggregationRecord) -> str:
    match feature:
        case FeatureRecord(expression=None):
            return f"column {feature.column}"
        case FeatureRecord():
            return str(feature.expression)
        case AggregationRecord():
            window = "lifetime" if feature.window_us is None else format_duration(feature.window_us)
            past = f", {format_duration(feature.offset_us)} ago" if feature.offset_us else ""
            condition = f" where {feature.where}" if feature.where else ""
            given = "".join(f", {name} {value}" for name, value in sorted(feature.params.items()))
            return f"{feature.function}({feature.column}){condition} over {window}{past}{given}"


def _typed(pairs: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in pairs)


def _input(part: Requested | Projected) -> str:
    match part:
        case Requested():
            return f"request {_typed(part.columns)}"
        case Projected():
            return f"{part.reference} {', '.join(part.features)}"
