"""Answers as Arrow streams.

Columns: join keys and features in their logical types, then `<feature>__status` and for each view
`<view>__event_timestamp` and `<view>__age_seconds`. What JSON says of the whole (the instant, the service, each view's
versions) is a JSON document in the schema's metadata under `featurestore`.
"""

from __future__ import annotations

import pyarrow as pa

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
    said = {"at": format_instant(at_us), "service": service or None, "views": views}
    table = table.replace_schema_metadata({METADATA: encode(said)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream
