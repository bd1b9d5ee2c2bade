"""Arrow streams that callers send: read whole, and refused when their buffers are compressed.

A compressed buffer may hold a thousand times its size, so that a small body would fill the memory; its size is known
only after it is unpacked. Whether a batch is compressed stands in its message (Arrow's Message.fbs), a flatbuffer.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from serving.errors import bad_request

_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2  # fields of Message
_DICTIONARY_DATA = 1  # field of DictionaryBatch
_COMPRESSION = 3  # field of RecordBatch
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # kinds of a message's header


def read_table(stream: bytes) -> pa.Table:
    """The table in an Arrow IPC stream; raises Refused when it is none, or compressed."""
    try:
        for message in pa.ipc.MessageReader.open_stream(stream):
            if _is_compressed(message.metadata.to_pybytes()):
                raise bad_request("The Arrow stream's buffers are compressed; write it without compression.")
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
            table.validate(full=True)
            return table
    except (pa.ArrowException, OSError, struct.error) as error:
        raise bad_request(f"The body is no Arrow stream: {error}.") from error


def _is_compressed(metadata: bytes) -> bool:
    (root,) = struct.unpack_from("<I", metadata)
    kind_at = _field(metadata, root, _MESSAGE_HEADER_TYPE)
    header_at = _field(metadata, root, _MESSAGE_HEADER)
    if kind_at is None or header_at is None:
        return False
    batch = _followed(metadata, header_at)
    if metadata[kind_at] == _DICTIONARY_BATCH:
        data_at = _field(metadata, batch, _DICTIONARY_DATA)
        return data_at is not None and _field(metadata, _followed(metadata, data_at), _COMPRESSION) is not None
    return metadata[kind_at] == _RECORD_BATCH and _field(metadata, batch, _COMPRESSION) is not None


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer table stands; None when it is left out."""
    vtable = table - int(struct.unpack_from("<i", metadata, table)[0])
    (size,) = struct.unpack_from("<H", metadata, vtable)
    entry = 4 + 2 * number
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, vtable + entry)
    return table + offset if offset else None


def _followed(metadata: bytes, at: int) -> int:
    """Where the table stands that an offset refers to."""
    return at + int(struct.unpack_from("<I", metadata, at)[0])
