"""Answers as Arrow streams.

Columns: join keys and features in their logical types, then `<feature>__status` and for each view
`<view>__event_timestamp` and `<view>__age_seconds`. What JSON says of the whole (the instant, the service, which
columns are join keys, each feature's view, each view's versions) is a JSON document in the schema's metadata under
`featurestore`.
"""

from __future__ import annotations

import pyarrow as pa

from featurestore.arrow import ipc_stream
from featurestore.online.lookup import Lookup
from featurestore.online.result import OnlineFeatures
from featurestore.timeline import format_instant
from serving.columns import encode

METADATA = b"featurestore"
_INSTANT = pa.timestamp("us", tz="UTC")


def arrow_stream(lookup: Lookup, service: str, answer: OnlineFeatures) -> bytes:
    """The answer as the bytes of an Arrow IPC stream."""
    table = answer.to_arrow()
    for name, statuses in answer.statuses.items():
        table = table.append_column(f"{name}__status", pa.array([status.name for status in statuses], pa.string()))
    at_us = answer.at_us
    views = {}
    for view, (_, times), publication in zip(lookup.plan.views, answer.origins, answer.publications, strict=True):
        ages = [None if time is None else (at_us - time) / 1e6 for time in times]
        table = table.append_column(f"{view.label}__event_timestamp", pa.array(times, _INSTANT))
        table = table.append_column(f"{view.label}__age_seconds", pa.array(ages, pa.float64()))
        watermark = publication.watermark_us
        views[view.label] = {
            "view": view.view,
            "version": view.version,
            "table_version": publication.version,
            "watermark": None if watermark is None else format_instant(watermark),
        }
    shape = lookup.shape
    labels = [None if view is None else lookup.plan.views[view].label for view in shape.views]
    said = {
        "at": format_instant(at_us),
        "service": service or None,
        "entities": [name for name, _ in shape.keys],
        "features": {name: label for (name, _), label in zip(shape.features, labels, strict=True)},
        "views": views,
    }
    table = table.replace_schema_metadata({METADATA: encode(said)})
    return ipc_stream(table)
