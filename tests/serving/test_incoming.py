"""Arrow streams from callers: whole tables come through, compressed and broken ones do not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving.errors import Refused
from serving.incoming import read_table

TABLE = pa.table({"customer": pa.array(["a", "b"] * 500), "amount": pa.array([1.5, None] * 500)})
MOST = 5_000
ENCODED = pa.table({"customer": TABLE["customer"].dictionary_encode()})

VIEWS = pa.table({"customer": pa.array(["a", None, "b"], pa.string_view()), "tags": [["x"], [], None]})
LONG = pa.array(["x" * 1_000])


def _stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


@pytest.mark.parametrize(
    "table", [TABLE, ENCODED, VIEWS, TABLE.slice(0, 0)], ids=["plain", "dictionary", "views", "empty"]
)
def test_a_stream_comes_through_whole(table: pa.Table) -> None:
    assert read_table(_stream(table), MOST).equals(table)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("table", [TABLE, ENCODED], ids=["plain", "dictionary"])
def test_a_compressed_stream_is_refused(table: pa.Table, compression: str) -> None:
    with pytest.raises(Refused, match="without compression"):
        read_table(_stream(table, compression), MOST)


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", _stream(TABLE)[:-40], _stream(TABLE)[:100], b"\xff\xff\xff\xff\x08\x00\x00\x00" + b"\xff" * 8],
)
def test_a_broken_stream_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_table(body, MOST)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": pa.nulls(5_001)}, "5,001 rows of 1 columns are more than 5,000 values"),
        ({"a": pa.nulls(2_501), "b": pa.nulls(2_501)}, "2,501 rows of 2 columns"),
        ({"a": pa.ListArray.from_arrays(pa.array([0, 5_001], pa.int32()), pa.nulls(5_001))}, "'a' holds more"),
        ({"a": pa.DictionaryArray.from_arrays(pa.array([0] * 6, pa.int8()), LONG)}, "'a' holds more"),
        ({"a": pa.DictionaryArray.from_arrays(pa.array([0] * 6, pa.int8()), LONG.cast(pa.string_view()))}, "'a' holds"),
        ({"a": pa.array(["x" * 1_000] * 6, pa.string_view())}, "'a' holds more"),
        ({"a": pa.RunEndEncodedArray.from_arrays(pa.array([9], pa.int32()), LONG)}, "no feature is of that"),
        ({"a": pa.array([{"b": 1}])}, "no feature is of that"),
    ],
)
def test_what_is_small_on_its_way_only_is_refused(columns: dict[str, pa.Array], said: str) -> None:
    with pytest.raises(Refused, match=said):
        read_table(_stream(pa.table(columns)), MOST)


def test_texts_that_share_their_bytes_are_counted_as_they_are_decoded() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0, None, 0, 0, 0], pa.int8()), LONG)
    assert read_table(_stream(pa.table({"a": column})), MOST).num_rows == 6
