"""Random views and spines for Hypothesis: few keys and few instants, so that ties and edges are met all the time.

Spine instants lie on, one microsecond before and one after every edge that a view's events, created times, delay and
time to live make. Values are the extremes of their types, or anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal as PyDecimal
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from hypothesis import strategies as st

from featurestore.dtypes import (
    INTEGER_TYPES,
    KEY_TYPES,
    Decimal,
    DType,
    Float64,
    Int64,
    List,
    String,
    Timestamp,
    UInt64,
    Vector,
    parse,
)
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin, Projection
from featurestore.plan.nodes import Column, Rows, SourceRows, StoredRows
from featurestore.testing.engines.tables import ViewTable, array, instants, source_rows, stored_rows
from featurestore.testing.engines.values import EXTREMES
from featurestore.timeline import Visibility

_DURATIONS = st.sampled_from([0, 1, 2, 3, 5, 86_400_000_000])
_EVENTS = st.sampled_from([-(10**15), -2, -1, 0, 1, 2, 3, 4, 6, 10**15])
_KEY_NAMES = ("k", "l")
T = TypeVar("T")
_EXTREME_VALUES = {str(dtype): values for dtype, values in EXTREMES}


@dataclass(frozen=True, slots=True)
class ViewCase:
    """A view's table and the rules by which it is asked."""

    table: ViewTable
    delay_us: int = 0
    ttl_us: int | None = None
    visibility: Visibility = "event"
    start_us: int | None = None  # of rows from source
    rows_per_file: int = 2  # of rows from the store
    sure_of_ties: bool = True  # whether the stored rows tell that there are no ties or created times

    def from_source(self) -> SourceRows:
        """The view's rows as computed from a source."""
        return replace(source_rows(self.table), start_us=self.start_us)

    def from_store(self, folder: Path) -> StoredRows:
        """The view's rows as committed."""
        rows = stored_rows(self.table, folder, self.rows_per_file)
        return rows if self.sure_of_ties else replace(rows, has_ties=True, has_created=True)

    def join(self, rows: Rows, label: str) -> PointInTimeJoin:
        """The join of all columns; keys and results bear the label as prefix."""
        return PointInTimeJoin(
            label,
            rows,
            keys=tuple((key.name, f"{label}_{key.name}") for key in rows.keys),
            columns=tuple(Projection(c.name, f"{label}_{c.name}", c.dtype) for c in rows.columns),
            delay_us=self.delay_us,
            ttl_us=self.ttl_us,
            visibility=self.visibility,
            timeless=self.table.events is None,
        )


@dataclass(frozen=True, slots=True)
class RetrievalCase:
    """A spine with instants in `t`, and the views it is joined with: `v0`, `v1` ..."""

    spine: pa.Table
    views: tuple[ViewCase, ...]

    def plan_from_source(self) -> HistoricalPlan:
        """The retrieval over sources."""
        return self._plan([view.from_source() for view in self.views])

    def plan_from_store(self, folder: Path) -> HistoricalPlan:
        """The retrieval over committed files."""
        return self._plan([view.from_store(folder / str(place)) for place, view in enumerate(self.views)])

    def _plan(self, rows: list[SourceRows] | list[StoredRows]) -> HistoricalPlan:
        joins = tuple(view.join(rows[place], f"v{place}") for place, view in enumerate(self.views))
        outputs = tuple((column.name, column.dtype) for join in joins for column in join.columns)
        return HistoricalPlan("random", "t", joins, on_demand=(), request=(), outputs=outputs)


def dtypes() -> st.SearchStrategy[DType]:
    """Any logical type of a feature."""
    scalars = st.sampled_from([dtype for dtype, _ in EXTREMES if not isinstance(dtype, Decimal | List | Vector)])
    decimals = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: Decimal(p, s)))
    return st.one_of(
        scalars,
        scalars,
        decimals,
        st.one_of(scalars, decimals).map(List),
        st.builds(Vector, st.sampled_from([Float64, parse("Float32")]), st.integers(1, 3)),
    )


def key_types() -> st.SearchStrategy[DType]:
    """Any logical type of a join key, text and integers most often."""
    return st.one_of(st.sampled_from([String, Int64]), st.sampled_from(sorted(KEY_TYPES)).map(parse))


def values(dtype: DType) -> st.SearchStrategy[object]:
    """Any value of a logical type but null; instants are int microseconds."""
    anything = _anything(dtype)
    known = _EXTREME_VALUES.get(str(dtype))
    return st.one_of(st.sampled_from(known), anything) if known else anything


def _anything(dtype: DType) -> st.SearchStrategy[object]:
    match dtype:
        case List():
            return st.lists(st.one_of(st.none(), values(dtype.inner)), max_size=3)
        case Vector():
            return st.lists(values(dtype.inner), min_size=dtype.size, max_size=dtype.size)
        case Decimal():
            most, scale = 10**dtype.precision - 1, dtype.scale
            return st.integers(-most, most).map(lambda whole: PyDecimal(f"{whole}e-{scale}"))
        case DType(name="Float32" | "Float64"):
            return st.floats(width=32 if dtype.name == "Float32" else 64)
        case DType(name="Bool"):
            return st.booleans()
        case DType(name="String"):
            return st.text(st.characters(codec="utf-8"), max_size=4)
        case DType(name="Bytes"):
            return st.binary(max_size=4)
        case DType(name="Date"):
            return st.dates()
        case DType(name="Timestamp"):
            return st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
        case _:
            assert dtype.name in INTEGER_TYPES
            bits = int(dtype.name.rpartition("t")[2])
            low, high = (0, 2**bits - 1) if dtype.name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            return st.integers(low, high)


@st.composite
def view_tables(draw: st.DrawFn, holes: bool = False, timeless: bool | None = False, most: int = 8) -> ViewTable:
    """Rows of a view with up to two keys and three columns; with `holes` keys and event times may be null.

    `timeless` None: either. A timeless table has each key once.
    """
    keys = tuple(map(Column, _KEY_NAMES, draw(st.lists(key_types(), max_size=2))))
    columns = tuple(Column(f"x{i}", dtype) for i, dtype in enumerate(draw(st.lists(dtypes(), min_size=1, max_size=3))))
    pools = [draw(st.lists(values(key.dtype), min_size=1, max_size=3, unique_by=repr)) for key in keys]
    maybe = st.none() if holes else st.nothing()
    row_keys = st.tuples(*(st.one_of(st.sampled_from(pool), maybe) for pool in pools))
    without_times = draw(st.booleans()) if timeless is None else timeless
    chosen = draw(st.lists(row_keys, max_size=most, unique_by=repr if without_times else None))
    size = len(chosen)
    cells = {key.name: array([row[place] for row in chosen], key.dtype) for place, key in enumerate(keys)}
    for column in columns:
        cells[column.name] = array(draw(_lists(st.one_of(st.none(), values(column.dtype)), size)), column.dtype)
    if without_times:
        return ViewTable(keys, columns, cells, None)
    events = draw(_lists(st.one_of(_EVENTS, maybe), size))
    created = draw(st.one_of(st.none(), _lists(st.one_of(st.none(), _EVENTS), size)))
    deleted = draw(st.one_of(st.none(), st.none(), _lists(st.sampled_from([False, None, True]), size)))
    return ViewTable(keys, columns, cells, events, created, deleted)


@st.composite
def view_cases(draw: st.DrawFn, holes: bool = False, timeless: bool | None = False) -> ViewCase:
    """A view and its rules."""
    table = draw(view_tables(holes=holes, timeless=timeless))
    if table.events is None:
        return ViewCase(table, rows_per_file=draw(st.integers(1, 4)))
    return ViewCase(
        table,
        delay_us=draw(_DURATIONS),
        ttl_us=draw(st.one_of(st.none(), _DURATIONS)),
        visibility="event" if table.created is None else draw(st.sampled_from(["event", "created"])),
        rows_per_file=draw(st.integers(1, 4)),
        sure_of_ties=draw(st.booleans()),
    )


@st.composite
def retrieval_cases(draw: st.DrawFn, holes: bool = False, most_views: int = 2) -> RetrievalCase:
    """One view or more, and a spine of up to ten rows whose keys are known, unknown or null."""
    views = tuple(draw(st.lists(view_cases(holes=holes, timeless=None), min_size=1, max_size=most_views)))
    edges = sorted({edge for view in views for edge in edge_instants(view)} | {0})
    size = draw(st.integers(0, 10))
    at = draw(_lists(st.one_of(st.sampled_from(edges), st.none() if holes else st.nothing()), size))
    columns = {"row": pa.array(range(size), pa.int32()), "t": instants(at)}
    for place, view in enumerate(views):
        for key in view.table.keys:
            known = st.sampled_from([*_python(view.table.cells[key.name], key.dtype), None])
            column = draw(_lists(st.one_of(known, known, values(key.dtype)), size))
            columns[f"v{place}_{key.name}"] = array(column, key.dtype)
    return RetrievalCase(pa.table(columns), views)


def edge_instants(view: ViewCase) -> list[int]:
    """The instants at which an answer of the view may change, and those next to them."""
    found = set()
    times = [t for t in (*(view.table.events or ()), *(view.table.created or ())) if t is not None]
    for time in times:
        for offset in (0, view.delay_us, view.ttl_us or 0):
            found |= {time + offset - 1, time + offset, time + offset + 1}
    return sorted(found)


def source_columns_of_any_type() -> st.SearchStrategy[tuple[pa.Array, DType]]:
    """A source column, and a type it is declared to have: often another one."""
    scalars = st.one_of(
        st.sampled_from([Int64, UInt64, Float64, String, Timestamp]),
        st.sampled_from([dtype for dtype, _ in EXTREMES]),
    )
    return scalars.flatmap(lambda found: st.tuples(_column_of(found), st.one_of(scalars, dtypes())))


def _column_of(dtype: DType) -> st.SearchStrategy[pa.Array]:
    near_limits = [2**power + offset for power in (7, 8, 15, 16, 24, 31, 32, 53, 63) for offset in (-1, 0, 1)]
    usual = st.one_of(st.sampled_from([0, 1, *near_limits]), st.sampled_from([0, 1, -1]))
    item = values(dtype)
    if dtype.name in ("Int64", "UInt64", "Float64"):
        limit = 2**63 if dtype.name == "Int64" else 2**64
        number = usual.filter(lambda value: value < limit and (value >= 0 or dtype.name != "UInt64"))
        item = st.one_of(item, number.map(float) if dtype.name == "Float64" else number)
    return st.lists(st.one_of(st.none(), item), min_size=1, max_size=3).map(lambda cells: array(cells, dtype))


def _lists(item: st.SearchStrategy[T], size: int) -> st.SearchStrategy[list[T]]:
    return st.lists(item, min_size=size, max_size=size)


def _python(column: pa.Array, dtype: DType) -> list[object]:
    found: list[object] = (column.cast(pa.int64()) if dtype == Timestamp else column).to_pylist()
    return found
