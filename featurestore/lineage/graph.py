"""What comes from what: columns as nodes, and edges that say in which way one decides another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar

from featurestore.errors import UnknownNameError

K = TypeVar("K")
ALL = "*"
Kind = Literal["request", "file", "source", "view", "on_demand", "service", "dataset", "model"]
KINDS: dict[Kind, str] = {
    "request": "request",
    "file": "file",
    "source": "source",
    "view": "feature view",
    "on_demand": "on-demand view",
    "service": "service",
    "dataset": "dataset",
    "model": "model",
}
Use = Literal["value", "condition", "key", "time", "event_id", "deleted", "rows", "named"]
USES: dict[Use, str] = {
    "value": "the value is computed from it",
    "condition": "it decides which rows or values count",
    "key": "it is a join key",
    "time": "it is an event or created time",
    "event_id": "it tells re-sent events apart",
    "deleted": "it marks rows as deleted",
    "rows": "it brings the rows",
    "named": "it was named when this was made",
}
_DOTTED = ("request", "file", "source")


@dataclass(frozen=True, slots=True)
class Node:
    """A column of an object; without `column` its rows (which there are, of which keys and times); `*` all columns.

    Views are the applied ones, or one version (`last@2`); datasets and models are versions (`train@1`).
    """

    kind: Kind
    name: str
    column: str | None = None

    def __str__(self) -> str:
        if self.column is None:
            return self.name
        return f"{self.name}{'.' if self.kind in _DOTTED else ':'}{self.column}"


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` depends on `source`, as `use` says."""

    source: Node
    target: Node
    use: Use


@dataclass(frozen=True)
class Lineage:
    """A graph without cycles, in a fixed order: objects by kind and as applied, their columns as declared.

    `notes` say what could not be found out. `aliases` are other names of objects: `last@2`, `train`, an entity's.
    `focus` are the nodes that a part of the graph was asked for (`around`).
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[Node, ...]] = field(default_factory=dict, repr=False)
    focus: tuple[Node, ...] = ()

    def upstream(self, node: Node | str) -> tuple[Node, ...]:
        """Everything that a node depends on, in the graph's order; a name stands for its nodes (`find`)."""
        return self._reached(self._nodes(node), self._sources)

    def downstream(self, node: Node | str) -> tuple[Node, ...]:
        """Everything that depends on a node, in the graph's order; a name stands for its nodes (`find`)."""
        return self._reached(self._nodes(node), self._targets)

    def find(self, name: str) -> tuple[Node, ...]:
        """The nodes of an object, or of `source.column`, `view:feature`, `train@1:amount`; in the graph's order.

        Without version the applied view and the newest dataset or model are meant. Raises UnknownNameError.
        """
        found = self._names.get(name)
        if found is None:
            raise UnknownNameError("column or object", name, self._likely(name))
        return found

    def around(self, name: str) -> Lineage:
        """The part of the graph that is upstream or downstream of what a name stands for, and that itself."""
        focus = self.find(name)
        kept = {*focus, *self.upstream(name), *self.downstream(name)}
        edges = tuple(edge for edge in self.edges if edge.source in kept and edge.target in kept)
        return Lineage(tuple(node for node in self.nodes if node in kept), edges, self.notes, focus=focus)

    def to_text(self) -> str:
        """The graph as trees for people; ends in a line feed unless empty."""
        from featurestore.lineage.tree import tree

        return tree(self)

    def to_mermaid(self) -> str:
        """The graph as Mermaid text: a flowchart from left to right, a box for each object; ends in a line feed."""
        from featurestore.lineage.mermaid import mermaid

        return mermaid(self)

    def to_svg(self) -> str:
        """The graph as an SVG document: a box for each object, a line for each column, what is unused left out."""
        from featurestore.lineage.svg import svg

        return svg(self)

    def _nodes(self, node: Node | str) -> tuple[Node, ...]:
        if isinstance(node, str):
            return self.find(node)
        if node not in self._places:
            raise UnknownNameError("column or object", str(node), self._likely(str(node)))
        return (node,)

    def _reached(self, start: Iterable[Node], neighbours: Mapping[Node, tuple[Node, ...]]) -> tuple[Node, ...]:
        waiting = list(start)
        found = set(waiting)
        while waiting:
            fresh = [node for node in neighbours.get(waiting.pop(), ()) if node not in found]
            found.update(fresh)
            waiting += fresh
        return tuple(sorted(found.difference(start), key=self._places.__getitem__))

    def _likely(self, name: str) -> list[str]:
        """Names that may be meant: of the object's columns when it is there, else of everything."""
        for mark in (".", ":"):
            head = name.rpartition(mark)[0]
            if head in self._names:
                return [str(node) for node in self._names[head] if node.column not in (None, ALL)]
        return [known for known in self._objects if known not in self.aliases or "@" not in known]

    @cached_property
    def _places(self) -> dict[Node, int]:
        return {node: place for place, node in enumerate(self.nodes)}

    @cached_property
    def _sources(self) -> dict[Node, tuple[Node, ...]]:
        return _grouped((edge.target, edge.source) for edge in self.edges)

    @cached_property
    def _targets(self) -> dict[Node, tuple[Node, ...]]:
        return _grouped((edge.source, edge.target) for edge in self.edges)

    @cached_property
    def _objects(self) -> dict[str, tuple[Node, ...]]:
        """The nodes of each object, by its name and its other names."""
        named = _grouped((node.name, node) for node in self.nodes)
        return {**self.aliases, **named}

    @cached_property
    def _names(self) -> dict[str, tuple[Node, ...]]:
        """What every name stands for; of a column both `source.column` and `source:column`."""
        columns = _grouped(
            (f"{name}{mark}{node.column}", node)
            for name, nodes in self._objects.items()
            for node in nodes
            if node.column is not None
            for mark in ".:"
        )
        return {**columns, **self._objects}


def _grouped(pairs: Iterable[tuple[K, Node]]) -> dict[K, tuple[Node, ...]]:
    found: dict[K, dict[Node, None]] = {}
    for key, node in pairs:
        found.setdefault(key, {})[node] = None
    return {key: tuple(nodes) for key, nodes in found.items()}
