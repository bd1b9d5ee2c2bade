"""What a drawing of a lineage shows: a box for each object, a line in it for each column, arrows between the boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from featurestore.lineage.graph import ALL, Edge, Kind, Lineage, Node

Object = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Box:
    """An object with the columns that are shown, in order; `unused` columns are left out."""

    kind: Kind
    name: str
    columns: tuple[Node, ...]
    unused: int = 0

    @property
    def head(self) -> Node:
        """The node that stands for the box itself."""
        return Node(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a column or a box to another; `value`: the one is computed from the other."""

    source: Node
    target: Node
    value: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes in the graph's order, arrows in the order of their ends; `focus` are nodes to be set off."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    focus: frozenset[Node]


def drawing(lineage: Lineage) -> Drawing:
    """What a drawing shows of a lineage.

    Left out: arrows inside a box; columns of a source that nobody reads; arrows that only say that rows come from
    somewhere, or that something was named, where others lead the same way. What all columns lead to is one arrow.
    """
    focus = frozenset(lineage.focus)
    between = [edge for edge in lineage.edges if _object(edge.source) != _object(edge.target)]
    within = {edge.source for edge in lineage.edges} - {edge.source for edge in between}
    read = {edge.source for edge in between} | within
    hidden = {n for n in lineage.nodes if n.kind == "source" and n.column and n not in read and n not in focus}
    shown = [edge for edge in between if edge.target not in hidden]
    arrows = tuple(dict.fromkeys(_arrows(_telling(shown))))
    columns: dict[Object, list[Node]] = {}
    unused: dict[Object, int] = {}
    for node in lineage.nodes:
        of = columns.setdefault(_object(node), [])
        if node in hidden:
            unused[_object(node)] = unused.get(_object(node), 0) + 1
        elif node.column is not None:
            of.append(node)
    boxes = tuple(Box(kind, name, tuple(c), unused.get((kind, name), 0)) for (kind, name), c in columns.items())
    return Drawing(boxes, arrows, focus)


def label(column: Node) -> str:
    """What a line of a box says."""
    return "all columns" if column.column == ALL else str(column.column)


def unused(box: Box) -> str:
    """What the last line of a box says when columns are left out."""
    return f"{box.unused} not read"


def _object(node: Node) -> Object:
    return node.kind, node.name


def _telling(edges: list[Edge]) -> Iterable[Edge]:
    """The edges without those that say less than another one between the same objects."""
    told = {(_object(e.source), _object(e.target)) for e in edges if e.use not in ("rows", "named")}
    for edge in edges:
        if edge.use not in ("rows", "named") or (_object(edge.source), _object(edge.target)) not in told:
            yield edge


def _arrows(edges: Iterable[Edge]) -> Iterable[Arrow]:
    known: dict[tuple[Node, Node], bool] = {}
    for edge in edges:
        source = edge.source
        if edge.target.kind == "model":
            source = Node(source.kind, source.name)
        pair = (source, edge.target)
        known[pair] = known.get(pair, False) or edge.use == "value"
    return (Arrow(source, target, value) for (source, target), value in known.items())
