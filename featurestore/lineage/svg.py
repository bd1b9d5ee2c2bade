"""A lineage as an SVG document."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.lineage.drawing import Drawing, drawing, label, unused
from featurestore.lineage.graph import KINDS, Kind, Lineage
from featurestore.lineage.layout import HEAD, LINE, Placed, Point, Route, layout
from featurestore.lineage.text import shortened, xml

_MARGIN, _LEGEND, _LEAST_WIDTH = 24.0, 40.0, 560.0
_COLOURS: dict[Kind, tuple[str, str]] = {  # of the box's head, and of its frame
    "request": ("#fde9d9", "#c2773a"),
    "file": ("#eceff1", "#78909c"),
    "source": ("#dbe9f6", "#3c78b4"),
    "view": ("#dff0d8", "#4c8f3c"),
    "on_demand": ("#fdf3cd", "#b08d1a"),
    "service": ("#e8def3", "#7a52a8"),
    "dataset": ("#d7efee", "#2f8a86"),
    "model": ("#f8dbe0", "#b5475d"),
}
_STYLE = """\
text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1c2733}
.kind{font-size:10px;fill:#55626f}.name{font-weight:bold}.unused{fill:#8794a1;font-style:italic}
.focus{font-weight:bold;fill:#b3261e}
path{fill:none;stroke-width:1.3;stroke:#5b6b7b}
.rows{stroke-dasharray:4 3;stroke:#9aa7b4}
"""


def svg(lineage: Lineage) -> str:
    """One document that needs nothing else: a full line is a value, a dashed one a key, a time or a filter."""
    shown = drawing(lineage)
    found = layout(shown)
    width, height = found.width + 2 * _MARGIN, found.height + 2 * _MARGIN + _LEGEND
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, _LEAST_WIDTH):.0f}" height="{height:.0f}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" style="fill:#5b6b7b;stroke:none"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
        *(_path(route) for route in found.routes),
        *(line for box in found.boxes for line in _box(box, shown)),
        *_legend(found.height + _MARGIN),
        "</g>",
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _path(route: Route) -> str:
    (x, y), *_ = route.points
    parts = [f"M{x:.1f},{y:.1f}"]
    for place in range(0, len(route.points) - 1, 2):
        parts.append(_curve(route.points[place], route.points[place + 1]))
        if place + 2 < len(route.points):
            parts.append(f"L{route.points[place + 2][0]:.1f},{route.points[place + 2][1]:.1f}")
    told = f"{route.arrow.source} → {route.arrow.target}"
    kind = "" if route.arrow.value else ' class="rows"'
    return f'<path{kind} d="{" ".join(parts)}" marker-end="url(#tip)"><title>{xml(told)}</title></path>'


def _curve(start: Point, end: Point) -> str:
    bend = (end[0] - start[0]) / 2
    return f"C{start[0] + bend:.1f},{start[1]:.1f} {end[0] - bend:.1f},{end[1]:.1f} {end[0]:.1f},{end[1]:.1f}"


def _box(placed: Placed, shown: Drawing) -> Iterator[str]:
    box = placed.box
    fill, frame = _COLOURS[box.kind]
    at = f'x="{placed.x:.1f}" y="{placed.y:.1f}" width="{placed.width:.1f}"'
    thick = 2.5 if box.head in shown.focus else 1.2
    yield f'<rect {at} height="{placed.height:.1f}" rx="5" fill="#ffffff" stroke="{frame}" stroke-width="{thick}"/>'
    yield f'<rect {at} height="{HEAD:.1f}" rx="5" fill="{fill}" stroke="{frame}" stroke-width="{thick}"/>'
    yield _text("kind", KINDS[box.kind], placed.x + 12, placed.y + 15)
    yield _text("name", box.name, placed.x + 12, placed.y + 31)
    for place, column in enumerate(box.columns):
        marked = "focus" if column in shown.focus and box.head not in shown.focus else ""
        yield _text(marked, label(column), placed.x + 12, placed.y + HEAD + LINE * (place + 0.5) + 4)
    if box.unused:
        yield _text("unused", unused(box), placed.x + 12, placed.y + HEAD + LINE * (len(box.columns) + 0.5) + 4)


def _text(kind: str, text: str, x: float, y: float) -> str:
    marked = f' class="{kind}"' if kind else ""
    short = shortened(text)
    whole = "" if short == text else f"<title>{xml(text)}</title>"
    return f'<text{marked} x="{x:.1f}" y="{y:.1f}" xml:space="preserve">{whole}{xml(short)}</text>'


def _legend(y: float) -> Iterator[str]:
    for x, kind, told in ((0, "", "value"), (100, ' class="rows"', "key, time or filter; at a head: of all its rows")):
        yield f'<path{kind} d="M{x},{y + 12:.1f} L{x + 34},{y + 12:.1f}" marker-end="url(#tip)"/>'
        yield f'<text x="{x + 42}" y="{y + 16:.1f}">{xml(told)}</text>'
