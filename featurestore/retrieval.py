"""Training sets: a point-in-time plan and a spine, computed when a person asks for the rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore import on_demand
from featurestore.answer import Answer
from featurestore.arrow import arrow_type, instants, integer
from featurestore.dataset import Dataset
from featurestore.definitions.splits import Split
from featurestore.engines.base import STATUS_SUFFIX, OfflineEngine, Spine
from featurestore.errors import InputError
from featurestore.pinning import Pins
from featurestore.plan.explain import explain_historical
from featurestore.plan.historical import HistoricalPlan
from featurestore.splitting import split_frame
from featurestore.timeline import Status

_STATUS_NAMES = [status.name for status in Status]
Save = Callable[["TrainingSet", str, Split | None], Dataset]


class OutOfRangeWarning(UserWarning):
    """Spine rows lie where a view's source was never committed, so stored and source answers may differ there."""


@dataclass(slots=True)
class Outside:
    """Spine rows outside what a view has committed: before its start, and at or beyond its watermark."""

    before_start: int = 0
    beyond_watermark: int = 0


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How a training set is computed; the plan reads what `pins` has."""

    plan: HistoricalPlan
    spine: Spine
    engine: OfflineEngine
    pins: Pins
    statuses: bool
    from_source: bool


@contextmanager
def answered(retrieval: Retrieval) -> Iterator[pa.RecordBatchReader]:
    """The spine's columns and the features beside them, in batches; valid inside the `with` block."""
    with retrieval.engine.historical(retrieval.plan, retrieval.spine) as computed:
        layout = _Layout.of(retrieval, computed.schema)
        yield pa.RecordBatchReader.from_batches(layout.schema, (layout.finish(batch) for batch in computed))


@dataclass(slots=True)
class TrainingSet(Answer):
    """The spine's rows and columns, in its order and untouched, with the features beside them."""

    retrieval: Retrieval
    _save: Save
    outside: dict[str, Outside] = field(default_factory=dict)

    def split(self, split: Split) -> dict[str, pl.DataFrame]:
        """All rows as `train`, `validation` and `test`, each in order; InputError for a split that does not fit."""
        return split_frame(self.to_polars(), split, self.retrieval.plan.keys, self.retrieval.plan.timestamp)

    def save(self, name: str, split: Split | None = None) -> Dataset:
        """Save the rows as the next version of a dataset, with what they were made from and how they are split."""
        return self._save(self, name, split)

    def explain(self) -> str:
        """The plan as text; after the rows were computed also how many lie outside what is committed."""
        lines = [explain_historical(self.retrieval.plan)]
        for view, outside in self.outside.items():
            if outside.before_start or outside.beyond_watermark:
                lines.append(
                    f"{view}: {outside.before_start} spine rows before the committed start, {outside.beyond_watermark} "
                    "at or beyond the watermark"
                )
        return "\n".join(lines)

    @contextmanager
    def batches(self) -> Iterator[pa.RecordBatchReader]:
        """The rows as a stream of Arrow batches, valid inside the `with` block."""
        retrieval = self.retrieval
        with answered(retrieval) as reader:
            outside = {view: Outside() for view in retrieval.pins.committed}
            batches = (_counted(batch, retrieval, outside) for batch in reader)
            yield pa.RecordBatchReader.from_batches(reader.schema, batches)
            self.outside = outside
        if retrieval.from_source:
            _warn(outside)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns of a finished batch come from."""

    retrieval: Retrieval
    spine: tuple[str, ...]
    labels: Mapping[str, str]  # feature -> the join that computes it
    schema: pa.Schema

    @staticmethod
    def of(retrieval: Retrieval, computed: pa.Schema) -> _Layout:
        plan = retrieval.plan
        labels = {name: join.label for join in plan.joins for name in join.names}
        added = {*labels, *(f"{join.label}{STATUS_SUFFIX}" for join in plan.joins)}
        spine = tuple(name for name in computed.names if name not in added)
        statuses = {f"{name}{STATUS_SUFFIX}" for name, _ in plan.outputs} if retrieval.statuses else set()
        if stated := sorted(set(spine) & statuses):
            raise InputError(
                f"The spine has a column '{stated[0]}', which is the status of a feature; drop or rename it."
            )
        taken = sorted(set(spine) & {name for name, _ in plan.outputs})
        if taken:
            raise InputError(f"The spine has a column '{taken[0]}', which is a feature; drop or rename it.")
        missing = [name for name, _ in plan.request if name not in spine]
        if missing:
            raise InputError(
                f"The spine lacks column '{missing[0]}', which request-time features read. Its columns: "
                f"{', '.join(spine)}."
            )
        fields = [computed.field(name).remove_metadata() for name in spine]
        for name, dtype in plan.outputs:
            fields.append(pa.field(name, arrow_type(dtype)))
            if retrieval.statuses:
                fields.append(pa.field(f"{name}{STATUS_SUFFIX}", pa.string()))
        return _Layout(retrieval, spine, labels, pa.schema(fields))

    def finish(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The spine's columns, then the asked features, each with its status when asked for."""
        computed = self._on_demand(batch)
        columns = [batch.column(name) for name in self.spine]
        for name, dtype in self.retrieval.plan.outputs:
            values = computed.get(name)
            if values is None:
                values = batch.column(name)
            columns.append(values.cast(arrow_type(dtype)))
            if self.retrieval.statuses:
                columns.append(self._status(batch, name, values))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _on_demand(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        steps = self.retrieval.plan.on_demand
        if not steps:
            return {}
        needed = {column for step in steps for _, column, _ in step.inputs}
        frame = on_demand.evaluate(steps, pl.DataFrame(batch.select(sorted(needed))))
        names = [name for step in steps for _, name, _ in step.outputs]
        table = frame.select(names).to_arrow()
        return {name: table.column(name).combine_chunks() for name in names}

    def _status(self, batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.Array:
        null = pa.scalar(int(Status.NULL_VALUE), pa.int8())
        if name in self.labels:
            codes = batch.column(f"{self.labels[name]}{STATUS_SUFFIX}")
            present = pc.equal(codes, int(Status.PRESENT))
        else:
            codes = pa.array([int(Status.PRESENT)] * batch.num_rows, pa.int8())
            present = True
        return pa.array(_STATUS_NAMES).take(pc.if_else(pc.and_(present, values.is_null()), null, codes))


def _counted(batch: pa.RecordBatch, retrieval: Retrieval, outside: dict[str, Outside]) -> pa.RecordBatch:
    timestamp = retrieval.plan.timestamp
    times = instants(pa.chunked_array([batch.column(timestamp)]), timestamp, "Spine")
    for view, committed in retrieval.pins.committed.items():
        if committed.start_us is not None:
            outside[view].before_start += pc.sum(pc.less(times, integer(committed.start_us))).as_py() or 0
        outside[view].beyond_watermark += pc.sum(pc.greater_equal(times, integer(committed.watermark_us))).as_py() or 0
    return batch


def _warn(outside: Mapping[str, Outside]) -> None:
    for view, counts in outside.items():
        if counts.before_start or counts.beyond_watermark:
            warnings.warn(
                f"View '{view}': {counts.before_start} spine rows lie before the committed start and "
                f"{counts.beyond_watermark} at or beyond the watermark; there, answers from the source may differ from "
                "those of the store.",
                OutOfRangeWarning,
                stacklevel=4,
            )
