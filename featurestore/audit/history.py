"""What history answers for vectors that were served: value, status and event time of every feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.records import INSTANT, Definitions
from featurestore.dtypes import DType, Timestamp
from featurestore.engines.base import STATUS_SUFFIX, FrameSpine, OfflineEngine
from featurestore.offline.tables import Snapshot
from featurestore.pinning import Pins, ViewPin
from featurestore.plan.building import build_historical_plan
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin, Projection
from featurestore.plan.nodes import Column, StoredRows
from featurestore.plan.selection import select
from featurestore.plan.windows import WindowJoin
from featurestore.retrieval import Retrieval, answered
from featurestore.timeline import EVENT_TIMESTAMP, Status

_AT = "__asked_at"  # no declared name has two underscores
_TIME = "__time "


@dataclass(frozen=True, slots=True)
class Cells:
    """One feature of several vectors: values, names of statuses, event times."""

    dtype: DType
    values: pa.Array
    statuses: pa.Array
    times: pa.Array


def served_cells(vectors: pa.Table, plan: HistoricalPlan) -> dict[str, Cells]:
    """Each feature as it was served."""
    labels = _labels(plan)
    no_times = pa.nulls(vectors.num_rows, INSTANT)
    return {
        name: Cells(
            dtype=dtype,
            values=column(vectors, "features", name),
            statuses=column(vectors, "statuses", name),
            times=column(vectors, "event_timestamps", labels[name]) if name in labels else no_times,
        )
        for name, dtype in plan.outputs
    }


def plan_of(definitions: Definitions, snapshots: Mapping[str, Snapshot]) -> HistoricalPlan:
    """The retrieval of a service as it was defined then, over the given version of each view's table."""
    catalog = definitions.catalog
    pins = {name: ViewPin(catalog.view(name), catalog.version(name), found) for name, found in snapshots.items()}
    inputs = {name: pin.stored() for name, pin in pins.items()}
    return build_historical_plan(select(definitions.service, catalog), catalog, inputs, _AT)


def history_cells(
    vectors: pa.Table, definitions: Definitions, plan: HistoricalPlan, engine: OfflineEngine
) -> dict[str, Cells]:
    """Each feature as history has it at the instants of the vectors, for their keys and request values."""
    pins = Pins(select(definitions.service, definitions.catalog), definitions.catalog, 0, {})
    timed = _with_event_times(plan)
    retrieval = Retrieval(timed, FrameSpine(_spine(vectors)), engine, pins, statuses=True, from_source=False)
    with answered(retrieval) as reader:
        answers = reader.read_all()
    found = {name: answers.column(name).combine_chunks() for name in answers.column_names}
    labels = _labels(plan)
    joins = {join.label: join for join in plan.joins}
    cells = {}
    for name, dtype in plan.outputs:
        statuses = found[name + STATUS_SUFFIX]
        join = joins.get(labels.get(name, ""))
        times = found.get(f"{_TIME}{labels.get(name)}", pa.nulls(len(statuses), INSTANT))
        if isinstance(join, WindowJoin):
            times = _window_times(join, found[_AT], statuses)
        cells[name] = Cells(dtype, found[name], statuses, times)
    return cells


def column(vectors: pa.Table, group: str, name: str) -> pa.Array:
    """A member of a group of columns."""
    return pc.struct_field(vectors.column(group).combine_chunks(), name)


def _labels(plan: HistoricalPlan) -> dict[str, str]:
    """For each stored feature the join that answers it."""
    return {name: join.label for join in plan.joins for name in join.names}


def _spine(vectors: pa.Table) -> pa.Table:
    columns = {_AT: vectors.column("asked_at")}
    for group in ("keys", "request"):
        if group in vectors.column_names:
            for field in vectors.schema.field(group).type:
                columns[field.name] = column(vectors, group, field.name)
    return pa.table(columns)


def _with_event_times(plan: HistoricalPlan) -> HistoricalPlan:
    """The plan, which answers also with the event time of the row that each join found, within its TTL or not."""
    timed = [_event_time(join) for join in plan.joins if isinstance(join, PointInTimeJoin) and not join.timeless]
    outputs = [(name, Timestamp) for join in timed for name in join.names]
    return replace(plan, joins=(*plan.joins, *timed), outputs=(*plan.outputs, *outputs))


def _event_time(join: PointInTimeJoin) -> PointInTimeJoin:
    rows = join.rows
    assert isinstance(rows, StoredRows)
    name = f"{_TIME}{join.label}"
    return replace(
        join,
        label=name,
        rows=replace(rows, columns=(Column(EVENT_TIMESTAMP, Timestamp),)),
        columns=(Projection(EVENT_TIMESTAMP, name, Timestamp),),
        ttl_us=None,
    )


def _window_times(join: WindowJoin, at: pa.Array, statuses: pa.Array) -> pa.Array:
    """The steps that answer, where one does."""
    steps = pa.array([join.steps.step_at(instant) for instant in at.cast(pa.int64()).to_pylist()], pa.int64())
    found = pc.not_equal(statuses, Status.NOT_FOUND.name)
    return pc.if_else(found, steps, None).cast(INSTANT)
