"""Digests that tell a change of meaning from a change of words.

`meaning` covers everything that can change an answer. `storage` covers only what is kept in a view's offline table, so
that a new TTL, delay or window rebuilds nothing. Neither sees descriptions, owners and tags.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from featurestore.plan.catalog import (
    AggregationRecord,
    FeatureRecord,
    Metadata,
    Object,
    SourceRecord,
    SqlPlace,
    ViewPlace,
    ViewRecord,
)

R = TypeVar("R", bound=Object)
F = TypeVar("F", FeatureRecord, AggregationRecord)

_FORMAT = 1  # raise when the records' form changes without a change of meaning
_LENGTH = 16


def meaning(record: Object) -> str:
    """Digest of what the record means: 16 hexadecimal digits."""
    return _digest(msgspec.to_builtins(_without_words(record)))


def storage(view: ViewRecord) -> str:
    """Digest of what is kept of a view: source, keys, times, contract and columns: 16 hexadecimal digits."""
    source = _without_words(view.source)
    kept = msgspec.structs.replace(source, delay_us=0, visibility="event", name="")
    return _digest(
        {
            "view": view.name,
            "source": msgspec.to_builtins(kept),
            "keys": view.keys,
            "columns": sorted(
                (c.stored, c.dtype, c.column, c.expression or "") for c in (*view.features, *view.events)
            ),
            "contract": msgspec.to_builtins(view.contract),
            "on_refusal": view.on_refusal,
        }
    )


def publication(view: ViewRecord) -> str:
    """Digest of what is published online: the kept rows, and what decides which of them are in force."""
    aggregations = msgspec.to_builtins([_plain(aggregation) for aggregation in view.aggregations])
    return _digest([storage(view), view.delay_us, view.source.visibility, view.every_us, aggregations])


def _without_words(record: R) -> R:
    """The record without what people read, and without when and how materializing finds rows, which no row tells."""
    cleared = msgspec.structs.replace(record, metadata=Metadata())
    if isinstance(cleared, SourceRecord):
        cleared = msgspec.structs.replace(cleared, lookback_us=None)
    match cleared:
        case SourceRecord(place=SqlPlace() as place):
            inputs = tuple(_without_words(source) for source in place.inputs)
            return msgspec.structs.replace(cleared, place=SqlPlace(sql=" ".join(place.sql.split()), inputs=inputs))
        case SourceRecord(place=ViewPlace(view=view)):
            return msgspec.structs.replace(cleared, place=ViewPlace(view=_without_words(view)))
        case ViewRecord():
            return msgspec.structs.replace(
                cleared,
                schedule=None,
                source=_without_words(cleared.source),
                features=tuple(_plain(feature) for feature in cleared.features),
                aggregations=tuple(_plain(aggregation) for aggregation in cleared.aggregations),
            )
        case _:
            return cleared


def _plain(feature: F) -> F:
    if isinstance(feature, FeatureRecord):
        return msgspec.structs.replace(feature, metadata=Metadata(), was=None)
    return msgspec.structs.replace(feature, metadata=Metadata())


def _digest(content: object) -> str:
    encoded = msgspec.json.encode([_FORMAT, content], order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:_LENGTH]
