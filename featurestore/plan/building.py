"""From a selection and the catalog to the plans of a retrieval and of a lookup.

Both are made from one `Layout`, so that training and serving read the same columns under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from featurestore.dtypes import DType, parse
from featurestore.errors import InputError
from featurestore.plan import on_demand
from featurestore.plan.catalog import (
    Catalog,
    ExpressionText,
    OnDemandMember,
    OnDemandRecord,
    Projected,
    Requested,
    ViewRecord,
)
from featurestore.plan.historical import HistoricalPlan, PointInTimeJoin, Projection
from featurestore.plan.lookup import LookupColumn, LookupPlan, ViewLookup
from featurestore.plan.nodes import Rows
from featurestore.plan.ranges import RangePlan
from featurestore.plan.selection import Selection
from featurestore.plan.views import namespace, published_columns, window_steps
from featurestore.plan.windows import WindowJoin

Keys = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ViewInput:
    """A view's rows, and up to where they are committed without a gap (None: nothing bounds them)."""

    rows: Rows
    watermark_us: int | None


@dataclass(slots=True)
class _Reading:
    """One version of a view, looked up by one set of key columns: feature and result name of every column read."""

    reference: str
    view: ViewRecord
    keys: Keys
    columns: list[tuple[str, str]] = field(default_factory=list)

    @property
    def label(self) -> str:
        aliased = [f"{key}={column}" for key, column in self.keys if key != column]
        return f"{self.reference}({', '.join(aliased)})" if aliased else self.reference


@dataclass(slots=True)
class _Layout:
    readings: dict[tuple[str, Keys], _Reading] = field(default_factory=dict)
    steps: list[on_demand.OnDemandStep] = field(default_factory=list)
    request: dict[str, DType] = field(default_factory=dict)
    outputs: dict[str, DType] = field(default_factory=dict)


def build_historical_plan(
    selection: Selection, catalog: Catalog, inputs: Mapping[str, ViewInput], timestamp: str
) -> HistoricalPlan:
    """The point-in-time retrieval of a selection; `inputs` gives each view's rows, stored or from source.

    They are found by the references of `view_members`.
    """
    layout = _lay_out(selection, catalog)
    joins = tuple(_join(reading, inputs[reading.reference]) for reading in layout.readings.values())
    return HistoricalPlan(
        features=selection.label,
        timestamp=timestamp,
        joins=joins,
        on_demand=tuple(layout.steps),
        request=tuple(layout.request.items()),
        outputs=tuple(layout.outputs.items()),
    )


def _join(reading: _Reading, given: ViewInput) -> PointInTimeJoin | WindowJoin:
    view = reading.view
    if view.aggregations:
        steps = window_steps(view, given.rows, given.watermark_us, reading.columns)
        return WindowJoin(reading.label, steps, reading.keys, view.ttl_us)
    return PointInTimeJoin(
        label=reading.label,
        rows=given.rows,
        keys=reading.keys,
        columns=tuple(_projection(view, feature, name) for feature, name in reading.columns),
        delay_us=view.delay_us,
        ttl_us=view.ttl_us,
        visibility=view.source.visibility,
        timeless=view.source.timeless,
    )


def build_range_plan(view: ViewRecord, given: ViewInput, start_us: int, end_us: int) -> RangePlan:
    """The steps of all features of a view in [start_us, end_us)."""
    names = [(feature.name, feature.name) for feature in view.outputs]
    reading = _Reading(view.name, view, tuple((key, key) for key, _ in view.keys), names)
    return RangePlan(_join(reading, given), start_us, end_us)


def build_lookup_plan(selection: Selection, catalog: Catalog, project: str) -> LookupPlan:
    """The online lookup of a selection."""
    layout = _lay_out(selection, catalog)
    views = []
    for reading in layout.readings.values():
        view = reading.view
        position = {feature.name: index for index, feature in enumerate(published_columns(view))}
        types = dict(view.keys)
        views.append(
            ViewLookup(
                label=reading.label,
                namespace=namespace(project, view),
                keys=tuple((column, parse(types[key])) for key, column in reading.keys),
                columns=tuple(
                    LookupColumn(position[feature], name, parse(view.output(feature).dtype))
                    for feature, name in reading.columns
                ),
                delay_us=view.delay_us,
                ttl_us=view.ttl_us,
                visibility=view.source.visibility,
                timeless=view.source.timeless,
                windowed=bool(view.aggregations),
                every_us=view.every_us,
                view=view.name,
                version=catalog.version(reading.reference),
            )
        )
    return LookupPlan(
        features=selection.label,
        views=tuple(views),
        on_demand=tuple(layout.steps),
        request=tuple(layout.request.items()),
        outputs=tuple(layout.outputs.items()),
    )


def on_demand_step(record: OnDemandRecord, catalog: Catalog) -> on_demand.OnDemandStep:
    """The step of an on-demand view by itself, on a frame whose columns have the inputs' plain names."""
    inputs: list[tuple[str, str, DType]] = []
    for part in record.inputs:
        match part:
            case Requested(columns=columns):
                inputs += [(name, name, parse(text)) for name, text in columns]
            case Projected(features=features):
                view = catalog.view(part.reference)
                inputs += [(feature, feature, parse(view.output(feature).dtype)) for feature in features]
    outputs = tuple((name, name, parse(text)) for name, text in record.features)
    return on_demand.OnDemandStep(record.name, tuple(inputs), outputs, _computation(record))


def _lay_out(selection: Selection, catalog: Catalog) -> _Layout:
    layout = _Layout()
    for member in selection.members:
        if isinstance(member, Projected):
            _add_projection(layout, member, catalog.view(member.reference))
    for member in selection.members:
        match member:
            case Projected():
                view = catalog.view(member.reference)
                for feature in member.features:
                    _add_output(layout, member.output_name(feature), parse(view.output(feature).dtype))
            case OnDemandMember():
                _add_on_demand(layout, member, catalog)
    return layout


def _add_output(layout: _Layout, name: str, dtype: DType) -> None:
    if name in layout.outputs:
        raise InputError(
            f"Two features would be named '{name}'; ask for one of them, or declare a service with prefixes."
        )
    layout.outputs[name] = dtype


def _reading(layout: _Layout, part: Projected, view: ViewRecord) -> _Reading:
    found = _Reading(part.reference, view, part.keys)
    return layout.readings.setdefault((part.reference, part.keys), found)


def _add_projection(layout: _Layout, part: Projected, view: ViewRecord) -> None:
    reading = _reading(layout, part, view)
    reading.columns.extend((feature, part.output_name(feature)) for feature in part.features)


def _add_on_demand(layout: _Layout, member: OnDemandMember, catalog: Catalog) -> None:
    record = catalog.on_demand[member.view]
    inputs: list[tuple[str, str, DType]] = []
    for part in record.inputs:
        match part:
            case Requested(columns=columns):
                for name, text in columns:
                    inputs.append((name, name, parse(text)))
                    layout.request[name] = parse(text)
            case Projected():
                inputs.extend(_hidden_inputs(layout, part, catalog.view(part.reference)))
    wanted = set(member.features or [name for name, _ in record.features])
    outputs = tuple((name, name, parse(text)) for name, text in record.features if name in wanted)
    for _, name, dtype in outputs:
        _add_output(layout, name, dtype)
    layout.steps.append(on_demand.OnDemandStep(record.name, tuple(inputs), outputs, _computation(record)))


def _hidden_inputs(layout: _Layout, part: Projected, view: ViewRecord) -> list[tuple[str, str, DType]]:
    """On-demand inputs from a view: columns that are read anyway are used, others are read under a hidden name."""
    reading = _reading(layout, part, view)
    known = dict(reversed(reading.columns))
    inputs = []
    for feature in part.features:
        if feature not in known:
            known[feature] = f"__{reading.label}__{feature}"
            reading.columns.append((feature, known[feature]))
        inputs.append((feature, known[feature], parse(view.output(feature).dtype)))
    return inputs


def _computation(record: OnDemandRecord) -> on_demand.Expressions | on_demand.Function:
    match record.computation:
        case ExpressionText(features=features):
            return on_demand.Expressions(features)
        case reference:
            return on_demand.Function(reference.module, reference.name, reference.digest)


def _projection(view: ViewRecord, feature: str, name: str) -> Projection:
    stored = next(f for f in view.features if f.name == feature)
    return Projection(stored.stored, name, parse(stored.dtype))
