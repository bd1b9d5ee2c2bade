"""Where boxes and arrows stand: in layers from left to right, after Sugiyama, Tagawa and Toda (1981).

Layers are longest paths, and an arrow past a layer has a lane of its own through it. Layers are ordered by medians
(Gansner et al. 1993, section 3.1) and the order with the fewest crossings is kept; heights are the least squares that
keep the order (pool adjacent violators). Equal drawings give equal layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean, median

from featurestore.lineage.drawing import Arrow, Box, Drawing, label, unused
from featurestore.lineage.graph import KINDS, Kind, Node
from featurestore.lineage.text import width_of

HEAD, LINE = 40.0, 19.0  # heights
_FOOT, _GAP, _LANE = 7.0, 18.0, 6.0
_SWEEPS, _SETTLING = 12, 8
_LEAST_WIDTH, _CHANNEL, _PER_ARROW = 120.0, 70.0, 1.6

Object = tuple[Kind, str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A box and its left upper corner."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow, and the points that it goes through: pairs of leaving a layer and reaching the next."""

    arrow: Arrow
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything in its place; all coordinates are positive."""

    boxes: tuple[Placed, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(slots=True, eq=False)
class _Item:
    """What stands in a layer: a box, or the lanes of the arrows from one object to another that pass it."""

    layer: int
    height: float
    box: Box | None = None
    place: int = 0
    y: float = 0.0
    before: list[tuple[_Item, float, float]] = field(default_factory=list)  # with the heights of both ends
    after: list[tuple[_Item, float, float]] = field(default_factory=list)


def layout(shown: Drawing) -> Layout:
    """The layout of a drawing."""
    layers = _layers(shown)
    boxes = {(b.kind, b.name): _Item(layers[b.kind, b.name], _height(b), b) for b in shown.boxes}
    ports = {node: height for box in shown.boxes for node, height in _ports(box)}
    lanes = _lanes(shown.arrows, boxes, ports)
    rows: list[list[_Item]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for item in (*boxes.values(), *(item for items, _ in lanes.values() for item in items)):
        if item not in rows[item.layer]:
            rows[item.layer].append(item)
    _order(rows)
    _settle(rows)
    return _drawn(shown, boxes, ports, lanes, rows)


# layers


def _layers(shown: Drawing) -> dict[Object, int]:
    """The longest path to each object; what nothing leads to stands right before what it leads to."""
    pairs = dict.fromkeys((_object(arrow.source), _object(arrow.target)) for arrow in shown.arrows)
    found = {(box.kind, box.name): 0 for box in shown.boxes}
    for _ in found:
        grown = dict(found)
        for source, target in pairs:
            grown[target] = max(grown[target], grown[source] + 1)
        if grown == found:
            break
        found = grown
    targets = {target for _, target in pairs}
    for name in found:
        following = [found[target] for source, target in pairs if source == name]
        if name not in targets and following:
            found[name] = min(following) - 1
    return found


def _lanes(
    arrows: Sequence[Arrow], boxes: Mapping[Object, _Item], ports: Mapping[Node, float]
) -> dict[Arrow, tuple[list[_Item], float]]:
    """For each arrow the items in the layers between its ends, and its height in them."""
    together: dict[tuple[Object, Object], list[Arrow]] = {}
    for arrow in arrows:
        together.setdefault((_object(arrow.source), _object(arrow.target)), []).append(arrow)
    found: dict[Arrow, tuple[list[_Item], float]] = {}
    for (source, target), unsorted in together.items():
        group = sorted(unsorted, key=lambda arrow: ports[arrow.source])
        first, last = boxes[source], boxes[target]
        between = [_Item(layer, _LANE * len(group)) for layer in range(first.layer + 1, last.layer)]
        for place, arrow in enumerate(group):
            height = _LANE * (place + 0.5)
            found[arrow] = (between, height)
            chain = [(first, ports[arrow.source]), *((item, height) for item in between), (last, ports[arrow.target])]
            for (one, leaving), (other, reaching) in pairwise(chain):
                one.after.append((other, leaving, reaching))
                other.before.append((one, reaching, leaving))
    return found


# the order in the layers


def _order(rows: list[list[_Item]]) -> None:
    """Sort each layer by the medians of its neighbours, to and fro; keep the order with the fewest crossings."""
    best, fewest = _numbered(rows), _crossings(rows)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        for row in rows[1:] if forth else rows[-2::-1]:
            row.sort(key=lambda item: _middle(item, item.before if forth else item.after))
            _number(row)
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = _numbered(rows), crossings
    for row, kept in zip(rows, best, strict=True):
        row[:] = kept
        _number(row)


def _middle(item: _Item, neighbours: Sequence[tuple[_Item, float, float]]) -> float:
    if not neighbours:
        return item.place + 0.5
    return float(median(other.place + (theirs + 1) / (other.height + 2) for other, _, theirs in neighbours))


def _numbered(rows: list[list[_Item]]) -> list[list[_Item]]:
    for row in rows:
        _number(row)
    return [list(row) for row in rows]


def _number(row: list[_Item]) -> None:
    for place, item in enumerate(row):
        item.place = place


def _crossings(rows: list[list[_Item]]) -> int:
    """How many pairs of arrows between neighbouring layers cross: inversions, counted with a Fenwick tree."""
    total = 0
    for row in rows:
        ends = sorted(((item.place, mine), (other.place, theirs)) for item in row for other, mine, theirs in item.after)
        ranks = {end: rank for rank, end in enumerate(sorted({end for _, end in ends}), start=1)}
        tree = [0] * (len(ranks) + 1)
        for seen, (_, end) in enumerate(ends):
            total += seen - _counted(tree, ranks[end])
            place = ranks[end]
            while place < len(tree):
                tree[place] += 1
                place += place & -place
    return total


def _counted(tree: Sequence[int], place: int) -> int:
    count = 0
    while place:
        count += tree[place]
        place -= place & -place
    return count


# heights


def _settle(rows: list[list[_Item]]) -> None:
    """Give each item the height at which its arrows are most level, in the order and without overlap."""
    for row in rows:
        _put(row, [0.0] * len(row))
    for turn in range(_SETTLING):
        for row in rows if turn % 2 == 0 else reversed(rows):
            _put(row, [_level(item) for item in row])
    top = min((item.y for row in rows for item in row), default=0.0)
    for row in rows:
        for item in row:
            item.y -= top


def _level(item: _Item) -> float:
    wanted = [other.y + theirs - mine for other, mine, theirs in (*item.before, *item.after)]
    return mean(wanted) if wanted else item.y


def _put(row: Sequence[_Item], wanted: Sequence[float]) -> None:
    """The heights nearest to those wanted that keep order and gaps."""
    offsets = [0.0]
    for one, other in pairwise(row):
        offsets.append(offsets[-1] + one.height + (_GAP if one.box or other.box else _LANE))
    blocks: list[tuple[float, int]] = []  # mean and size: neighbours that would overlap move together
    for want, offset in zip(wanted, offsets, strict=False):
        value, size = want - offset, 1
        while blocks and blocks[-1][0] > value:
            before, count = blocks.pop()
            value, size = (before * count + value * size) / (count + size), count + size
        blocks.append((value, size))
    values = [value for value, size in blocks for _ in range(size)]
    for item, value, offset in zip(row, values, offsets, strict=False):
        item.y = value + offset


# the whole


def _drawn(
    shown: Drawing,
    boxes: Mapping[Object, _Item],
    ports: Mapping[Node, float],
    lanes: Mapping[Arrow, tuple[list[_Item], float]],
    rows: Sequence[Sequence[_Item]],
) -> Layout:
    widths = [max((_width(item.box) for item in row if item.box), default=_LEAST_WIDTH) for row in rows]
    lefts = [0.0]
    for row, width in zip(rows, widths, strict=True):
        lefts.append(lefts[-1] + width + _CHANNEL + _PER_ARROW * sum(len(item.after) for item in row))
    placed = tuple(
        Placed(item.box, lefts[item.layer], item.y, widths[item.layer], item.height)
        for item in boxes.values()
        if item.box
    )
    routes = []
    for arrow in shown.arrows:
        source, target = boxes[_object(arrow.source)], boxes[_object(arrow.target)]
        between, height = lanes[arrow]
        points = [(lefts[source.layer] + widths[source.layer], source.y + ports[arrow.source])]
        for item in between:
            points += [(lefts[item.layer], item.y + height), (lefts[item.layer] + widths[item.layer], item.y + height)]
        points.append((lefts[target.layer], target.y + ports[arrow.target]))
        routes.append(Route(arrow, tuple(points)))
    right = max((one.x + one.width for one in placed), default=0.0)
    bottom = max((item.y + item.height for row in rows for item in row), default=0.0)
    return Layout(placed, tuple(routes), right, bottom)


def _height(box: Box) -> float:
    lines = len(box.columns) + bool(box.unused)
    return HEAD + (LINE * lines + _FOOT if lines else 0.0)


def _width(box: Box) -> float:
    texts = (box.name, KINDS[box.kind], unused(box), *(label(column) for column in box.columns))
    return max(_LEAST_WIDTH, *(width_of(text) for text in texts))


def _ports(box: Box) -> list[tuple[Node, float]]:
    """The height in the box at which the arrows of each node begin and end."""
    lines = [(node, HEAD + LINE * (place + 0.5)) for place, node in enumerate(box.columns)]
    return [(box.head, HEAD / 2), *lines]


def _object(node: Node) -> Object:
    return node.kind, node.name
