"""A lineage as text for people: trees of what leads to something, and of what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from featurestore.lineage.graph import ALL, KINDS, Edge, Kind, Lineage, Node

T = TypeVar("T")
Object = tuple[Kind, str]
_PLAIN = ("value", "rows")  # uses that need no word


def tree(lineage: Lineage) -> str:
    """Of a part of a graph (`Lineage.around`) a tree both ways, of a whole one a tree from each beginning on.

    A column's tree has columns, an object's and the whole one have objects. What stands further up already ends in
    `(above)` there. Ends in a line feed unless empty.
    """
    heads = any(node.column is None for node in lineage.focus)
    if lineage.focus and not heads:
        lines = [line for node in lineage.focus for line in _of_column(lineage, node)]
    else:
        lines = list(_of_objects(lineage))
    return "".join(f"{line}\n" for line in lines)


def neighbours(lineage: Lineage) -> tuple[tuple[Node, str, str], ...]:
    """Each node in focus that has any: what of other objects it directly comes from, and what it goes into."""
    found = []
    for node in lineage.focus:
        sources = [_said(e.source, e) for e in lineage.edges if e.target == node and _object(e.source) != _object(node)]
        targets = [_said(e.target, e) for e in lineage.edges if e.source == node and _object(e.target) != _object(node)]
        if node.column is not None or sources or targets:
            found.append((node, ", ".join(sources), ", ".join(targets)))
    return tuple(found)


def _of_column(lineage: Lineage, node: Node) -> Iterator[str]:
    def before(target: Node) -> list[tuple[Node, str]]:
        return [(e.source, _titled(e.source, e)) for e in lineage.edges if e.target == target]

    def after(source: Node) -> list[tuple[Node, str]]:
        return [(e.target, _titled(e.target, e)) for e in lineage.edges if e.source == source]

    yield _titled(node)
    yield from _both_ways(node, before, after)


def _of_objects(lineage: Lineage) -> Iterator[str]:
    columns: dict[Object, list[str]] = {}
    for node in lineage.nodes:
        named = columns.setdefault(_object(node), [])
        if node.column is not None and node not in lineage.focus:
            named.append("all columns" if node.column == ALL else node.column)
    pairs = dict.fromkeys((_object(edge.source), _object(edge.target)) for edge in lineage.edges)
    links = [pair for pair in pairs if pair[0] != pair[1]]

    def label(found: Object) -> str:
        listed = f": {', '.join(columns[found])}" if lineage.focus and columns[found] else ""
        return f"{KINDS[found[0]]} {found[1]}{listed}"

    def before(target: Object) -> list[tuple[Object, str]]:
        return [(source, label(source)) for source, other in links if other == target]

    def after(source: Object) -> list[tuple[Object, str]]:
        return [(target, label(target)) for other, target in links if other == source]

    if lineage.focus:
        for one in dict.fromkeys(map(_object, lineage.focus)):
            yield f"{KINDS[one[0]]} {one[1]}"
            yield from _both_ways(one, before, after)
        return
    told: set[Object] = set()
    for one in columns:
        if not before(one):
            yield label(one)
            yield from _below(one, after, told)


def _both_ways(
    one: T, before: Callable[[T], list[tuple[T, str]]], after: Callable[[T], list[tuple[T, str]]]
) -> Iterator[str]:
    for place, (title, children) in enumerate((("from", before), ("into", after))):
        last = place == 1
        nothing = "" if children(one) else " nothing"
        yield f"{'└── ' if last else '├── '}{title}{nothing}"
        for line in _below(one, children, set()):
            yield f"{'    ' if last else '│   '}{line}"


def _below(one: T, children: Callable[[T], list[tuple[T, str]]], told: set[T]) -> Iterator[str]:
    following = children(one)
    for place, (child, said) in enumerate(following):
        last = place == len(following) - 1
        above = child in told and bool(children(child))
        yield f"{'└── ' if last else '├── '}{said}{' (above)' if above else ''}"
        if not above:
            told.add(child)
            for line in _below(child, children, told):
                yield f"{'    ' if last else '│   '}{line}"


def _said(node: Node, edge: Edge) -> str:
    """A node in a few words, with what it is used for."""
    notes = ["rows"] if node.column is None and node.kind != "model" else []
    notes += [] if edge.use in _PLAIN else [edge.use]
    name = f"{node.name} (all columns)" if node.column == ALL else str(node)
    return f"{name} ({', '.join(notes)})" if notes else name


def _titled(node: Node, edge: Edge | None = None) -> str:
    return f"{KINDS[node.kind]} {_said(node, edge or Edge(node, node, 'value'))}"


def _object(node: Node) -> Object:
    return node.kind, node.name
