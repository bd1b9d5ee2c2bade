"""Charts as SVG text: a frame with axes, and lines, points and bars in it. Colours are those of `style`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

Point = tuple[float, float]

_WIDTH, _HEIGHT = 340, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 40
_BAR_HEIGHT, _NAME_WIDTH, _NAME_LETTERS = 20, 118, 19
_FIGURE = 40  # as wide as a number is drawn


class Range(NamedTuple):
    """From the least to the greatest value of an axis."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Two axes with their names, and what values lie where."""

    x: Range
    y: Range
    x_name: str
    y_name: str

    def at(self, x: float, y: float) -> Point:
        """Where a pair of values is drawn."""
        return (
            _LEFT + (x - self.x.low) / (self.x.high - self.x.low) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (y - self.y.low) / (self.y.high - self.y.low) * (_HEIGHT - _TOP - _BOTTOM),
        )

    def draw(self, *inside: str) -> str:
        """The whole chart with marks in it."""
        parts = []
        for tick in ticks(self.y):
            (x0, y0), (x1, _) = self.at(self.x.low, tick), self.at(self.x.high, tick)
            parts.append(f'<line class="grid" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y0:.1f}"/>')
            parts.append(f'<text x="{x0 - 7:.1f}" y="{y0 + 3.5:.1f}" text-anchor="end">{number(tick)}</text>')
        floor = _HEIGHT - _BOTTOM
        for tick in ticks(self.x):
            x, _ = self.at(tick, self.y.low)
            parts.append(f'<text x="{x:.1f}" y="{floor + 15}" text-anchor="middle">{number(tick)}</text>')
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - _RIGHT}" y2="{floor}"/>')
        middle, height = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + floor) / 2
        parts.append(
            f'<text class="name" x="{middle:.0f}" y="{_HEIGHT - 7}" text-anchor="middle">{escape(self.x_name)}</text>'
        )
        parts.append(
            f'<text class="name" transform="translate(11 {height:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_name)}</text>"
        )
        return _svg(_WIDTH, _HEIGHT, (*parts, *inside))

    def line(self, points: Iterable[Point], kind: str = "curve") -> str:
        """A line through points."""
        drawn = " ".join("{:.1f},{:.1f}".format(*self.at(*point)) for point in points)
        return f'<polyline class="{kind}" points="{drawn}"/>'

    def dots(self, points: Iterable[Point], radius: float, kind: str = "dot") -> str:
        """Points, as circles."""
        return "".join(
            '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>'.format(kind, *self.at(*point), radius)
            for point in points
        )

    def columns(self, edges: Sequence[float], heights: Sequence[float]) -> str:
        """A histogram; there is one edge more than heights."""
        parts = []
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            (x0, y0), (x1, y1) = self.at(left, height), self.at(right, self.y.low)
            parts.append(
                f'<rect class="bar" x="{x0 + 0.5:.1f}" y="{y0:.1f}" width="{max(x1 - x0 - 1, 0.5):.1f}" '
                f'height="{max(y1 - y0, 0):.1f}"/>'
            )
        return "".join(parts)


def bars(values: Mapping[str, float], x_name: str, *, guide: float | None = None, notes: Mapping[str, str]) -> str:
    """A named bar for each value, from zero; `guide` is a line across all, `notes` stand behind the bars."""
    known = [*values.values(), 0.0, *([] if guide is None else [guide])]
    x = padded(min(known), max(known), zero=True)
    height = _TOP + len(values) * _BAR_HEIGHT + _BOTTOM
    scale = (_WIDTH - _NAME_WIDTH - _RIGHT - 34) / (x.high - x.low)

    def place(value: float) -> float:
        return _NAME_WIDTH + (value - x.low) * scale

    parts: list[str] = []
    floor, line = height - _BOTTOM, None if guide is None else place(guide)
    parts.extend(
        f'<line class="grid" x1="{place(tick):.1f}" y1="{_TOP - 6}" x2="{place(tick):.1f}" y2="{floor}"/>'
        f'<text x="{place(tick):.1f}" y="{floor + 14}" text-anchor="middle">{number(tick)}</text>'
        for tick in ticks(x, 4)
    )
    for row, (name, value) in enumerate(values.items()):
        top = _TOP + row * _BAR_HEIGHT
        left, right = sorted((place(0.0), place(value)))
        parts.append(
            f'<text class="name" x="{_NAME_WIDTH - 8}" y="{top + 12}" text-anchor="end">{escape(_short(name))}'
            f'<title>{escape(name)}</title></text><rect class="bar" x="{left:.1f}" y="{top + 2}" '
            f'width="{max(right - left, 0.8):.1f}" height="{_BAR_HEIGHT - 7}" rx="1.5"/>'
            f'<text x="{_beside(right, line) + 5:.1f}" y="{top + 12}">{escape(notes.get(name, number(value)))}</text>'
        )
    if line is not None:
        parts.append(f'<line class="limit" x1="{line:.1f}" y1="{_TOP - 6}" x2="{line:.1f}" y2="{floor}"/>')
    middle = (_NAME_WIDTH + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle:.0f}" y="{height - 7}" text-anchor="middle">{escape(x_name)}</text>')
    return _svg(_WIDTH, height, parts)


def _beside(end: float, line: float | None) -> float:
    """Where a figure behind a bar begins: at the bar's end, or at a line that would cross the figure."""
    return line if line is not None and end <= line < end + _FIGURE else end


def padded(low: float, high: float, *, zero: bool = False) -> Range:
    """A range with some room above, and below unless it starts at zero; never empty."""
    if zero or low == 0:
        room = (high - low) * 0.04 or 1.0
        return Range(low - room if low < 0 else 0.0, high + room)
    room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return Range(low - room, high + room)


def ticks(of: Range, about: int = 5) -> list[float]:
    """Round values in a range."""
    rough = (of.high - of.low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * 1.0001)
    first, last = math.ceil(of.low / step - 1e-9), math.floor(of.high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def number(value: float) -> str:
    """A number in few digits."""
    if value and abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{round(value, 10):.4g}"


def _short(text: str, letters: int = _NAME_LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _svg(width: int, height: int, parts: Iterable[str]) -> str:
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"{''.join(parts)}</svg>"
    )
