"""A lineage as Mermaid text."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.lineage.drawing import Box, Drawing, drawing, label, unused
from featurestore.lineage.graph import KINDS, Lineage, Node


def mermaid(lineage: Lineage) -> str:
    """A flowchart: full arrows are values, dotted ones keys, times and filters; an arrow at a box is about its rows."""
    shown = drawing(lineage)
    return "\n".join(["flowchart LR", *(f"  {line}" for line in _lines(shown)), ""])


def _lines(shown: Drawing) -> Iterator[str]:
    ids: dict[Node, str] = {}
    for place, box in enumerate(shown.boxes):
        yield from _box(box, f"o{place}", ids)
    for arrow in shown.arrows:
        yield f"{ids[arrow.source]} {'-->' if arrow.value else '-.->'} {ids[arrow.target]}"
    if shown.focus:
        yield "classDef focus stroke-width:3px,font-weight:bold"
        focus = [ids[node] for node in ids if node in shown.focus]
        yield f"class {','.join(focus)} focus"


def _box(box: Box, name: str, ids: dict[Node, str]) -> Iterator[str]:
    ids[box.head] = name
    title = f"{KINDS[box.kind]} {box.name}"
    lines = []
    for place, column in enumerate(box.columns):
        ids[column] = f"{name}c{place}"
        lines.append(f'  {ids[column]}["{_escaped(label(column))}"]')
    if box.unused:
        lines.append(f'  {name}u["{unused(box)}"]')
    if not lines:
        yield f'{name}["{_escaped(title)}"]'
        return
    yield f'subgraph {name}["{_escaped(title)}"]'
    yield from lines
    yield "end"


def _escaped(text: str) -> str:
    """Text inside quotes: what is no letter, digit, space, underscore, at sign or hyphen is written as its number."""
    return "".join(c if c.isalnum() or c in " _@-" else f"#{ord(c)};" for c in text)
