"""Lineage drawn: trees, Mermaid text, SVG."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from featurestore.lineage import Edge, Lineage, Node
from featurestore.lineage.drawing import drawing
from featurestore.lineage.graph import KINDS, Kind, Use
from featurestore.lineage.layout import Layout, Placed, layout
from featurestore.lineage.text import shortened, width_of
from featurestore.lineage.tree import neighbours

WEATHER, TEMP, KEY, DEW = (Node("source", "weather", column) for column in (None, "temp", "airport", "dew"))
VIEW, AIRPORT, COLD = (Node("view", "last", column) for column in (None, "airport", "cold"))
PILOT, ANSWER = (Node("service", "pilot", column) for column in (None, "cold"))
TRAIN, LEARNED, LABEL = (Node("dataset", "train@1", column) for column in (None, "cold", "late"))
MODEL = Node("model", "late@1")
GRAPH = Lineage(
    nodes=(WEATHER, TEMP, KEY, DEW, VIEW, AIRPORT, COLD, PILOT, ANSWER, TRAIN, LEARNED, LABEL, MODEL),
    edges=(
        Edge(WEATHER, VIEW, "rows"),
        Edge(KEY, AIRPORT, "key"),
        Edge(AIRPORT, VIEW, "key"),
        Edge(TEMP, COLD, "value"),
        Edge(VIEW, COLD, "rows"),
        Edge(COLD, ANSWER, "value"),
        Edge(PILOT, TRAIN, "named"),
        Edge(ANSWER, LEARNED, "value"),
        Edge(LEARNED, MODEL, "value"),
        Edge(LABEL, MODEL, "value"),
    ),
)


def test_a_column_is_shown_with_what_leads_to_it_and_what_follows() -> None:
    assert (
        GRAPH.around("last:cold").to_text()
        == """\
feature view last:cold
├── from
│   ├── source weather.temp
│   └── feature view last (rows)
│       ├── source weather (rows)
│       └── feature view last:airport (key)
│           └── source weather.airport (key)
└── into
    └── service pilot:cold
        └── dataset train@1:cold
            └── model late@1
"""
    )


def test_an_object_is_shown_with_the_objects_around_it() -> None:
    part = GRAPH.around("last")
    assert (
        part.to_text()
        == """\
feature view last
├── from
│   └── source weather: temp, airport
└── into
    └── service pilot: cold
        └── dataset train@1: cold
            └── model late@1
"""
    )
    assert neighbours(part) == (
        (VIEW, "weather (rows)", ""),
        (AIRPORT, "weather.airport (key)", ""),
        (COLD, "weather.temp", "pilot:cold"),
    )


def test_a_whole_graph_is_shown_from_its_beginnings() -> None:
    other = (Node("source", "clock", "now"), Node("view", "last", "cold"))
    graph = Lineage((*GRAPH.nodes, other[0]), (*GRAPH.edges, Edge(*other, "value")))
    assert (
        graph.to_text()
        == """\
source weather
└── feature view last
    └── service pilot
        └── dataset train@1
            └── model late@1
source clock
└── feature view last (above)
"""
    )


def test_what_stands_above_is_not_told_again() -> None:
    one, two, three, four = nodes = tuple(Node("view", name, "x") for name in "abcd")
    pairs = ((one, two), (one, three), (two, three), (three, four))
    graph = Lineage(nodes, tuple(Edge(source, target, "value") for source, target in pairs))
    assert (
        graph.around("a:x").to_text()
        == """\
feature view a:x
├── from nothing
└── into
    ├── feature view b:x
    │   └── feature view c:x
    │       └── feature view d:x
    └── feature view c:x (above)
"""
    )


def test_a_graph_as_mermaid_text() -> None:
    assert (
        GRAPH.around("last").to_mermaid()
        == """\
flowchart LR
  subgraph o0["source weather"]
    o0c0["temp"]
    o0c1["airport"]
  end
  subgraph o1["feature view last"]
    o1c0["airport"]
    o1c1["cold"]
  end
  subgraph o2["service pilot"]
    o2c0["cold"]
  end
  subgraph o3["dataset train@1"]
    o3c0["cold"]
  end
  o4["model late@1"]
  o0c1 -.-> o1c0
  o0c0 --> o1c1
  o1c1 --> o2c0
  o2c0 --> o3c0
  o3 --> o4
  classDef focus stroke-width:3px,font-weight:bold
  class o1,o1c0,o1c1 focus
"""
    )


def test_columns_that_nobody_reads_are_counted() -> None:
    [weather] = [box for box in drawing(GRAPH).boxes if box.name == "weather"]
    assert (weather.columns, weather.unused) == ((TEMP, KEY), 1)
    assert '    o0u["1 not read"]\n' in GRAPH.to_mermaid()
    assert ">1 not read<" in GRAPH.to_svg()


def test_what_was_asked_for_is_drawn_though_nobody_reads_it() -> None:
    assert [box.columns for box in drawing(GRAPH.around("weather.dew")).boxes] == [(DEW,)]


ODD = '"<b>&amp;</b>"; `x` #1. [a](b) end\n%% ünï 漢 \x00'


def odd_graph() -> Lineage:
    """Names that break out of what is not escaped."""
    nodes = (Node("file", ODD), Node("file", ODD, ODD), Node("dataset", "d@1"), Node("dataset", "d@1", ODD))
    return Lineage(nodes, (Edge(nodes[1], nodes[3], "value"),))


def test_names_are_escaped_in_mermaid() -> None:
    for line in odd_graph().to_mermaid().splitlines():
        labels = re.findall(r'\["(.*)"\]', line)
        assert all(re.fullmatch(r"([\w @-]|#\d+;)*", label) for label in labels)
        assert len(labels) == ("[" in line)


def test_names_are_escaped_in_svg() -> None:
    document = ET.fromstring(odd_graph().to_svg())
    texts = ["".join(text.itertext()) for text in document.iter("{http://www.w3.org/2000/svg}text")]
    assert ODD.replace("\x00", "\ufffd") in texts
    assert not list(document.iter("{http://www.w3.org/2000/svg}b"))


def test_long_names_lose_their_middle_and_keep_it_as_a_title() -> None:
    name = "the_mean_delay_of_all_flights_that_landed_on_the_route_in_the_last_28_days_of_the_year"
    assert shortened(name) == "the_mean_delay_of_all_flights_that_l…ute_in_the_last_28_days_of_the_year"
    assert shortened(name[:72]) == name[:72]
    graph = Lineage((Node("view", "v"), Node("view", "v", name)), ())
    assert f"<title>{name}</title>" in graph.to_svg()


def test_wide_letters_are_wide() -> None:
    assert width_of("漢字") == width_of("abcd")
    assert width_of("e\u0301") == width_of("e")


def test_an_empty_graph_can_be_drawn() -> None:
    assert Lineage((), ()).to_mermaid() == "flowchart LR\n"
    assert ET.fromstring(Lineage((), ()).to_svg()).tag.endswith("svg")
    assert Lineage((), ()).to_text() == ""


_KINDS: tuple[Kind, ...] = tuple(KINDS)
_USES: tuple[Use, ...] = ("value", "rows", "key")


@st.composite
def graphs(draw: st.DrawFn) -> Lineage:
    """Objects in an order, each with a few columns, and edges that follow it."""
    objects = draw(st.integers(1, 9))
    nodes: list[Node] = []
    for place in range(objects):
        kind = draw(st.sampled_from(_KINDS))
        columns = [None, *(f"c{n}" * draw(st.integers(1, 30)) for n in range(draw(st.integers(0, 5))))]
        nodes += [Node(kind, f"o{place}", column) for column in columns]
    numbers = [int(node.name[1:]) for node in nodes]
    pairs = [(one, other) for one in range(len(nodes)) for other in range(len(nodes)) if numbers[one] < numbers[other]]
    chosen = draw(st.lists(st.tuples(st.sampled_from(pairs), st.sampled_from(_USES)), max_size=40)) if pairs else []
    edges = dict.fromkeys(Edge(nodes[one], nodes[other], use) for (one, other), use in chosen)
    return Lineage(tuple(nodes), tuple(edges))


def _apart(one: Placed, other: Placed) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    return beside or one.y + one.height <= other.y or other.y + other.height <= one.y


def _goes_through(found: Layout) -> bool:
    """Whether an arrow passes through a box: in the layers between its ends it runs level, in its lane."""
    for route in found.routes:
        for (left, y), (right, _) in zip(route.points[1:-1:2], route.points[2:-1:2], strict=True):
            for box in found.boxes:
                if box.x < right and left < box.x + box.width and box.y < y < box.y + box.height:
                    return True
    return False


@given(graph=graphs())
def test_boxes_stand_apart_and_arrows_go_around_them_from_left_to_right(graph: Lineage) -> None:
    found = layout(drawing(graph))
    assert all(_apart(one, other) for one, other in combinations(found.boxes, 2))
    assert not _goes_through(found)
    for route in found.routes:
        xs = [x for x, _ in route.points]
        assert xs == sorted(xs)
        assert all(0 <= x <= found.width and 0 <= y <= found.height for x, y in route.points)
    assert all(box.x >= 0 and box.y >= 0 for box in found.boxes)


def test_arrows_past_a_layer_have_lanes_of_their_own() -> None:
    columns = [[Node("view", name, f"c{place}") for place in range(4)] for name in "abc"]
    first, middle, last = columns
    short = [Edge(first[0], middle[0], "value"), Edge(middle[0], last[0], "value")]
    long = [Edge(one, other, "value") for one, other in zip(first, last, strict=True)]
    found = layout(drawing(Lineage(tuple(node for nodes in columns for node in nodes), (*short, *long))))
    lanes = [route.points[1][1] for route in found.routes if len(route.points) == 4]
    assert len(set(lanes)) == len(lanes) == 4


def test_an_arrow_that_is_a_value_too_is_full() -> None:
    edges = (Edge(TEMP, COLD, "value"), Edge(TEMP, COLD, "key"))
    for order in (edges, edges[::-1]):
        [arrow] = drawing(Lineage((TEMP, COLD), order)).arrows
        assert arrow.value


@given(graph=graphs())
def test_every_drawing_is_well_formed_and_the_same_each_time(graph: Lineage) -> None:
    document = graph.to_svg()
    assert document == Lineage(graph.nodes, graph.edges).to_svg()
    assert len(ET.fromstring(document).findall(".//{*}g/{*}path")) == len(drawing(graph).arrows) + 2  # the legend's
    assert graph.to_mermaid().count("-->") + graph.to_mermaid().count("-.->") == len(drawing(graph).arrows)
