"""One compiled lookup with what HTTP adds to it: JSON values in, and an answer written column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from featurestore.dtypes import DType, Value
from featurestore.errors import InputError, UnknownNameError
from featurestore.online.lookup import Lookup
from featurestore.online.open import is_remote
from featurestore.online.result import OnlineFeatures
from featurestore.plan.catalog import Catalog
from featurestore.plan.on_demand import Function
from featurestore.store import FeatureStore
from serving.arrow import arrow_stream
from serving.columns import column_decoder
from serving.exchange import JsonValue
from serving.reading import StoreReads
from serving.writing import AnswerWriter

if TYPE_CHECKING:
    from serving.metrics import Metrics

Given: TypeAlias = list[dict[str, JsonValue]] | dict[str, list[JsonValue]]  # rows, or columns
Rows: TypeAlias = list[dict[str, Value]]


class Answering:
    """Answers requests for a service or a list of features, and writes the answers; safe for threads.

    `waits` tells that answering may take long: a store elsewhere, or a Python function at request time.
    """

    def __init__(self, lookup: Lookup, service: str | None, metrics: Metrics | None = None, *, remote: bool) -> None:
        plan = lookup.plan
        self.lookup = lookup
        self.label = plan.features
        self.service = service or ""
        self._metrics = metrics
        self._view_names = tuple(view.view for view in plan.views)
        self.views = frozenset(view.view for view in plan.views)
        self.width = len(plan.outputs)
        self.waits = remote or any(isinstance(step.computation, Function) for step in plan.on_demand)
        self._keys = _Reader("join key", lookup.shape.keys, plan.features)
        self._request = _Reader("request column", plan.request, plan.features)
        self.writer = AnswerWriter(lookup, service)

    def answer(self, entities: Given, request: Given | None, at_us: int | None) -> tuple[OnlineFeatures, Rows | None]:
        """The features of each entity, and the request data as rows of typed values; what is given is in JSON form.

        Raises what `Lookup.answer` raises, and InputError.
        """
        columns, rows = self._keys.columns(entities)
        typed = None if request is None else self._request_rows(request, rows)
        return self.lookup.answer_columns(columns, rows, typed, at_us), typed

    def _request_rows(self, request: Given, entities: int) -> Rows:
        """The rows of request data; raises InputError for others than one per entity, though nothing reads them."""
        given = self._request.rows(request)
        if given and not self.lookup.plan.request and len(given) != entities:
            raise InputError(f"There are {len(given)} rows of request data for {entities} entities; give one for each.")
        return given

    def json(self, answer: OnlineFeatures) -> bytes:
        """The answer as the JSON document of `POST /v1/features`."""
        body, nulls = self.writer.write(answer)
        self.count(answer, nulls)
        return body

    def arrow(self, answer: OnlineFeatures) -> bytes:
        """The answer as an Arrow stream."""
        self.count(answer, answer.null_values)
        return arrow_stream(self.lookup, self.service, answer)

    def count(self, answer: OnlineFeatures, nulls: int) -> None:
        """Tell the metrics of an answer."""
        if self._metrics is not None:
            self._metrics.looked_up(self.service, self._view_names, answer, nulls)


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles what is asked of a project."""

    store: FeatureStore
    metrics: Metrics | None

    def compiled(self, asked: str | tuple[str, ...], catalog: Catalog) -> Answering:
        """The features that were asked for, as a catalog has them."""
        store, metrics = self.store, self.metrics
        reads = StoreReads(store) if metrics is None else StoreReads(store, metrics.read)
        lookup = store.compile_lookup(asked, catalog, reads)
        service = asked if isinstance(asked, str) else None
        return Answering(lookup, service, metrics, remote=is_remote(store.configuration.online.url))


class _Reader:
    """Turns rows or columns of JSON values into typed values; refuses columns it does not know."""

    def __init__(self, what: str, columns: Sequence[tuple[str, DType]], features: str) -> None:
        self._what = what
        self._features = features
        self._decoders = {name: column_decoder(dtype, f"{what.capitalize()} '{name}'") for name, dtype in columns}
        self._names = list(self._decoders)
        self._plain = frozenset(self._decoders)

    def rows(self, given: Given) -> Rows:
        """Rows of typed values."""
        columns, rows = self.columns(given)
        if not columns:
            return [{} for _ in range(rows)]
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]

    def columns(self, given: Given) -> tuple[list[list[Value]], int]:
        """The columns of typed values, in order, and how many rows they have."""
        if isinstance(given, list):
            if not set(map(len, given)) <= {len(self._names)}:
                raise self._wrong_row(given)
            try:
                found = [[row[name] for row in given] for name in self._names]
            except KeyError:
                raise self._wrong_row(given) from None
            return [decode(column) for decode, column in zip(self._decoders.values(), found, strict=True)], len(given)
        if given.keys() != self._plain:
            raise self._wrong("what was given", given)
        columns = [decode(given[name]) for name, decode in self._decoders.items()]
        lengths = {name: len(values) for name, values in given.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"The columns of '{self._features}' have different lengths: {lengths}.")
        return columns, next(iter(lengths.values()), 0)

    def _wrong_row(self, given: Sequence[Mapping[str, object]]) -> InputError:
        """The error for rows of which at least one has other columns."""
        i = next(i for i, row in enumerate(given) if row.keys() != self._plain)
        return self._wrong(f"row {i}", given[i])

    def _wrong(self, where: str, found: Mapping[str, object]) -> InputError:
        for name in found:
            if name not in self._plain:
                raise UnknownNameError(self._what, name, self._names, f"'{self._features}'") from None
        lacking = ", ".join(name for name in self._names if name not in found)
        return InputError(f"'{self._features}' needs the {self._what} {lacking}; {where} lacks it.")
