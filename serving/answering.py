"""One compiled lookup with what HTTP adds to it: JSON values in, and an answer written column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from featurestore.dtypes import DType, Json, Value
from featurestore.errors import InputError, UnknownNameError
from featurestore.online.lookup import Lookup
from featurestore.online.result import OnlineFeatures, Origin
from featurestore.online.values import Publication
from featurestore.plan.catalog import Catalog
from featurestore.plan.lookup import ViewLookup
from featurestore.plan.on_demand import Function
from featurestore.store import FeatureStore
from featurestore.timeline import Status, format_instant, to_datetime
from serving.columns import column_decoder, column_encoder, encode

Given: TypeAlias = Sequence[Mapping[str, Json]] | Mapping[str, Sequence[Json]]  # rows, or columns
Rows: TypeAlias = list[dict[str, Value]]

_PRESENT = Status.PRESENT
_NAMES = [status.name for status in Status]


class Answering:
    """Answers requests for a service or a list of features, and writes the answers; safe for threads.

    `waits` tells that answering may take long: a store elsewhere, or a Python function at request time.
    """

    def __init__(self, lookup: Lookup, service: str | None, *, remote: bool) -> None:
        plan = lookup.plan
        self.lookup = lookup
        self.label = plan.features
        self.service = service or ""
        self.width = len(plan.outputs)
        self.waits = remote or any(isinstance(step.computation, Function) for step in plan.on_demand)
        self._keys = _Reader("join key", lookup.shape.keys, plan.features)
        self._request = _Reader("request column", plan.request, plan.features)
        self._writer = AnswerWriter(lookup, service)

    @staticmethod
    def compiled(store: FeatureStore, asked: str | tuple[str, ...], catalog: Catalog) -> Answering:
        """The features that were asked for, as a catalog has them."""
        lookup = store.compile_lookup(asked, catalog)
        remote = store.configuration.online.url.partition("://")[0] not in ("lmdb", "memory")
        return Answering(lookup, asked if isinstance(asked, str) else None, remote=remote)

    def answer(self, entities: Given, request: Given | None, at_us: int | None) -> OnlineFeatures:
        """The features of each entity; values are in JSON form. Raises what `Lookup.answer` raises, and InputError."""
        rows = self._keys.rows(entities)
        return self.lookup.answer(rows, None if request is None else self._request.rows(request), at_us)

    def json(self, answer: OnlineFeatures) -> bytes:
        """The answer as the JSON document of `POST /v1/features`."""
        return self._writer.write(answer)


class _Reader:
    """Turns rows or columns of JSON values into rows of typed values; refuses columns it does not know."""

    def __init__(self, what: str, columns: Sequence[tuple[str, DType]], features: str) -> None:
        self._what = what
        self._features = features
        self._decoders = {name: column_decoder(dtype) for name, dtype in columns}
        self._names = list(self._decoders)
        self._plain = frozenset(self._decoders)

    def rows(self, given: Given) -> Rows:
        if isinstance(given, Mapping):
            return self._transposed(given)
        plain = self._plain
        for i, row in enumerate(given):
            if row.keys() != plain:
                raise self._wrong(f"row {i}", row)
        columns = [decode([row[name] for row in given]) for name, decode in self._decoders.items()]
        if not columns:
            return [{} for _ in given]
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _transposed(self, given: Mapping[str, Sequence[Json]]) -> Rows:
        if given.keys() != self._plain:
            raise self._wrong("the columns given", given)
        columns = [decode(given[name]) for name, decode in self._decoders.items()]
        lengths = {name: len(values) for name, values in given.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"The columns of '{self._features}' have different lengths: {lengths}.")
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _wrong(self, where: str, found: Mapping[str, object]) -> InputError:
        for name in found:
            if name not in self._plain:
                raise UnknownNameError(self._what, name, self._names, f"'{self._features}'") from None
        lacking = ", ".join(name for name in self._names if name not in found)
        return InputError(f"'{self._features}' needs the {self._what} {lacking}; {where} lacks it.")


class AnswerWriter:
    """Writes answers of one lookup: everything that is the same in each is encoded once.

    {"at": ..., "service": ..., "entities": {key: [...]},
     "features": {name: {"view": ..., "values": [...], "statuses": [...]}},
     "views": {label: {"view", "version", "table_version", "watermark", "event_timestamps": [...], "ages_seconds"}}}
    """

    def __init__(self, lookup: Lookup, service: str | None) -> None:
        shape, views = lookup.shape, lookup.plan.views
        self._keys = [(_key(name), column_encoder(dtype)) for name, dtype in shape.keys]
        self._features = [
            (
                _key(name) + b'{"view":' + encode(None if view is None else views[view].label) + b',"values":',
                column_encoder(dtype),
                view,
            )
            for (name, dtype), view in zip(shape.features, shape.views, strict=True)
        ]
        self._views = [_ViewWriter(view) for view in views]
        self._service = b'","service":' + encode(service) + b',"entities":{'

    def write(self, answer: OnlineFeatures) -> bytes:
        """The answer as JSON."""
        columns = answer.columns
        found = [_found(origin) for origin in answer.origins]
        keys = [key + encoder(column)[0] for (key, encoder), column in zip(self._keys, columns, strict=False)]
        features = []
        for (start, encoder, view), values in zip(self._features, columns[len(keys) :], strict=True):
            encoded, nullable = encoder(values)
            if view is None:
                statuses = _computed(values) if nullable else _all_present(len(values))
            else:
                statuses, all_present = found[view]
                if nullable and (all_present or None in values):
                    statuses = _statuses(answer.origins[view][0], values)
            features.append(start + encoded + b',"statuses":' + statuses + b"}")
        views = [
            writer.write(publication, origin[1], answer.at_us)
            for writer, publication, origin in zip(self._views, answer.publications, answer.origins, strict=True)
        ]
        return b"".join(
            (
                b'{"at":"', format_instant(answer.at_us).encode(), self._service, b",".join(keys),
                b'},"features":{', b",".join(features), b'},"views":{', b",".join(views), b"}}",
            )
        )  # fmt: skip


class _ViewWriter:
    """Writes what an answer says of one view."""

    def __init__(self, view: ViewLookup) -> None:
        self._start = _key(view.label) + b'{"view":' + encode(view.view) + b',"version":%d,' % view.version
        self._timeless = view.timeless
        self._known: tuple[Publication, bytes] | None = None

    def write(self, publication: Publication, times: Sequence[int | None], at_us: int) -> bytes:
        known = self._known
        if known is None or known[0] is not publication:
            known = self._known = (publication, self._published(publication))
        if None in times:
            instants = encode([None if time is None else to_datetime(time) for time in times])
            ages = encode([None if time is None else (at_us - time) / 1e6 for time in times])
        else:
            instants = encode([to_datetime(time) for time in times])  # type: ignore[arg-type]  # no None, see above
            ages = encode([(at_us - time) / 1e6 for time in times])  # type: ignore[operator]  # as above
        return known[1] + instants + b',"ages_seconds":' + ages + b"}"

    def _published(self, publication: Publication) -> bytes:
        watermark = publication.watermark_us
        until = None if watermark is None else format_instant(watermark)
        said = b'"table_version":%d,"watermark":%s,"event_timestamps":' % (publication.version, encode(until))
        return self._start + said


def _key(name: str) -> bytes:
    return encode(name) + b":"


def _found(origin: Origin) -> tuple[bytes, bool]:
    """A view's statuses as JSON, and whether all are PRESENT."""
    statuses = origin[0]
    if statuses.count(_PRESENT) == len(statuses):
        return _all_present(len(statuses)), True
    return encode([_NAMES[status] for status in statuses]), False


@lru_cache(maxsize=4096)
def _all_present(rows: int) -> bytes:
    return encode([_PRESENT.name] * rows)


def _computed(values: Sequence[Value]) -> bytes:
    return encode(["NULL_VALUE" if value is None else "PRESENT" for value in values])


def _statuses(found: Sequence[Status], values: Sequence[Value]) -> bytes:
    return encode(
        [
            "NULL_VALUE" if value is None and status is _PRESENT else _NAMES[status]
            for value, status in zip(values, found, strict=True)
        ]
    )
