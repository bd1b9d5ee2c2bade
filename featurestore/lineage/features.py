"""On-demand views and services in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from featurestore.lineage.draft import Draft
from featurestore.lineage.graph import Node
from featurestore.lineage.sources import Tables
from featurestore.on_demand.expressions import parse_expression
from featurestore.plan.catalog import (
    ExpressionText,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    Requested,
    ServiceRecord,
)


def add_on_demand(draft: Draft, record: OnDemandRecord, tables: Tables) -> None:
    """Put an on-demand view into the draft."""
    draft.node("on_demand", record.name)
    inputs = input_nodes(draft, record, tables)
    for feature, reads in feature_inputs(record).items():
        node = draft.node("on_demand", record.name, feature)
        for name in reads:
            draft.edge(inputs[name], node, "value")


def add_service(draft: Draft, record: ServiceRecord, tables: Tables) -> None:
    """Put a service into the draft, its features under the names that they have in its answer."""
    draft.node("service", record.name)
    for member in record.members:
        for name, source in member_nodes(draft, member, tables):
            draft.edge(source, draft.node("service", record.name, name), "value")


def member_nodes(draft: Draft, member: Projected | OnDemandMember, tables: Tables) -> Iterator[tuple[str, Node]]:
    """Each feature of a service's member: its name in the answer, and the node that it comes from."""
    match member:
        case Projected():
            view = tables.referred(member.reference)
            for feature in member.features:
                yield member.output_name(feature), view.column(feature)
        case OnDemandMember():
            record = tables.catalog.on_demand[member.view]
            for feature in member.features or [name for name, _ in record.features]:
                yield feature, draft.node("on_demand", member.view, feature)


def input_nodes(
    draft: Draft, record: OnDemandRecord, tables: Tables, versions: Mapping[str, int] = {}
) -> dict[str, Node]:
    """The inputs of an on-demand view, under the names that they have in it; `versions` of views, else the applied."""
    found: dict[str, Node] = {}
    for part in record.inputs:
        match part:
            case Requested():
                found |= {name: draft.node("request", part.source, name) for name, _ in part.columns}
            case Projected():
                view = tables.view(part.view, versions.get(part.reference, part.version))
                found |= {feature: view.column(feature) for feature in part.features}
    return found


def feature_inputs(record: OnDemandRecord) -> Mapping[str, tuple[str, ...]]:
    """For each feature the inputs that it reads: all of them when a Python function or a selector computes it."""
    names: list[str] = []
    for part in record.inputs:
        names += [name for name, _ in part.columns] if isinstance(part, Requested) else part.features
    if not isinstance(record.computation, ExpressionText):
        return {feature: tuple(names) for feature, _ in record.features}
    return {feature: _read(text, names) for feature, text in record.computation.features}


def _read(text: str, names: list[str]) -> tuple[str, ...]:
    meta = parse_expression(text).meta
    roots = set(meta.root_names())
    return tuple(names) if meta.has_multiple_outputs() else tuple(name for name in names if name in roots)
