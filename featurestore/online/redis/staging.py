"""Staging: what a write changes is collected in overlays beside the buckets, in bounded steps.

Every bucket takes part, also one in which nothing changes: only a bucket that knows an epoch answers for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.online.base import WriteCount
from featurestore.online.redis.connection import Argument
from featurestore.online.redis.layout import Bucket
from featurestore.online.redis.leases import Lease
from featurestore.online.redis.merging import merge
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.scripts import FENCED, LOST, STAGE, UNSETTLED, Call, run
from featurestore.online.redis.servers import Servers

_STEP_BYTES = 64 << 10  # of one script
_STEPS_BYTES = 4 << 20  # of one round trip


@dataclass(slots=True)
class _Lane:
    """A bucket, and how far its changes are staged."""

    bucket: Bucket
    parts: Sequence[Argument]  # field, record, field, record ...
    place: int = 0
    added: int = 0
    is_done: bool = False


def stage(
    servers: Servers, reader: Reader, held: Lease, lanes: Mapping[Bucket, Sequence[Argument]], *, compare: bool
) -> WriteCount:
    """Stage each bucket's fields and records for the lease's epoch; what the write will have done.

    What an earlier publish has left in overlays is merged on the way.
    """
    assert held.entry is not None
    epochs = (held.entry.epoch, held.epoch)
    waiting = [_Lane(bucket, parts) for bucket, parts in lanes.items()]
    count = [0, 0, 0]  # written, skipped, deleted
    while waiting:
        held.renew()
        steps: list[tuple[_Lane, int, Call]] = []
        size = 0
        for lane in waiting:
            if size < _STEPS_BYTES:
                end, bytes_taken = _end_of_step(lane)
                steps.append((lane, end, _call(lane, end, epochs, compare=compare)))
                size += bytes_taken
        replies = reader.checked(run(servers, [call for _, _, call in steps]))
        unsettled = [lane.bucket for (lane, _, _), reply in zip(steps, replies, strict=True) if reply[0] == UNSETTLED]
        merge(servers, reader, unsettled, held.entry.epoch)
        for (lane, end, _), reply in zip(steps, replies, strict=True):
            if reply[0] in (LOST, FENCED):
                held.renew(now=True)  # raises when somebody else took over
                raise reader.lost([held.namespace])
            if reply[0] == 1:
                _, *done, added = reply
                count = [before + more for before, more in zip(count, done, strict=True)]
                lane.added, lane.place, lane.is_done = lane.added + added, end, end == len(lane.parts)
        waiting = [lane for lane in waiting if not lane.is_done]
    return WriteCount(*count)


def _end_of_step(lane: _Lane) -> tuple[int, int]:
    """Where the next step of a bucket ends, and the bytes in it."""
    end, size = lane.place, 0
    while end < len(lane.parts) and size < _STEP_BYTES:
        size += sum(len(part) for part in lane.parts[end : end + 2] if isinstance(part, bytes))
        end += 2
    return end, size


def _call(lane: _Lane, end: int, epochs: tuple[bytes, bytes], *, compare: bool) -> Call:
    is_last = end == len(lane.parts)
    arguments = (*epochs, int(compare), int(is_last), lane.added, *lane.parts[lane.place : end])
    return Call(lane.bucket.slot, STAGE, (lane.bucket.key, lane.bucket.overlay), arguments)
