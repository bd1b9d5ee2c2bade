"""The graph while it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from featurestore.lineage.graph import ALL, KINDS, USES, Edge, Kind, Lineage, Node, Use


class Draft:
    """Nodes and edges as they are found; each is kept once."""

    def __init__(self) -> None:
        self._nodes: dict[Node, None] = {}
        self._edges: dict[Edge, None] = {}
        self.notes: list[str] = []

    def node(self, kind: Kind, name: str, column: str | None = None) -> Node:
        """The node, which is in the graph from now on."""
        node = Node(kind, name, column)
        self._nodes.setdefault(node)
        return node

    def edge(self, source: Node, target: Node, use: Use) -> None:
        """Note that `target` depends on `source`."""
        self._edges.setdefault(Edge(source, target, use))

    def nodes_of(self, kind: Kind, name: str) -> tuple[Node, ...]:
        """The nodes of an object so far."""
        return tuple(node for node in self._nodes if (node.kind, node.name) == (kind, name))

    def finished(self, aliases: Mapping[str, Iterable[Node]]) -> Lineage:
        """The graph, in its order."""
        objects: dict[tuple[Kind, str], int] = {}
        for node in self._nodes:
            objects.setdefault((node.kind, node.name), len(objects))
        kinds = list(KINDS)
        nodes = sorted(self._nodes, key=lambda n: (kinds.index(n.kind), objects[n.kind, n.name], n.column is not None))
        places = {node: place for place, node in enumerate(nodes)}
        uses = list(USES)
        edges = sorted(self._edges, key=lambda e: (places[e.target], places[e.source], uses.index(e.use)))
        named = {name: tuple(sorted(found, key=places.__getitem__)) for name, found in aliases.items()}
        return Lineage(tuple(nodes), tuple(edges), tuple(dict.fromkeys(self.notes)), named)


@dataclass(frozen=True, slots=True)
class Table:
    """An object whose columns others read; `reads` are the tables it is computed from, if any."""

    draft: Draft
    kind: Kind
    name: str
    columns: tuple[str, ...]
    reads: tuple[Table, ...] = field(default=(), repr=False)

    @property
    def rows(self) -> Node:
        """Which rows there are."""
        return self.draft.node(self.kind, self.name)

    @property
    def whole(self) -> Node:
        """All of its columns."""
        node = self.draft.node(self.kind, self.name, ALL)
        for column in self.columns:
            self.draft.edge(self.column(column), node, "value")
        return node

    def column(self, name: str) -> Node:
        """One column; of one that nobody knows, nobody knows either which columns of the tables read it comes from."""
        if name == ALL:
            return self.whole
        node = self.draft.node(self.kind, self.name, name)
        if name not in self.columns:
            for table in self.reads:
                self.draft.edge(table.whole, node, "value")
        return node
