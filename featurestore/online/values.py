"""Records: what is known online of one key of a view.

A record is its stamp, then MessagePack: its only step, or when there are several a list of them in the order of event
time, created time, sequence. A step is [event time, created time, values...]. Times are microseconds since 1970
(created time may be null; of a timeless view both are), values have the wire form of their logical type
(`featurestore.dtypes.wire_decoder` reads it). A step without values is a marker, which always stands in a list: from
its created time on, the steps of its event time that stand before it are cancelled. The stamp is that of the last
step: event time and created time, 8 bytes each, ordered as the times are, null lowest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import wire_column
from featurestore.dtypes import Wire
from featurestore.errors import InputError
from featurestore.online.base import STAMP_SIZE
from featurestore.online.keys import encode_batch
from featurestore.plan.nodes import Column
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP

Step = list[Wire]
FIRST_VALUE = 2  # index of a step's first value, behind event and created time

_LOWEST = -(2**63)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list).decode
_unpack_all = msgspec.msgpack.Decoder(list[tuple | None]).decode  # type: ignore[type-arg]  # untyped items decode fastest
_NO_RECORD = b"\xc0"  # nil
_FEW = 16
_HEADERS = [bytes((0x90 + count,)) for count in range(_FEW)]  # of arrays of so many
_HEADER = struct.Struct(">BI")  # of a MessagePack array of any length


@dataclass(frozen=True, slots=True)
class Publication:
    """A namespace's metadata: what its records are the current values of.

    The records answer instants at or after `published_us` (for a timeless view, and one whose rows were only pushed:
    any). `version` is the offline table version they were read from, `watermark_us` the end of what is committed there
    without a gap (null for such views).
    """

    published_us: int
    version: int
    watermark_us: int | None = None

    def pack(self) -> bytes:
        """The metadata record."""
        return _pack(self)

    @staticmethod
    def unpack(meta: bytes) -> Publication:
        """The publication in a metadata record."""
        return _publication(meta)


_publication = msgspec.msgpack.Decoder(Publication).decode


def stamp(event_us: int | None, created_us: int | None) -> bytes:
    """The stamp of a step: bytes in the order of (event time, created time), null lowest."""
    return _ordered(event_us) + _ordered(created_us)


def _ordered(micros: int | None) -> bytes:
    return ((_LOWEST if micros is None else micros) - _LOWEST).to_bytes(8, "big")


def pack_record(steps: Sequence[Sequence[Wire]]) -> bytes:
    """The record of one key; `steps` in order, at least one, each [event time, created time, values...]."""
    event_us, created_us, *_ = steps[-1]
    assert isinstance(event_us, int | None)
    assert isinstance(created_us, int | None)
    return stamp(event_us, created_us) + _packed_steps(steps)


def _packed_steps(steps: Sequence[Sequence[Wire]]) -> bytes:
    return _pack(steps[0]) if len(steps) == 1 and len(steps[0]) > FIRST_VALUE else _pack(steps)


def unpack_record(record: bytes) -> list[Step]:
    """The steps of a record, in order."""
    found = _unpack(record[STAMP_SIZE:])
    return found if isinstance(found[0], list) else [found]


def unpack_records(records: Sequence[bytes | None]) -> list[tuple[Any, ...] | None]:
    """Of each record its only step, or its steps; None for None. All are unpacked in one pass.

    Raises msgspec.DecodeError or UnicodeDecodeError when one is no record.
    """
    count = len(records)
    header = _HEADERS[count] if count < _FEW else _HEADER.pack(0xDD, count)
    bodies = [_NO_RECORD if record is None else record[STAMP_SIZE:] for record in records]
    unpacked: list[tuple[Any, ...] | None] = _unpack_all(header + b"".join(bodies))
    return unpacked


def pack_records(
    batches: Iterable[pa.RecordBatch], keys: Sequence[Column], columns: Sequence[Column]
) -> Iterator[tuple[bytes, bytes]]:
    """Each key with its record, in the order of the rows; what `CurrentPlan` yields of all keys goes in.

    The batches hold `keys`, event time, created time and `columns` in their logical types, perhaps `__deleted`; rows
    of one key follow each other, in step order, and may cross batches. Holds one batch at a time. Raises InputError
    for a null key.
    """
    key: bytes | None = None
    key_stamp = b""
    steps: list[tuple[Wire, ...]] = []
    for batch in batches:
        for next_key, next_stamp, step in _rows(batch, keys, columns):
            if next_key == key:
                steps.append(step)
            else:
                if key is not None:
                    yield key, key_stamp + _packed_steps(steps)
                key, steps = next_key, [step]
            key_stamp = next_stamp
    if key is not None:
        yield key, key_stamp + _packed_steps(steps)


def pack_changes(
    batches: Iterable[pa.RecordBatch], keys: Sequence[Column], columns: Sequence[Column]
) -> Iterator[tuple[bytes, bytes | None]]:
    """The same of what a partial plan yields: a key with a null event time has no step, and None for its record."""
    gone: list[bytes | None] = []

    def steps() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            absent = batch.column(EVENT_TIMESTAMP).is_null()
            gone.extend(encode_batch(batch.filter(absent), [(key.name, key.dtype) for key in keys]))
            yield batch.filter(pc.invert(absent))

    yield from pack_records(steps(), keys, columns)
    yield from ((key, None) for key in gone if key is not None)


def _rows(
    batch: pa.RecordBatch, keys: Sequence[Column], columns: Sequence[Column]
) -> Iterable[tuple[bytes, bytes, tuple[Wire, ...]]]:
    encoded = encode_batch(batch, [(key.name, key.dtype) for key in keys])
    if None in encoded:
        names = ", ".join(key.name for key in keys)
        raise InputError(f"A row to publish has a null in its key ({names}), so no lookup could find it; leave it out.")
    events, created = (_instants(batch.column(name)) for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP))
    values = [wire_column(batch.column(column.name), column.dtype) for column in columns]
    steps: Iterable[tuple[Wire, ...]] = zip(events.to_pylist(), created.to_pylist(), *values, strict=True)
    if DELETED in batch.schema.names:
        marks = batch.column(DELETED).to_pylist()
        steps = (step[:FIRST_VALUE] if mark else step for step, mark in zip(steps, marks, strict=True))
    return zip(encoded, _stamps(events, created), steps, strict=True)  # type: ignore[arg-type]  # no None, see above


def _instants(column: pa.Array) -> pa.Array:
    if pa.types.is_null(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())


def _stamps(events: pa.Array, created: pa.Array) -> list[bytes]:
    both = np.empty((len(events), 2), dtype=">u8")
    for i, instants in enumerate((events, created)):
        both[:, i] = instants.fill_null(_LOWEST).to_numpy(zero_copy_only=False).view(np.uint64) ^ np.uint64(2**63)
    stamps: list[bytes] = np.frombuffer(both.tobytes(), dtype=f"V{STAMP_SIZE}").tolist()
    return stamps
