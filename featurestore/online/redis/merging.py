"""Merging: what a write has published in overlays moves into the buckets, in bounded steps.

Readers look into both meanwhile, so nobody waits for it, and whoever comes next may finish it.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.online.redis.layout import Bucket
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.scripts import MERGE, Call, run
from featurestore.online.redis.servers import Servers

_FIELDS_AT_ONCE = 500
_BEGIN, _DONE, _ONCE_MORE = b"0", b"0", b"-"


def merge(servers: Servers, reader: Reader, buckets: Sequence[Bucket], epoch: bytes) -> None:
    """Move what was published for the epoch in the buckets' overlays into the buckets."""
    cursors = dict.fromkeys(buckets, _BEGIN)
    while cursors:
        calls = [
            Call(bucket.slot, MERGE, (bucket.key, bucket.overlay), (epoch, _FIELDS_AT_ONCE, cursor))
            for bucket, cursor in cursors.items()
        ]
        replies = reader.checked(run(servers, calls))
        cursors = {
            bucket: _BEGIN if cursor == _ONCE_MORE else cursor
            for bucket, cursor in zip(cursors, replies, strict=True)
            if cursor != _DONE
        }
