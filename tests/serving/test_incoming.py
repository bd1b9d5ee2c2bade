"""Arrow streams from callers: whole tables come through, compressed and broken ones do not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving.errors import Refused
from serving.incoming import read_table

TABLE = pa.table({"customer": pa.array(["a", "b"] * 500), "amount": pa.array([1.5, None] * 500)})
ENCODED = pa.table({"customer": TABLE["customer"].dictionary_encode()})


def _stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


@pytest.mark.parametrize("table", [TABLE, ENCODED, TABLE.slice(0, 0)], ids=["plain", "dictionary", "empty"])
def test_a_stream_comes_through_whole(table: pa.Table) -> None:
    assert read_table(_stream(table)).equals(table)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("table", [TABLE, ENCODED], ids=["plain", "dictionary"])
def test_a_compressed_stream_is_refused(table: pa.Table, compression: str) -> None:
    with pytest.raises(Refused, match="without compression"):
        read_table(_stream(table, compression))


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", _stream(TABLE)[:-40], _stream(TABLE)[:100], b"\xff\xff\xff\xff\x08\x00\x00\x00" + b"\xff" * 8],
)
def test_a_broken_stream_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_table(body)
    assert refused.value.status == 400
