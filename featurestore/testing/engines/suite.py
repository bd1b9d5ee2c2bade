"""What the parts of the suite share: the two fixtures, and how a test asks an engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.dtypes import String
from featurestore.engines.base import STATUS_SUFFIX, FrameSpine, OfflineEngine, Spine
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin, Projection
from featurestore.plan.nodes import Rows
from featurestore.plan.windows import WindowAggregate, WindowJoin
from featurestore.testing.engines.tables import Layout, array, instants, python_list, source_rows, stored_rows
from featurestore.timeline import Status

PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = Status.PRESENT, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE
ABSENT = (None, NOT_FOUND)
TOO_OLD = (None, OUTSIDE_MAX_AGE)

Answer = tuple[object, Status]


class EngineSuite:
    """Fixtures: `engine`, which a subclass overrides, and `layout`, which runs a test from source and from store."""

    @pytest.fixture
    def engine(self) -> OfflineEngine:
        """The engine under test."""
        raise NotImplementedError(f"{type(self).__name__} must have a fixture 'engine'.")

    @pytest.fixture(params=["source", "stored"])
    def layout(self, request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
        """What makes a view's literal table the rows of a plan, in either form."""
        if request.param == "source":
            return source_rows
        return lambda view: stored_rows(view, tmp_path / "stored")


def read(result: AbstractContextManager[pa.RecordBatchReader]) -> pa.Table:
    """All that an engine answers."""
    with result as reader:
        return reader.read_all()


def join_of(rows: Rows, label: str = "view", prefix: str = "") -> PointInTimeJoin:
    """A join of all columns of a view, keys looked up by columns of the same names."""
    columns = tuple(Projection(column.name, prefix + column.name, column.dtype) for column in rows.columns)
    return PointInTimeJoin(label, rows, tuple((key.name, key.name) for key in rows.keys), columns)


def plan_of(*joins: PointInTimeJoin | WindowJoin, timestamp: str = "t") -> HistoricalPlan:
    """A retrieval of all that the joins give."""
    outputs = tuple((column.name, column.dtype) for join in joins for column in _columns(join))
    return HistoricalPlan("suite", timestamp, joins, on_demand=(), request=(), outputs=outputs)


def _columns(join: PointInTimeJoin | WindowJoin) -> tuple[Projection | WindowAggregate, ...]:
    return join.columns if isinstance(join, PointInTimeJoin) else join.steps.aggregates


def history(engine: OfflineEngine, spine: pa.Table | Spine, *joins: PointInTimeJoin | WindowJoin) -> pa.Table:
    """The engine's answer to a retrieval whose spine has its instants in column `t`."""
    asked = FrameSpine(spine) if isinstance(spine, pa.Table) else spine
    return read(engine.historical(plan_of(*joins), asked))


def spine_of(rows: Sequence[tuple[str | None, int | None]]) -> pa.Table:
    """A spine with key `k` and instant `t`; a row is (key, instant)."""
    return pa.table({"k": array([key for key, _ in rows], String), "t": instants(t for _, t in rows)})


def answers(table: pa.Table, column: str = "x", label: str = "view") -> list[Answer]:
    """Value and status of one column, row by row."""
    statuses = table.column(label + STATUS_SUFFIX)
    assert statuses.type == pa.int8()
    return list(zip(python_list(table.column(column)), map(Status, statuses.to_pylist()), strict=True))


def ask(
    engine: OfflineEngine, join: PointInTimeJoin | Rows, spine: Sequence[tuple[str | None, int | None]], **rules: object
) -> list[Answer]:
    """Value of `x` and status at each (key, instant); `rules` are fields of the join, such as `ttl_us`."""
    asked = join if isinstance(join, PointInTimeJoin) else join_of(join)
    return answers(history(engine, spine_of(spine), replace(asked, **rules)))  # type: ignore[arg-type]  # its fields
