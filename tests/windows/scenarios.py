"""Small random inputs of the kernel, and the same question asked of the nested loops."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from featurestore.arrow import arrow_type
from featurestore.definitions.functions import FUNCTIONS, faults
from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int8,
    Int64,
    String,
    Timestamp,
    UInt64,
)
from featurestore.engines.reference.windows import aggregate
from featurestore.windows.kernel import compute
from featurestore.windows.spec import WindowEvents, WindowPoints, WindowSpec, WindowValues

Money, Wide = Decimal(12, 2), Decimal(38, 9)

_STRANGE_DOUBLES = [
    0.0, -0.0, 1.0, -1.0, 0.1, 0.2, 0.3, 1e16, -1e16, 1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308,
    5e-324, -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 2.0**53 + 2, 2.0**53 - 1, 1e-300,
]  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

VALUES: dict[DType, st.SearchStrategy[Any]] = {
    Float64: st.one_of(
        st.sampled_from(_STRANGE_DOUBLES),
        st.sampled_from([math.nan, math.inf, -math.inf]),
        st.floats(),
        st.integers(-5, 5).map(float),
        st.floats(-1e6, 1e6).map(lambda x: round(x, 2)),
    ),
    Float32: st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.5, -1.5, math.nan, math.inf])),
    Int64: st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**53 + 1, 2**63 - 1])),
    Int8: st.integers(-128, 127),
    UInt64: st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.just(2**64 - 1)),
    Bool: st.booleans(),
    String: st.text(max_size=2) | st.sampled_from(["", "a", "b", "é", "\U0001f600", "\uffff"]),
    Bytes: st.binary(max_size=2),
    Date: st.dates(date(1960, 1, 1), date(1980, 1, 1)),
    Timestamp: st.integers(-5, 5).map(lambda us: _EPOCH + timedelta(microseconds=us)),
    Money: st.decimals(-9999, 9999, places=2) | st.sampled_from([PyDecimal("0.10"), PyDecimal("-0.10")]),
    Wide: st.decimals(PyDecimal(-(10**29) + 1), PyDecimal(10**29 - 1), places=9)
    | st.sampled_from([PyDecimal("1.000000001"), PyDecimal(2), PyDecimal(10) ** 28]),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event, of a group; `counted` is what the mask says of it, `under` what the mask under a ratio says."""

    group: int
    time: int
    created: int
    value: Any
    counted: bool | None
    under: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question: events in the kernel's order, points (group, v), one spec over the one column.

    `known`: for each point up to which created time it knows events; None: all.
    """

    dtype: DType
    events: tuple[Event, ...]
    points: tuple[tuple[int, int], ...]
    spec: WindowSpec
    known: tuple[int, ...] | None = None

    def kernel(self, threads: int = 1) -> WindowValues:
        """What the kernel answers."""
        return compute([self.spec], self.window_events(), self.window_points(), threads=threads)

    def window_points(self) -> WindowPoints:
        """The points as the kernel takes them."""
        group, end = (np.array([point[side] for point in self.points], np.int64) for side in (0, 1))
        return WindowPoints(group, end, None if self.known is None else np.array(self.known, np.int64))

    def window_events(self) -> WindowEvents:
        """The events as the kernel takes them."""
        columns = (pa.array([event.value for event in self.events], arrow_type(self.dtype)),)
        masks = tuple(pa.array([getattr(e, name) for e in self.events], pa.bool_()) for name in ("counted", "under"))
        group, time, created = (
            np.array([getattr(e, name) for e in self.events], np.int64) for name in ("group", "time", "created")
        )
        return WindowEvents(group, time, columns, masks, created)

    def reference(self) -> list[Any]:
        """What the nested loops answer."""
        spec = self.spec
        params = {key: getattr(spec, key) for key in ("n", "p", "series") if getattr(spec, key) is not None}
        return [
            aggregate(spec.function, self._rows(point), v, spec.window_us, spec.offset_us, params)
            for point, (_, v) in enumerate(self.points)
        ]

    def seen(self) -> list[bool]:
        """Whether each point's group has an event before v that is known there."""
        return [any(event.time < v for event in self._known(point)) for point, (_, v) in enumerate(self.points)]

    def _known(self, point: int) -> list[Event]:
        limit = math.inf if self.known is None else self.known[point]
        return [event for event in self.events if event.group == self.points[point][0] and event.created <= limit]

    def _rows(self, point: int) -> list[tuple[int, int | None, Any]]:
        rows: list[tuple[int, int | None, Any]] = []
        for event in self._known(point):
            above = self.spec.mask is None or bool(event.counted)
            value = event.value if self.spec.value == 0 else True
            if self.spec.function == "ratio":
                under = self.spec.of is None or event.under
                rows.append((event.time, event.created, (above and value is not None, under and value is not None)))
            elif above:
                rows.append((event.time, event.created, value))
        return rows

    def shuffled(self, keys: list[int]) -> Scenario:
        """The same with events of equal group and time in another order."""
        order = sorted(range(len(self.events)), key=lambda i: (self.events[i].group, self.events[i].time, keys[i]))
        return replace(self, events=tuple(self.events[i] for i in order))


def bits(value: Any) -> Any:
    """The value in a form that is equal exactly when all bits are; any NaN is the same."""
    if isinstance(value, list):
        return [bits(each) for each in value]
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack(">d", value)
    return (type(value).__name__, value)


def functions_over(dtype: DType) -> list[str]:
    """The functions that take the type."""
    return [name for name, f in FUNCTIONS.items() if not faults(name, dtype, dict.fromkeys(f.requires, 1))]


@st.composite
def specs(draw: st.DrawFn, name: str) -> WindowSpec:
    """A spec for a function."""
    function = FUNCTIONS[name]
    window = draw(st.none() | st.integers(1, 25))
    return WindowSpec(
        name,
        value=draw(st.sampled_from([0, None])) if function.rows else 0,
        mask=draw(st.sampled_from([None, 0])),
        window_us=window,
        offset_us=draw(st.sampled_from([0, 0, 1, 7])),
        series=draw(st.sampled_from([None, None, 1, 3])) if window and function.result != "list" else None,
        n=draw(st.integers(1, 4)) if "n" in function.requires else None,
        p=draw(st.sampled_from([0, 0.1, 0.25, 0.9, 1 / 512, 0.999999999, 1])) if "p" in function.requires else None,
        of=draw(st.sampled_from([None, 1])) if name == "ratio" else None,
    )


@st.composite
def scenarios(draw: st.DrawFn, dtype: DType) -> Scenario:
    """Skewed groups, many ties, points on and around the events, before the first and after the last."""
    some = VALUES[dtype]
    values = st.none() | some | st.sampled_from(draw(st.lists(some, min_size=1, max_size=3)))
    event = st.builds(
        Event,
        group=st.sampled_from([0, 0, 0, 0, 1, 3]),
        time=st.integers(-10, 15),
        created=st.integers(0, 2),
        value=values,
        counted=st.sampled_from([True, True, False, None]),
        under=st.booleans(),
    )
    events = sorted(draw(st.lists(event, max_size=30)), key=lambda e: (e.group, e.time))
    points = sorted(draw(st.lists(st.tuples(st.integers(-1, 4), st.integers(-12, 30)), max_size=12)))
    known = draw(st.none() | st.lists(st.integers(-1, 3), min_size=len(points), max_size=len(points)).map(tuple))
    spec = draw(st.sampled_from(functions_over(dtype)).flatmap(specs))
    return Scenario(dtype, tuple(events), tuple(points), spec, known)
