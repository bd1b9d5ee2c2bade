"""The steps of a view in a range of time, computed when a person asks for them: history without a spine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from featurestore.answer import Answer
from featurestore.arrow import arrow_type, as_table
from featurestore.definitions import FeatureView
from featurestore.dtypes import parse
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError
from featurestore.pinning import Pins
from featurestore.plan.building import build_range_plan
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.explain import explain_range
from featurestore.plan.ranges import RangePlan
from featurestore.timeline import format_instant


@dataclass(frozen=True, slots=True)
class FeatureSteps(Answer):
    """The steps of a view that are in force somewhere in a range, ordered by key, then `valid_from`.

    Columns: the join keys, `event_timestamp`, the features, `valid_from` and `valid_to` (excluded; null: in force at
    the end of the range still).
    """

    plan: RangePlan
    entities: pa.Table | None
    engine: OfflineEngine

    @contextmanager
    def batches(self) -> Iterator[pa.RecordBatchReader]:
        """The rows as a stream of Arrow batches, valid inside the `with` block."""
        with self.engine.in_range(self.plan, self.entities) as reader:
            yield reader

    def explain(self) -> str:
        """The plan as text."""
        return explain_range(self.plan)


def all_features(view: str | FeatureView) -> str:
    """The reference to all features of a view; raises InputError for a reference to one of them."""
    name = view.name if isinstance(view, FeatureView) else view
    if ":" in name:
        raise InputError(f"'{name}' names a feature; give its view, '{name.partition(':')[0]}'.")
    return f"{name}:*"


def features_in_range(pins: Pins, start_us: int, end_us: int, entities: object, engine: OfflineEngine) -> FeatureSteps:
    """The steps of the view that the pins read; `entities` is a frame or list of dicts of join keys, or None: all.

    Raises InputError for a range that is empty and a view that is computed at request time, MaterializationError for
    one that was never materialized.
    """
    if start_us >= end_us:
        raise InputError(
            f"The range is empty: its start {format_instant(start_us)} is not before its end {format_instant(end_us)}."
        )
    if pins.selection.members[0].view in pins.catalog.on_demand:
        raise InputError(
            f"View '{pins.selection.members[0].view}' is computed at request time, so it has no steps; ask for the "
            "views that it reads."
        )
    [pin] = pins.views.values()
    plan = build_range_plan(pin.record, pin.stored(), start_us, end_us)
    return FeatureSteps(plan, None if entities is None else _keys(entities, pin.record), engine)


def _keys(entities: object, view: ViewRecord) -> pa.Table:
    table = as_table(entities, "The entities")
    if not table.num_rows and not table.column_names:
        return pa.table({key: pa.array([], arrow_type(parse(dtype))) for key, dtype in view.keys})
    for key, _ in view.keys:
        if key not in table.column_names:
            raise InputError(
                f"The entities lack '{key}', a join key of view '{view.name}'. Their columns: "
                f"{', '.join(table.column_names)}."
            )
    return table.select([key for key, _ in view.keys])
