"""What a windowed view keeps of its events: the columns its aggregations use, typed by asking the source."""

from __future__ import annotations

import hashlib

import msgspec

from featurestore.definitions.functions import faults, result_type
from featurestore.dtypes import DType
from featurestore.engines.base import OfflineEngine
from featurestore.errors import DefinitionError, Fault
from featurestore.plan.catalog import AggregationRecord, FeatureRecord, ViewRecord
from featurestore.plan.views import EVENT_ID, scan_of

_ROWS = "*"


def with_event_columns(view: ViewRecord, engine: OfflineEngine, root: str) -> ViewRecord:
    """The windowed view with its event columns, and the types of its aggregations; other views as they are.

    Raises DefinitionError with every expression that does not fit the source and every function on a wrong type, and
    SourceError when the source cannot be read.
    """
    if not view.aggregations:
        return view
    texts = list(dict.fromkeys(text for a in view.aggregations for text in _texts(a)))
    if view.source.event_id is not None:
        texts.append(_quoted(view.source.event_id))
    found = dict(zip(texts, engine.expression_types(scan_of(view.source, root), tuple(texts)), strict=True))
    wrong = [
        f"`{text}` does not fit the source: {message}" for text, message in found.items() if isinstance(message, str)
    ]
    types = {text: column.dtype for text, column in found.items() if not isinstance(column, str)}
    for aggregation in view.aggregations:
        wrong += _type_faults(aggregation, types)
    if wrong:
        raise DefinitionError(Fault(f"FeatureView '{view.name}', {message}") for message in wrong)
    names = {text: _stored_name(text, view) for text in types}
    columns = [
        FeatureRecord(name=names[t], dtype=str(d), column=t, expression=t, stored=names[t]) for t, d in types.items()
    ]
    return msgspec.structs.replace(
        view,
        aggregations=tuple(_typed(aggregation, types, names) for aggregation in view.aggregations),
        events=tuple(sorted(columns, key=lambda column: column.stored)),
    )


def _texts(aggregation: AggregationRecord) -> list[str]:
    """The SQL expressions that an aggregation reads."""
    of = aggregation.params.get("of")
    return [
        text
        for text in (None if aggregation.column == _ROWS else aggregation.column, aggregation.where, of)
        if isinstance(text, str)
    ]


def _type_faults(aggregation: AggregationRecord, types: dict[str, DType]) -> list[str]:
    name, column = aggregation.name, aggregation.column
    found = [
        f"aggregation '{name}': condition `{text}` is {types[text]}, and must be true or false."
        for text in (aggregation.where, aggregation.params.get("of"))
        if isinstance(text, str) and text in types and types[text].name != "Bool"
    ]
    if column == _ROWS or column in types:
        dtype = types.get(column)
        lifetime = aggregation.window_us is None
        said = faults(aggregation.function, dtype, aggregation.params, lifetime=lifetime)
        found += [f"aggregation '{name}': {fault}" for fault in said]
    return found


def _typed(aggregation: AggregationRecord, types: dict[str, DType], names: dict[str, str]) -> AggregationRecord:
    of = aggregation.params.get("of")
    return msgspec.structs.replace(
        aggregation,
        dtype=str(result_type(aggregation.function, types.get(aggregation.column), aggregation.params)),
        value=names.get(aggregation.column, ""),
        mask=names[aggregation.where] if aggregation.where is not None else "",
        under=names[of] if isinstance(of, str) else "",
    )


def _stored_name(text: str, view: ViewRecord) -> str:
    """A plain column keeps its name; an expression, or a name that is taken, is stored under its digest."""
    if view.source.event_id is not None and text == _quoted(view.source.event_id):
        return EVENT_ID
    taken = {key for key, _ in view.keys}
    if text.isidentifier() and "__" not in text and text not in taken:
        return text
    return f"e_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
