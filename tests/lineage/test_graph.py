"""The graph: what is upstream and downstream, and what names mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import UnknownNameError
from featurestore.lineage import Edge, Lineage, Node
from featurestore.lineage.graph import Use

SOURCE = Node("source", "weather")
TEMP, GUST = Node("source", "weather", "temp"), Node("source", "weather", "gust")
VIEW, COLD = Node("view", "last"), Node("view", "last", "cold")
OLD = Node("view", "last@1", "cold")
SERVICE = Node("service", "pilot", "origin__cold")
DATASETS = (Node("dataset", "train@1", "cold"), Node("dataset", "train@2", "cold"))
MODEL = Node("model", "late@1")
GRAPH = Lineage(
    nodes=(SOURCE, TEMP, GUST, VIEW, COLD, OLD, SERVICE, *DATASETS, MODEL),
    edges=(
        Edge(SOURCE, VIEW, "rows"),
        Edge(VIEW, COLD, "rows"),
        Edge(TEMP, COLD, "value"),
        Edge(GUST, OLD, "value"),
        Edge(COLD, SERVICE, "value"),
        Edge(OLD, DATASETS[0], "value"),
        Edge(SERVICE, DATASETS[1], "value"),
        Edge(DATASETS[1], MODEL, "value"),
    ),
    aliases={"last@2": (VIEW, COLD), "train": (DATASETS[1],), "late": (MODEL,), "airport": (COLD,)},
)


def test_upstream_is_everything_on_the_way_from_the_sources() -> None:
    assert GRAPH.upstream(MODEL) == (SOURCE, TEMP, VIEW, COLD, SERVICE, DATASETS[1])


def test_downstream_is_everything_on_the_way_to_the_models() -> None:
    assert GRAPH.downstream(TEMP) == (COLD, SERVICE, DATASETS[1], MODEL)
    assert GRAPH.downstream(GUST) == (OLD, DATASETS[0])
    assert GRAPH.downstream(MODEL) == ()


def test_a_name_stands_for_all_nodes_of_its_object() -> None:
    assert GRAPH.find("weather") == (SOURCE, TEMP, GUST)
    assert GRAPH.downstream("weather") == (VIEW, COLD, OLD, SERVICE, *DATASETS, MODEL)
    assert GRAPH.upstream("last") == (SOURCE, TEMP)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("weather.temp", (TEMP,)),
        ("weather:temp", (TEMP,)),
        ("last:cold", (COLD,)),
        ("last.cold", (COLD,)),
        ("last@2:cold", (COLD,)),
        ("last@2", (VIEW, COLD)),
        ("last@1", (OLD,)),
        ("pilot:origin__cold", (SERVICE,)),
        ("train", (DATASETS[1],)),
        ("train:cold", (DATASETS[1],)),
        ("train@1:cold", (DATASETS[0],)),
        ("late", (MODEL,)),
        ("airport", (COLD,)),
    ],
)
def test_columns_and_objects_are_found_by_name(name: str, found: tuple[Node, ...]) -> None:
    assert GRAPH.find(name) == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weather.tmp", "There is no column or object 'weather.tmp'. Available: weather.temp, weather.gust."),
        ("last:warm", "There is no column or object 'last:warm'. Available: last:cold."),
        ("wether", "There is no column or object 'wether'. Available: weather, "),
        ("wether.temp", "There is no column or object 'wether.temp'. Available: weather, "),
    ],
)
def test_a_wrong_name_is_answered_with_close_ones(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        GRAPH.around(name)
    assert str(caught.value).startswith(message)


def test_a_node_of_another_graph_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no column or object 'weather\.dew'"):
        GRAPH.upstream(Node("source", "weather", "dew"))


def test_around_is_what_is_upstream_or_downstream_and_the_column_itself() -> None:
    part = GRAPH.around("last:cold")
    assert part.nodes == (SOURCE, TEMP, VIEW, COLD, SERVICE, DATASETS[1], MODEL)
    assert part.focus == (COLD,)
    assert {edge for edge in GRAPH.edges if OLD not in (edge.source, edge.target)} == set(part.edges)


@st.composite
def graphs(draw: st.DrawFn) -> Lineage:
    """Columns in an order, and edges that follow it."""
    count = draw(st.integers(2, 12))
    nodes = tuple(Node("view", f"v{draw(st.integers(0, 3))}", f"c{place}") for place in range(count))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    uses: st.SearchStrategy[Use] = st.sampled_from(("value", "rows", "key"))
    chosen = draw(st.lists(st.tuples(pairs, uses), max_size=30, unique=True))
    return Lineage(nodes, tuple(Edge(nodes[one], nodes[other], use) for (one, other), use in chosen))


def _reaches(graph: Lineage, source: Node, target: Node) -> bool:
    return any(e.target == target or _reaches(graph, e.target, target) for e in graph.edges if e.source == source)


@given(graph=graphs())
def test_downstream_and_upstream_are_inverse(graph: Lineage) -> None:
    for one in graph.nodes:
        for other in graph.nodes:
            expected = _reaches(graph, one, other)
            assert (other in graph.downstream(one)) == expected
            assert (one in graph.upstream(other)) == expected


@given(graph=graphs())
def test_a_part_of_the_graph_has_the_same_ways_as_the_whole(graph: Lineage) -> None:
    for node in graph.nodes:
        part = graph.around(str(node))
        assert part.upstream(node) == graph.upstream(node)
        assert part.downstream(node) == graph.downstream(node)
        assert set(part.nodes) == {node, *graph.upstream(node), *graph.downstream(node)}


def test_the_graph_is_frozen() -> None:
    with pytest.raises(AttributeError):
        GRAPH.nodes = ()  # type: ignore[misc]  # what is tested
