"""Specs taken apart: one request per window, sharing lanes and edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featurestore.windows.spec import WindowSpec

GROUP_START = 0
NOW = 1  # the row of edges at v itself


@dataclass(frozen=True, slots=True)
class Request:
    """One function over the window between two rows of edges; `part` counts the requests of a spec.

    A series has a part for each entry, oldest first. A ratio is two counts, over one mask and over another: the parts
    under the line follow those above it.
    """

    spec: int
    part: int
    function: str
    value: int | None
    mask: int | None
    low: int
    high: int
    n: int = 0
    p: float = 0.0

    @property
    def lane(self) -> tuple[int | None, int | None]:
        """Column and mask; requests of one lane are computed together."""
        return self.value, self.mask


def take_apart(specs: Sequence[WindowSpec]) -> tuple[tuple[Request, ...], tuple[int, ...]]:
    """All requests in order of specs and parts, and the shifts of edges: row 1 + s of edges lies shifts[s] before v."""
    shifts = sorted({0}.union(*(_shifts(spec) for spec in specs)))
    row = {shift: NOW + index for index, shift in enumerate(shifts)}
    return tuple(r for index, spec in enumerate(specs) for r in _requests(index, spec, row)), tuple(shifts)


def _shifts(spec: WindowSpec) -> set[int]:
    return {spec.offset_us + step * (spec.window_us or 0) for step in range((spec.series or 1) + 1)}


def _requests(index: int, spec: WindowSpec, row: dict[int, int]) -> Iterator[Request]:
    window = spec.window_us or 0
    masks = [spec.mask, spec.of] if spec.function == "ratio" else [spec.mask]
    function = "count" if spec.function == "ratio" else spec.function
    part = 0
    for mask in masks:
        for step in reversed(range(spec.series or 1)):
            high = row[spec.offset_us + step * window]
            low = row[spec.offset_us + (step + 1) * window] if window else GROUP_START
            yield Request(index, part, function, spec.value, mask, low, high, spec.n or 1, spec.p or 0.0)
            part += 1
