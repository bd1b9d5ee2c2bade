"""The answer to a request, from a plan compiled once.

Per request there is one read of the store, of all records and of the namespaces' metadata; what can be known from the
plan (key encoders, projections, names, types) is worked out before. The rule of visibility is that of
`PointInTimeJoin`, applied to the steps of one record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from featurestore.arrow import polars_type
from featurestore.dtypes import DType, Value
from featurestore.errors import ConfigurationError, InputError, NotPublishedError, OnlineStoreError
from featurestore.online._request import request_column
from featurestore.online._view import CompiledView, Found
from featurestore.online.base import OnlineReads
from featurestore.online.keys import columns_encoder
from featurestore.online.result import AnswerShape, OnlineFeatures, Origin
from featurestore.online.values import Publication, unpack_records
from featurestore.plan.lookup import LookupPlan
from featurestore.plan.on_demand import OnDemandStep
from featurestore.timeline import Clock, format_instant, present_us

Rows = Sequence[Mapping[str, object]]
_Wanted = list[tuple[list[bytes | None], list[bytes]]]  # of each view: a key or None for each row, and those not None
KeyEncoder = Callable[[Sequence[Sequence[object]], int], list[bytes | None]]
Log = Callable[[OnlineFeatures, Rows | None], None]
Evaluate = Callable[[Sequence[OnDemandStep], pl.DataFrame], pl.DataFrame]

_ALWAYS_US = -(2**63)  # before every instant


class _Published(NamedTuple):
    """What the metadata of the plan's views says: a publication for each; all answer from `since_us` on."""

    metas: list[bytes | None]
    publications: list[Publication]
    since_us: int


class Lookup:
    """Answers requests for one plan from one store; safe for threads.

    `evaluate` computes request-time features (`featurestore.on_demand.evaluate`); a plan without any needs none.
    `now_us` is the clock. `log` is called with every answer and its request.
    """

    def __init__(
        self,
        plan: LookupPlan,
        store: OnlineReads,
        evaluate: Evaluate | None = None,
        now_us: Clock = present_us,
        log: Log | None = None,
    ) -> None:
        if plan.on_demand and evaluate is None:
            raise ConfigurationError(f"'{plan.features}' has request-time features; pass what evaluates them.")
        self.plan = plan
        self._store = store
        self._now_us = now_us
        self._log = log
        self._evaluate = evaluate if plan.on_demand else None
        self._views = [CompiledView(view) for view in plan.views]
        self._keys = tuple(dict.fromkeys(key for view in plan.views for key in view.keys))
        self._key_names = [name for name, _ in self._keys]
        self._namespaces = [view.namespace for view in plan.views]
        self._encoders, self._encoder_of = _key_encoders(plan, self._key_names)
        self._published: _Published | None = None
        self._fed = _fed(plan, self._keys) if plan.on_demand else []
        self.shape, self._order = _answer_shape(plan, self._keys)

    def answer(self, entities: Rows, request: Rows | None = None, at_us: int | None = None) -> OnlineFeatures:
        """The features of each entity row at the instant `at_us`, or now.

        An entity row maps join keys to values; a null key finds nothing. `request` has one row per entity row, with
        the columns that request-time features read; when nothing has a key, there are as many rows as it has. Raises
        InputError for wrong rows, NotPublishedError when a view was never published, or not yet at the instant.
        """
        try:
            columns = [[entity[name] for entity in entities] for name in self._key_names]
        except (KeyError, TypeError) as error:
            raise self._wrong_rows(entities) from error
        return self.answer_columns(columns, len(entities), request, at_us)  # type: ignore[arg-type]  # types are checked

    def answer_columns(
        self, keys: Sequence[list[Value]], rows: int, request: Rows | None = None, at_us: int | None = None
    ) -> OnlineFeatures:
        """The same for so many rows of join keys, given as columns in the order of `shape.keys`."""
        columns = [*keys]
        wanted = self._encoded(keys, rows)
        try:
            published, found = self._read(wanted)
            at_us = self._instant(at_us, published)
            origins = self._at(at_us, found, rows, published, columns)
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError, TypeError) as error:
            raise OnlineStoreError(
                f"A record of '{self.plan.features}' cannot be read ({error}); publish its views again."
            ) from error
        if self._evaluate is not None:
            columns += self._at_request_time(self._evaluate, columns, request, rows=rows)
        if self._order is not None:
            columns = [columns[i] for i in self._order]
        answer = OnlineFeatures(self.shape, columns, origins, published.publications, at_us)
        if self._log is not None:
            self._log(answer, request)
        return answer

    def _encoded(self, keys: Sequence[list[Value]], rows: int) -> _Wanted:
        """The keys of each view: as many as there are rows, and without those that are null."""
        different: _Wanted = []
        for encode, places in self._encoders:
            wanted = encode(keys if len(places) == len(keys) == 1 else [keys[i] for i in places], rows)
            some = _without_nulls(wanted) if None in wanted else wanted
            different.append((wanted, some))  # type: ignore[arg-type]  # no None is left
        return different * len(self._namespaces) if len(different) == 1 else [different[i] for i in self._encoder_of]

    def _read(self, keys: _Wanted) -> tuple[_Published, list[Found]]:
        """What is published, and what is found at the keys of each view in turn; in one round trip of the store."""
        wanted_of = zip(self._namespaces, keys, strict=True)
        answers = self._store.read([(namespace, some) for namespace, (_, some) in wanted_of])
        metas: list[bytes | None] = []
        records: list[bytes | None] = []
        for (wanted, some), (meta, found) in zip(keys, answers, strict=True):
            metas.append(meta)
            records += found if some is wanted else _at_null_keys(wanted, found)
        published = self._published
        if published is None or published.metas != metas:
            published = self._published = self._publications(metas)
        return published, unpack_records(records)

    def _publications(self, metas: list[bytes | None]) -> _Published:
        publications = [view.publication(meta) for view, meta in zip(self._views, metas, strict=True)]
        return _Published(metas, publications, max([one.published_us for one in publications], default=_ALWAYS_US))

    def _instant(self, at_us: int | None, published: _Published) -> int:
        """The instant to answer for: the one asked for, or the present, which is never before the last publish."""
        if at_us is None:
            return max(self._now_us(), published.since_us)
        if at_us < published.since_us:
            raise self._too_early(at_us, published.publications)
        return at_us

    def _at(
        self, at_us: int, found: list[Found], rows: int, published: _Published, columns: list[list[Value]]
    ) -> list[Origin]:
        """Append the views' columns at an instant; how and when each view answers each of its rows."""
        origins: list[Origin] = []
        first = 0
        for view, publication in zip(self._views, published.publications, strict=True):
            answered, origin = view.answer(found[first : first + rows], at_us, publication.watermark_us)
            columns += answered
            origins.append(origin)
            first += rows
        return origins

    def _at_request_time(
        self, evaluate: Evaluate, columns: list[list[Value]], request: Rows | None, *, rows: int
    ) -> list[list[Value]]:
        """The columns of the request-time features, from keys, view columns and request."""
        plan = self.plan
        given = request or ()
        rows = rows if self._keys else len(given)
        if plan.request and len(given) != rows:
            wanted = ", ".join(f"{name} ({dtype})" for name, dtype in plan.request)
            raise InputError(
                f"'{plan.features}' reads {wanted} from the request: give one row of it per entity row, "
                f"found {len(given)} for {rows}."
            )
        series = {name: pl.Series(name, columns[place], dtype) for place, name, dtype in self._fed}
        series |= {name: request_column(name, dtype, given) for name, dtype in plan.request}
        frame = pl.DataFrame(list(series.values()))
        computed = evaluate(plan.on_demand, frame)
        return [computed[name].to_list() for step in plan.on_demand for _, name, _ in step.outputs]

    def _wrong_rows(self, entities: Rows) -> InputError:
        needed = ", ".join(f"{name} ({dtype})" for name, dtype in self._keys)
        if not isinstance(entities, list | tuple):
            found = type(entities).__name__
            return InputError(
                f"'{self.plan.features}' needs the join keys {needed} in a list of dicts, found a {found}."
            )
        found = ""
        for i, entity in enumerate(entities):
            if not isinstance(entity, Mapping):
                found = f"row {i} is a {type(entity).__name__}, not a mapping"
                break
            missing = [name for name in self._key_names if name not in entity]
            if missing:
                found = f"row {i} lacks {', '.join(missing)} and has {', '.join(map(str, entity)) or 'nothing'}"
                break
        return InputError(f"'{self.plan.features}' needs the join keys {needed}; {found}.")

    def _too_early(self, at_us: int, publications: Sequence[Publication]) -> NotPublishedError:
        view, last = max(zip(self._views, publications, strict=True), key=lambda published: published[1].published_us)
        return NotPublishedError(
            f"View '{view.label}' holds online what is in force since {format_instant(last.published_us)}, so it "
            f"cannot answer at {format_instant(at_us)}; ask for a later instant, or ask the history with "
            "get_historical_features.",
            last.published_us,
        )


def _without_nulls(keys: Sequence[bytes | None]) -> list[bytes]:
    return [key for key in keys if key is not None]


def _at_null_keys(keys: Sequence[bytes | None], found: Sequence[bytes | None]) -> list[bytes | None]:
    """The records found, with None put in where the key is None."""
    records = iter(found)
    return [None if key is None else next(records) for key in keys]


def _key_encoders(plan: LookupPlan, names: list[str]) -> tuple[list[tuple[KeyEncoder, list[int]]], list[int]]:
    """An encoder for each different key of the plan's views, with the places of its columns; and which a view uses."""
    different = list(dict.fromkeys(view.keys for view in plan.views))
    encoders = [(columns_encoder(keys), [names.index(name) for name, _ in keys]) for keys in different]
    return encoders, [different.index(view.keys) for view in plan.views]


def _fed(plan: LookupPlan, keys: tuple[tuple[str, DType], ...]) -> list[tuple[int, str, pl.DataType]]:
    """Which of the keys and view columns request-time features read, in places; all where they read none.

    So a frame of them has as many rows as are asked for.
    """
    read = {column for step in plan.on_demand for _, column, _ in step.inputs}
    stored = ((column.name, column.dtype) for view in plan.views for column in view.columns)
    columns = [(place, name, polars_type(dtype)) for place, (name, dtype) in enumerate((*keys, *stored))]
    return [column for column in columns if column[1] in read] or columns


def _answer_shape(plan: LookupPlan, keys: tuple[tuple[str, DType], ...]) -> tuple[AnswerShape, list[int] | None]:
    """The shape of the answer, and where its columns lie among keys, view columns and request-time features.

    None when they lie in this very order.
    """
    stored = [(column.name, i) for i, view in enumerate(plan.views) for column in view.columns]
    computed = [(name, None) for step in plan.on_demand for _, name, _ in step.outputs]
    places = {name: (place, view) for place, (name, view) in enumerate((*stored, *computed), start=len(keys))}
    order = [*range(len(keys)), *(places[name][0] for name, _ in plan.outputs)]
    shape = AnswerShape(
        keys=keys,
        features=plan.outputs,
        views=tuple(places[name][1] for name, _ in plan.outputs),
        names=(*(name for name, _ in keys), *(name for name, _ in plan.outputs)),
    )
    return shape, None if order == list(range(len(keys) + len(places))) else order
