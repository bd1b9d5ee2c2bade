"""What the kernel is asked and what it answers: specs, sorted events and points in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurestore.definitions.functions import get, parameter_fault
from featurestore.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LONGEST_US = 1 << 60  # instants and windows stay far from the ends of int64


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One aggregate over [v - offset - window, v - offset), v being the instant of a point.

    `value`: index of the column (None: rows, for count and ratio). `mask`: index of the condition that events must meet
    (None: all). `window_us` None: all events before v - offset. `series`: instead of one value a list of that many, of
    windows that end `window_us` apart, oldest first. `n`, `p`: parameters of functions that have them. `of`: the mask
    under a ratio (None: all events).
    """

    function: str
    value: int | None = None
    mask: int | None = None
    window_us: int | None = None
    offset_us: int = 0
    series: int | None = None
    n: int | None = None
    p: float | None = None
    of: int | None = None

    def __post_init__(self) -> None:
        function = get(self.function)
        given = {"n": self.n, "p": self.p, "series": self.series}
        wrong = [parameter_fault(self.function, key, value) for key, value in given.items() if value is not None]
        wrong += [f"{self.function} needs '{key}'." for key in sorted(function.requires) if given[key] is None]
        if self.value is None and not function.rows:
            wrong.append(f"{self.function} needs a column.")
        if any(wrong):
            raise InputError(" ".join(filter(None, wrong)))
        if self.window_us is not None and self.window_us <= 0:
            raise InputError(f"{self.function}: the window must be positive, got {self.window_us} us.")
        if self.offset_us < 0:
            raise InputError(f"{self.function}: the offset must not be negative, got {self.offset_us} us.")
        if self.series is not None and (self.window_us is None or function.result == "list"):
            raise InputError(f"{self.function}: a series needs a window and a function without lists.")
        if self.offset_us + (self.window_us or 0) * (self.series or 1) > LONGEST_US:
            raise InputError(f"{self.function}: the window reaches back further than {LONGEST_US} us.")


@dataclass(frozen=True, slots=True)
class WindowEvents:
    """Events sorted by group, then time; rows of equal group and time in any order.

    `group` (int64 codes) and `time_us` have one entry per event, as have all columns and masks. A mask's null is
    false. `created_us` decides ties of first, last and the lists; without it the value alone decides.
    """

    group: NDArray[np.int64]
    time_us: NDArray[np.int64]
    columns: tuple[pa.Array | pa.ChunkedArray, ...] = ()
    masks: tuple[pa.Array | pa.ChunkedArray, ...] = ()
    created_us: NDArray[np.int64] | None = None

    def part(self, first: int, end: int) -> WindowEvents:
        """Events first..end, nothing copied."""
        return WindowEvents(
            self.group[first:end],
            self.time_us[first:end],
            tuple(column.slice(first, end - first) for column in self.columns),
            tuple(mask.slice(first, end - first) for mask in self.masks),
            None if self.created_us is None else self.created_us[first:end],
        )


@dataclass(frozen=True, slots=True)
class WindowPoints:
    """Where values are asked: group codes and instants v, sorted by group, then instant; duplicates allowed.

    With `known_us` a point takes only events whose `created_us` is not after its own entry there.
    """

    group: NDArray[np.int64]
    end_us: NDArray[np.int64]
    known_us: NDArray[np.int64] | None = None

    def part(self, first: int, end: int) -> WindowPoints:
        """Points first..end, nothing copied."""
        known_us = None if self.known_us is None else self.known_us[first:end]
        return WindowPoints(self.group[first:end], self.end_us[first:end], known_us)


@dataclass(frozen=True, slots=True)
class WindowValues:
    """One Arrow array per spec, in order, one value per point; `seen`: the group has an event before v, mask or not.

    Points that have not seen an event still bear the value of an empty window: count 0, else null.
    """

    values: tuple[pa.Array, ...]
    seen: NDArray[np.bool_]


class WindowOverflowError(InputError):
    """A sum of integers or decimals does not fit its type; `spec` and `point` say where, `total` what it is."""

    def __init__(self, spec: int, point: int, total: str) -> None:
        self.spec = spec
        self.point = point
        self.total = total
        super().__init__(f"A windowed sum overflows: {total} does not fit its type. Sum a wider type, or doubles.")
