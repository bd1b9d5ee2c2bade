"""Answers as JSON, column by column: everything that is the same in every answer of a lookup is encoded once.

{"at": ..., "service": ..., "entities": {key: [...]},
 "features": {name: {"view": ..., "values": [...], "statuses": [...]}},
 "views": {label: {"view": ..., "version": ..., "table_version": ..., "watermark": ...,
                   "event_timestamps": [...], "ages_seconds": [...]}}}
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from featurestore.dtypes import Value
from featurestore.online.lookup import Lookup
from featurestore.online.result import OnlineFeatures
from featurestore.online.values import Publication
from featurestore.plan.lookup import ViewLookup
from featurestore.timeline import Status, format_instant, to_datetime
from serving.columns import TableEncoder, encode, encode_instants, encode_together, instants_and_ages

Written: TypeAlias = tuple[bytes, int]  # an answer, and how many of its values are null though their row is there

_MANY = 8  # rows, from which on numpy is worth its call
_PRESENT = Status.PRESENT
_NULL_VALUE = Status.NULL_VALUE.name.encode()
_NAMES = [status.name for status in Status]


class AnswerWriter:
    """Writes the answers of one lookup."""

    def __init__(self, lookup: Lookup, service: str | None) -> None:
        shape, views = lookup.shape, lookup.plan.views
        self._keys = TableEncoder([dtype for _, dtype in shape.keys])
        self._key_starts = [_key(name) + b"[" for name, _ in shape.keys]
        self._values = TableEncoder([dtype for _, dtype in shape.features])
        labels = [None if view is None else views[view].label for view in shape.views]
        self._starts = [
            b"," * bool(i) + _key(name) + b'{"view":' + encode(label) + b',"values":['
            for i, ((name, _), label) in enumerate(zip(shape.features, labels, strict=True))
        ]
        self._between = [b'],"statuses":'] * len(self._starts)
        self._views = [_ViewWriter(view) for view in views]
        self._ends = [b"]},"] * (len(views) - 1) + [b"]}"] * bool(views)
        self._service = b',"service":' + encode(service) + b',"entities":{'

    def write(self, answer: OnlineFeatures, before: bytes = b"", *, features: bool = True) -> Written:
        """The answer as JSON, `before` being members that come first; without `features` they are left out."""
        starts = self._key_starts
        columns = answer.columns
        keys, _ = self._keys.encode(columns[: len(starts)])
        at, *instants = self._instants(answer)
        parts = [b"{", before, b'"at":', at, self._service]
        parts.append(b",".join([start + values + b"]" for start, values in zip(starts, keys, strict=True)]))
        if features:
            parts.append(b'},"features":{')
            pieces, nulls = self._features(answer, columns[len(starts) :])
            parts += pieces
        else:
            nulls = answer.null_values
        parts.append(b'},"views":{')
        parts += self._published(answer, instants)
        parts.append(b"}}")
        return b"".join(parts), nulls

    def _features(self, answer: OnlineFeatures, columns: Sequence[list[Value]]) -> tuple[list[bytes], int]:
        """What is written of each feature, in pieces, and how many values are null though their row is there."""
        values, nullable = self._values.encode(columns)
        statuses, nulls = written_statuses(answer, columns, nullable)
        pieces = [b"}"] * (5 * len(columns))
        pieces[0::5] = self._starts
        pieces[1::5] = values
        pieces[2::5] = self._between
        pieces[3::5] = statuses
        return pieces, nulls

    def _instants(self, answer: OnlineFeatures) -> list[bytes]:
        """The instant of the answer, then for each view the event times and the ages of its rows."""
        at_us = answer.at_us
        if len(answer) >= _MANY:
            written = [encode(to_datetime(at_us))]
            for _, times in answer.origins:
                written += encode_instants(times, at_us)
            return written
        columns: list[Sequence[object]] = [[to_datetime(at_us)]]
        for _, times in answer.origins:
            columns += instants_and_ages(times, at_us)
        return encode_together(columns)

    def _published(self, answer: OnlineFeatures, instants: Sequence[bytes]) -> list[bytes]:
        """What is written of each view, in pieces: the versions that answer, and each row's event time and age."""
        pieces = [b'],"ages_seconds":['] * (5 * len(self._views))
        pieces[0::5] = [
            view.start(publication) for view, publication in zip(self._views, answer.publications, strict=True)
        ]
        pieces[1::5] = instants[0::2]
        pieces[3::5] = instants[1::2]
        pieces[4::5] = self._ends
        return pieces


class _ViewWriter:
    """Writes what an answer says of one view's versions."""

    def __init__(self, view: ViewLookup) -> None:
        self._start = _key(view.label) + b'{"view":' + encode(view.view) + b',"version":%d,' % view.version
        self._known: tuple[Publication, bytes] | None = None

    def start(self, publication: Publication) -> bytes:
        """Up to the event times; encoded when the publication is not that of the last call."""
        known = self._known
        if known is None or known[0] is not publication:
            watermark = publication.watermark_us
            until = encode(None if watermark is None else format_instant(watermark))
            said = b'"table_version":%d,"watermark":%s,"event_timestamps":[' % (publication.version, until)
            known = self._known = (publication, self._start + said)
        return known[1]


def written_statuses(
    answer: OnlineFeatures, columns: Sequence[list[Value]], nullable: Sequence[bool] | None
) -> tuple[list[bytes], int]:
    """The statuses of each feature as JSON arrays, and how many of them are NULL_VALUE.

    `columns` are the features' values, `nullable` is as in `Table`.

    The same as `OnlineFeatures.statuses`, with one array for all features of a view that no null tells apart.
    """
    all_present = _all_present(len(answer))
    if nullable is None:
        return [all_present] * len(columns), 0
    found = [states for states, _ in answer.origins]
    shared = [all_present if states.count(_PRESENT) == len(states) else _named(states) for states in found]
    statuses = []
    nulls = 0
    for view, values, may_be_null in zip(answer.shape.views, columns, nullable, strict=True):
        if view is None:
            written = _computed(values) if may_be_null else all_present
        elif may_be_null and None in values:
            written = _distinguished(found[view], values)
        else:
            statuses.append(shared[view])
            continue
        statuses.append(written)
        nulls += written.count(_NULL_VALUE)
    return statuses, nulls


def _key(name: str) -> bytes:
    return encode(name) + b":"


@lru_cache(maxsize=1024)
def _all_present(rows: int) -> bytes:
    return encode([_PRESENT.name] * rows)


def _named(statuses: Sequence[Status]) -> bytes:
    return encode([_NAMES[status] for status in statuses])


def _computed(values: Sequence[Value]) -> bytes:
    return encode(["NULL_VALUE" if value is None else "PRESENT" for value in values])


def _distinguished(found: Sequence[Status], values: Sequence[Value]) -> bytes:
    """The statuses of values of which some are null though their row is there."""
    return encode(
        [
            "NULL_VALUE" if value is None and status is _PRESENT else _NAMES[status]
            for value, status in zip(values, found, strict=True)
        ]
    )
