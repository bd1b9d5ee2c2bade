"""The wire format of Feast's feature server: its Python client with a `remote` online store reads from us unchanged.

    {"metadata": {"feature_names": [...]},
     "results": [{"values": [...], "statuses": [...], "event_timestamps": [...]}, ...]}

Join keys come first, as in Feast's own answers; what has no event time has 1970-01-01T00:00:00Z, as there. Values have
the form that Feast's client reads: integers are numbers of any size, instants and dates whole seconds since
1970; NaN and infinities, bytes and decimals have the text forms of `/v1/features`, for JSON has no other. A feature's
view and name are ours; what Feast calls a feature service is a service of that name.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, date, datetime, time

import msgspec

from featurestore.dtypes import INTEGER_TYPES, DType, Value, python_micros, to_json
from featurestore.errors import UnknownNameError
from featurestore.online.lookup import Lookup
from featurestore.online.result import OnlineFeatures
from featurestore.timeline import to_datetime
from serving.answering import Answering
from serving.asking import Asking, rows_of
from serving.bodies import parsed
from serving.columns import Column, encode
from serving.errors import bad_request
from serving.exchange import Answer, JsonValue, Request
from serving.writing import Written, written_statuses

_NO_TIME = "1970-01-01T00:00:00Z"
_SECONDS = frozenset({"Timestamp", "Date"})


class Question(msgspec.Struct):
    """The body of Feast's request; what it does not name is passed over, as Feast's server does."""

    entities: dict[str, list[JsonValue]]
    feature_service: str | None = None
    features: list[str] = []
    full_feature_names: bool = False


_decode = msgspec.json.Decoder(Question).decode


class FeastFeatures:
    """Answers `POST /get-online-features`."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """The handler."""
        question = parsed(_decode, request.body, "no request of Feast's wire format")
        if question.feature_service is None and not question.features:
            raise bad_request("Name a 'feature_service' or a list of 'features'.")
        asked = question.feature_service if question.feature_service is not None else tuple(question.features)
        rows = rows_of(question.entities)
        return self._asking.ask(request, asked, rows, lambda answering: _answered(answering, question))


def _answered(answering: Answering, question: Question) -> Answer:
    plan = answering.lookup.plan
    keys = {name for name, _ in answering.lookup.shape.keys}
    columns = {name for name, _ in plan.request}
    for name in question.entities:
        if name not in keys and name not in columns:
            raise UnknownNameError("join key", name, keys | columns, f"'{plan.features}'")
    entities = {name: values for name, values in question.entities.items() if name in keys}
    request = {name: values for name, values in question.entities.items() if name in columns}
    answer, _ = answering.answer(entities, request or None, None)
    body, nulls = written(answering.lookup, answer, full_names=question.full_feature_names)
    answering.count(answer, nulls)
    return Answer(body)


def written(lookup: Lookup, answer: OnlineFeatures, *, full_names: bool) -> Written:
    """An answer in Feast's form."""
    shape = answer.shape
    keys = len(shape.keys)
    names = [name for name, _ in shape.keys] + (_full_names(lookup) if full_names else [n for n, _ in shape.features])
    types = (dtype for _, dtype in (*shape.keys, *shape.features))
    columns = [_column(dtype, column) for dtype, column in zip(types, answer.columns, strict=True)]
    nullable = [True] * len(shape.features)
    no_times = encode([_NO_TIME] * len(answer))
    times = [encode([_NO_TIME if t is None else to_datetime(t) for t in times]) for _, times in answer.origins]
    times_of = [no_times] * keys + [no_times if view is None else times[view] for view in shape.views]
    present = encode(["PRESENT"] * len(answer))
    found, nulls = written_statuses(answer, answer.columns[keys:], nullable)
    statuses = [present] * keys + found
    results = [
        b'{"values":%s,"statuses":%s,"event_timestamps":%s}' % (values, states, at)
        for values, states, at in zip(columns, statuses, times_of, strict=True)
    ]
    return b'{"metadata":{"feature_names":%s},"results":[%s]}' % (encode(names), b",".join(results)), nulls


def _full_names(lookup: Lookup) -> list[str]:
    """The features' names with their views', as Feast writes them: `view__feature`."""
    plan, shape = lookup.plan, lookup.shape
    computed = {name: step.view for step in plan.on_demand for _, name, _ in step.outputs}
    views = [computed[name] if view is None else plan.views[view].view
             for (name, _), view in zip(shape.features, shape.views, strict=True)]  # fmt: skip
    return [f"{view}__{name}" for view, (name, _) in zip(views, shape.features, strict=True)]


def _column(dtype: DType, values: Column) -> bytes:
    if dtype.name in INTEGER_TYPES:
        return encode(values)
    return encode([_value(dtype, value) for value in values])


def _value(dtype: DType, value: Value) -> object:
    inner = getattr(dtype, "inner", dtype)
    if value is None or inner.name in INTEGER_TYPES:
        return value
    if isinstance(value, list):
        return [_value(inner, item) for item in value]
    return _seconds(value) if dtype.name in _SECONDS else to_json(value)


def _seconds(value: Value) -> int:
    """Whole seconds since 1970; a date's are those of its midnight in UTC."""
    if not isinstance(value, datetime):
        assert isinstance(value, date)
        value = datetime.combine(value, time(), UTC)
    return python_micros(value) // 1_000_000
