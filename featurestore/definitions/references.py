"""What declarations refer to: a walk over them, without looking into what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from featurestore.definitions import (
    Declaration,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    SqlSource,
    ViewProjection,
)
from featurestore.definitions.sources import TableSource, ViewSource


def with_references(declarations: Iterable[Declaration]) -> tuple[Declaration, ...]:
    """The declarations and everything they refer to, each once, referred ones first."""
    found: dict[int, Declaration] = {}

    def visit(declaration: Declaration) -> None:
        if id(declaration) not in found:
            for part in references(declaration):
                visit(part)
            found[id(declaration)] = declaration

    for declaration in declarations:
        visit(declaration)
    return tuple(found.values())


def references(declaration: Declaration) -> Iterator[Declaration]:
    """What a declaration names itself, in its order."""
    match declaration:
        case SqlSource(tables=tables):
            yield from (_declared(table) for table in tables)
        case FeatureView(entities=entities, table=table):
            yield from entities
            yield _declared(table)
        case OnDemandFeatureView(inputs=inputs):
            yield from (part.view if isinstance(part, ViewProjection) else part for part in inputs)
        case FeatureService(features=members):
            yield from (member.view if isinstance(member, ViewProjection) else member for member in members)
        case _:
            return


def kind_of(declaration: Declaration) -> str:
    """What the registry calls its kind: entity, view, on_demand, service, source."""
    match declaration:
        case Entity():
            return "entity"
        case FeatureView():
            return "view"
        case OnDemandFeatureView():
            return "on_demand"
        case FeatureService():
            return "service"
        case _:
            return "source"


def _declared(table: TableSource) -> Declaration:
    """What a person declared: the view behind its steps."""
    return table.view if isinstance(table, ViewSource) else table
