"""`POST /v1/push/{view}` and Feast's `/push`: rows to history and to the online store, through the same contracts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from featurestore.errors import InputError, UnknownNameError
from featurestore.materialization.report import PushReport, push_document
from featurestore.materialization.targets import Targets, push_targets
from featurestore.plan.views import declared_types
from featurestore.project.pushed import rows_from_json
from featurestore.store import FeatureStore
from serving.access import check_limited, discreet
from serving.bodies import parsed
from serving.exchange import ARROW, Answer, Request
from serving.incoming import check_cells, read_table

Columns = Mapping[str, Sequence[object]]


class Rows(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a push in JSON: rows, or columns."""

    rows: list[dict[str, object]] | dict[str, list[object]]


class FeastPush(msgspec.Struct):
    """The body of Feast's `/push`; rows always go both to history and online, whatever `to` says."""

    push_source_name: str
    df: dict[str, list[object]]


_NAIVE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")
_rows = msgspec.json.Decoder(Rows).decode
_feast_push = msgspec.json.Decoder(FeastPush).decode


class Push:
    """Pushes in `pool`: a commit takes too long for the event loop.

    A push has at most as many values, nulls among them, as its body may have bytes: what is small on its way stays so.
    """

    def __init__(self, store: FeatureStore, pool: ThreadPoolExecutor) -> None:
        self._cells = store.configuration.serving.body_bytes
        self._store = store
        self._pool = pool

    def answer(self, request: Request) -> Awaitable[Answer]:
        """The handler of `POST /v1/push/{view}`: the rows are an Arrow stream, or JSON."""
        return self._elsewhere(self._push, request)

    def feast(self, request: Request) -> Awaitable[Answer]:
        """The handler of Feast's `POST /push`."""
        return self._elsewhere(self._feast_push, request)

    async def _elsewhere(self, push: Callable[[Request], Answer], request: Request) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, push, request)

    def _push(self, request: Request) -> Answer:
        name = request.path["view"]
        if request.headers.get(b"content-type", b"").startswith(ARROW):
            self._targets(name, request)
            report = self._store.push(name, read_table(request.body, self._cells))
        else:
            report = self._push_json(name, parsed(_rows, request.body).rows, request)
        return Answer(msgspec.json.encode(push_document(report)))

    def _feast_push(self, request: Request) -> Answer:
        given = parsed(_feast_push, request.body)
        request.path = {"view": given.push_source_name}  # as the audit log has it of the other route
        self._push_json(given.push_source_name, _in_utc(given.df), request)
        return Answer(b"null")

    def _push_json(self, name: str, rows: Sequence[Mapping[str, object]] | Columns, request: Request) -> PushReport:
        targets = self._targets(name, request)
        types = declared_types(targets.source, [target.record for target in targets.tables])
        given = _transposed(rows) if isinstance(rows, Mapping) else rows
        check_cells(len(given), len({column for row in given for column in row}), self._cells)
        return self._store.push(name, rows_from_json(given, types, "The rows"))

    def _targets(self, name: str, request: Request) -> Targets:
        """What the push reaches; raises Refused when the caller's key is not limited to all of it."""
        try:
            targets = push_targets(name, self._store.versions(), self._store.registry.view_versions())
        except UnknownNameError as error:
            raise discreet(request, (name,), error) from error
        check_limited(request, None, {target.record.name for target in targets.tables})
        return targets


def _transposed(columns: Columns) -> list[dict[str, object]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"The columns have different lengths: {lengths}.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _in_utc(columns: Columns) -> Columns:
    """The columns, where a text that is an instant without a zone is one in UTC, as Feast has it."""
    return {name: [_as_instant(value) for value in values] for name, values in columns.items()}


def _as_instant(value: object) -> object:
    if isinstance(value, str) and _NAIVE.fullmatch(value):
        return f"{value}Z"
    return value
