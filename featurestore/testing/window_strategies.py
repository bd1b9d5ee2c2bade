"""Random windowed views for Hypothesis: few keys and close instants, so that edges and ties are met all the time.

Events, windows, offsets, delays, steps and asked instants are all within some dozen microseconds around an origin,
so most questions lie on an edge or next to one; the origin lies in 1970, decades before or after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from hypothesis import strategies as st

from featurestore.definitions.functions import FUNCTIONS, AggregateFunction, faults, result_type
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
    List,
    String,
    Timestamp,
    UInt64,
)
from featurestore.plan.historical import HistoricalPlan
from featurestore.plan.nodes import Column, Rows
from featurestore.plan.windows import WindowAggregate, WindowJoin, WindowSteps
from featurestore.testing.engines.tables import ViewTable, array, instants, python_list, with_column
from featurestore.testing.strategies import ViewCase, key_types, values

_ORIGINS = st.sampled_from([0, 0, 0, -(10**15), 10**15])
_VALUE_TYPES = st.sampled_from([
    Float64, Float64, Float64, Int64, Int64, Int8, UInt64, Float32, Decimal(12, 2), Decimal(38, 9), Bool, String,
    Bytes, Date, Timestamp, List(Int64),
])  # fmt: skip
_FAR = 10**15
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WindowCase:
    """A view of events and the steps that are made of them; `view` has the delay, the time to live, the visibility."""

    view: ViewCase
    aggregates: tuple[WindowAggregate, ...]
    origin_us: int
    every_us: int | None = None
    watermark_us: int | None = None
    event_id: str | None = None

    def from_source(self) -> Rows:
        """The events as computed from a source."""
        return replace(self.view.from_source(), events=True)

    def from_store(self, folder: Path) -> Rows:
        """The events as committed."""
        return self.view.from_store(folder)

    def steps(self, rows: Rows) -> WindowSteps:
        """The steps made of the rows."""
        return WindowSteps(
            rows,
            self.aggregates,
            self.every_us,
            self.view.delay_us,
            self.watermark_us,
            self.view.visibility,
            self.event_id,
        )

    def join(self, rows: Rows, label: str = "v") -> WindowJoin:
        """The join of all aggregates; keys and results bear the label as prefix."""
        named = tuple(replace(each, name=f"{label}_{each.name}") for each in self.aggregates)
        keys = tuple((key.name, f"{label}_{key.name}") for key in rows.keys)
        return WindowJoin(label, replace(self.steps(rows), aggregates=named), keys, self.view.ttl_us)

    def step_at(self, t: int) -> int:
        """The instant at which the value that answers t stands; for any t when nothing bounds the steps."""
        return self.steps(self.from_source()).step_at(t)


def history_of(*joins: WindowJoin) -> HistoricalPlan:
    """The retrieval of all that the joins give, at the instants in `t`."""
    outputs = tuple((each.name, each.dtype) for join in joins for each in join.steps.aggregates)
    return HistoricalPlan("random", "t", joins, on_demand=(), request=(), outputs=outputs)


@st.composite
def window_cases(
    draw: st.DrawFn,
    *,
    holes: bool = False,
    committed: bool = False,
    sent_again: bool | None = None,
    rows_of_a_view: bool = False,
) -> WindowCase:
    """A windowed view; with `holes` keys and event times may be null.

    `committed`: it has a watermark. `sent_again`: whether it has event ids (None: either). `rows_of_a_view`: its steps
    are fit to be the rows of another view: they have a grid, no watermark and an end.
    """
    origin = draw(_ORIGINS)
    near = st.integers(-6, 20).map(lambda offset: origin + offset)
    has_ids = draw(st.integers(0, 3)) == 0 if sent_again is None else sent_again
    table = draw(_tables(near, holes))
    if has_ids:
        table = with_column(table, "id", draw(_lists(st.sampled_from([None, 1, 1, 2, 3]), table.size)), Int64)
        marks = _lists(st.sampled_from([False, False, None, True]), table.size)
        table = replace(table, deleted=draw(st.none() | marks))
    every = draw(st.sampled_from([1, 2, 3, 5, 7] if rows_of_a_view else [None, None, 1, 2, 3, 5, 7]))
    types = {column.name: column.dtype for column in table.columns if column.name.startswith("x")}
    aggregates = draw(st.lists(_aggregates(types, endless=not rows_of_a_view), min_size=1, max_size=4))
    watermark = near.map(lambda t: t + 4)
    return WindowCase(
        view=ViewCase(
            table,
            delay_us=0 if every is None else draw(st.sampled_from([0, 0, 1, 3, 8])),
            ttl_us=draw(st.sampled_from([None, None, None, 0, 1, 4, 9])),
            visibility="event" if table.created is None or has_ids else draw(st.sampled_from(["event", "created"])),
            start_us=draw(st.none() | near) if holes else None,
            rows_per_file=draw(st.integers(1, 5)),
            sure_of_ties=draw(st.booleans()),
        ),
        aggregates=tuple(replace(each, name=f"y{place}") for place, each in enumerate(aggregates)),
        origin_us=origin,
        every_us=every,
        watermark_us=None if rows_of_a_view else draw(watermark if committed else st.none() | watermark),
        event_id="id" if has_ids else None,
    )


@st.composite
def window_spines(draw: st.DrawFn, case: WindowCase, label: str = "v", earliest_us: int | None = None) -> pa.Table:
    """A spine with instants in `t` around the origin, or from `earliest_us` on; keys are known, unknown or null."""
    size = draw(st.integers(0, 14))
    offsets = st.one_of(st.integers(-8, 36), st.integers(-8, 36), st.sampled_from([-_FAR, _FAR]))
    at = offsets.map(lambda offset: case.origin_us + offset)
    if earliest_us is not None:
        at = st.integers(0, 24).map(lambda offset: earliest_us + offset)
    columns = {"row": pa.array(range(size), pa.int32()), "t": instants(draw(_lists(at, size)))}
    for key in case.view.table.keys:
        known = st.sampled_from([*python_list(pa.chunked_array([case.view.table.cells[key.name]])), None])
        found = draw(_lists(st.one_of(known, known, known, values(key.dtype)), size))
        columns[f"{label}_{key.name}"] = array(found, key.dtype)
    return pa.table(columns)


@st.composite
def _tables(draw: st.DrawFn, near: st.SearchStrategy[int], holes: bool) -> ViewTable:
    """Events of few keys, one of them most often; two columns `x0`, `x1`, two conditions `m0`, `m1`."""
    keys = tuple(map(Column, ("k", "l"), draw(st.lists(key_types(), max_size=2))))
    pools = [draw(st.lists(values(key.dtype), min_size=1, max_size=3, unique_by=repr)) for key in keys]
    maybe = st.none() if holes else st.nothing()
    row_keys = st.tuples(*(st.one_of(st.sampled_from([pool[0], pool[0], *pool]), maybe) for pool in pools))
    chosen = draw(st.lists(row_keys, max_size=14))
    size = len(chosen)
    cells = {key.name: array([row[place] for row in chosen], key.dtype) for place, key in enumerate(keys)}
    events = draw(_lists(st.one_of(near, near, maybe), size))
    created = draw(st.none() | _lists(st.one_of(st.none(), near), size))
    table = ViewTable(keys, (), cells, events, created)
    for name in ("x0", "x1"):
        dtype = draw(_VALUE_TYPES)
        table = with_column(table, name, draw(_lists(_cells(draw, dtype), size)), dtype)
    for name in ("m0", "m1"):
        table = with_column(table, name, draw(_lists(st.sampled_from([True, True, False, None]), size)), Bool)
    return table


def _cells(draw: st.DrawFn, dtype: DType) -> st.SearchStrategy[Any]:
    """Nulls, any value, and a few values again and again; integers are small more often than not."""
    some = values(dtype)
    if dtype in (Int64, UInt64) and draw(st.integers(0, 2)):
        some = st.integers(0, 9)
    return st.one_of(st.none(), some, st.sampled_from(draw(st.lists(some, min_size=1, max_size=3))))


@st.composite
def _aggregates(draw: st.DrawFn, types: dict[str, DType], *, endless: bool) -> WindowAggregate:
    """Any function that takes a column of those types, or rows, over any window; `endless` says windows may be."""
    value = draw(st.sampled_from([*types, *types, None]))
    dtype = None if value is None else types[value]
    function = FUNCTIONS[draw(st.sampled_from(_taking(dtype)))]
    lengths = st.one_of(st.integers(1, 12), st.integers(1, 12), st.none() if endless else st.nothing())
    window = draw(st.one_of(lengths, lengths, st.just(_FAR) if endless else st.nothing()))
    series = window is not None and function.result != "list"
    series_of = draw(st.sampled_from([None, None, None, 1, 2, 3])) if series else None
    conditions = st.sampled_from([None, None, "m0", "m1"])
    return WindowAggregate(
        name="y",
        dtype=result_type(function.name, dtype, {} if series_of is None else {"series": series_of}),
        function=function.name,
        value=value,
        mask=draw(conditions),
        under=draw(conditions) if function.name == "ratio" else None,
        window_us=window,
        offset_us=draw(st.sampled_from([0, 0, 0, 1, 4, 9])),
        n=draw(st.integers(1, 4)) if "n" in function.requires else None,
        p=draw(st.sampled_from([0, 0.1, 0.25, 0.9, 0.999999999, 1])) if "p" in function.requires else None,
        series=series_of,
    )


def _taking(dtype: DType | None) -> list[str]:
    """The functions that take the type (None: rows)."""

    def takes(function: AggregateFunction) -> bool:
        return not faults(function.name, dtype, dict.fromkeys(function.requires, 1))

    return [name for name, function in FUNCTIONS.items() if takes(function)]


def _lists(item: st.SearchStrategy[T], size: int) -> st.SearchStrategy[list[T]]:
    return st.lists(item, min_size=size, max_size=size)
