"""Arrow streams that callers send: read whole, and refused when they hold far more than their bytes.

A compressed buffer may hold a thousand times its size, so that a small body would fill the memory; its size is known
only after it is unpacked. Whether a batch is compressed stands in its message (Arrow's Message.fbs), a flatbuffer.
What repeats a value without its bytes, as dictionaries do, is counted as it is decoded.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.errors import Refused, bad_request

_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2  # fields of Message
_DICTIONARY_DATA = 1  # field of DictionaryBatch
_COMPRESSION = 3  # field of RecordBatch
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # kinds of a message's header


def check_cells(rows: int, columns: int, most: int) -> None:
    """Refuse with 413 a table of more values, nulls among them."""
    if rows * columns > most:
        raise Refused(
            413,
            "TooLarge",
            f"{rows:,} rows of {columns:,} columns are more than {most:,} values; push in smaller parts.",
        )


def read_table(stream: bytes, most_cells: int) -> pa.Table:
    """The table in an Arrow IPC stream.

    Raises Refused when it is none, compressed, has more values than that or as many bytes in texts that are repeated,
    or has types that no feature has.
    """
    try:
        for message in pa.ipc.MessageReader.open_stream(stream):
            if _is_compressed(message.metadata.to_pybytes()):
                raise bad_request("The Arrow stream's buffers are compressed; write it without compression.")
        with pa.ipc.open_stream(stream) as reader:
            for field in reader.schema:
                if not _is_plain(field.type):
                    raise bad_request(
                        f"Column '{field.name}' is {field.type}, and no feature is of that; write its values plainly."
                    )
            table = reader.read_all()
            check_cells(table.num_rows, table.num_columns, most_cells)
            table.validate(full=True)
            for name, column in zip(table.column_names, table.columns, strict=True):
                if sum(_decoded(part) for part in column.chunks) > most_cells:
                    raise Refused(
                        413, "TooLarge", f"Column '{name}' holds more than {most_cells:,} values or bytes of text."
                    )
            return table
    except (pa.ArrowException, OSError, struct.error) as error:
        raise bad_request(f"The body is no Arrow stream: {error}.") from error


def _is_plain(kind: pa.DataType) -> bool:
    """Whether `_decoded` can tell how large values of the type are."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_nested(kind.value_type) and _is_plain(kind.value_type)
    if types.is_dictionary(kind):
        return not types.is_dictionary(kind.value_type) and _is_scalar(kind.value_type)
    return _is_scalar(kind)


def _is_scalar(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_primitive(kind) or types.is_decimal(kind) or types.is_null(kind) or _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    ours = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, _is_view)
    return any(is_one(kind) for is_one in ours)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _decoded(array: pa.Array) -> int:
    """How many items lists hold, and bytes the texts that may share theirs; 0 for what has bytes of its own."""
    kind = array.type
    if pa.types.is_nested(kind):
        items = array.flatten()
        return len(items) + _decoded(items)
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        return pc.sum(pc.take(_lengths(array.dictionary), array.indices)).as_py() or 0
    return pc.sum(_lengths(array)).as_py() or 0 if _is_view(kind) else 0


def _lengths(texts: pa.Array) -> pa.Array:
    """How many bytes each text has; a view of one begins with it (Arrow's columnar format)."""
    if not _is_view(texts.type):
        return pc.binary_length(texts)
    views = np.frombuffer(texts.buffers()[1], "<i4")[::4]
    return pa.array(views[texts.offset : texts.offset + len(texts)].astype("i8"))


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
