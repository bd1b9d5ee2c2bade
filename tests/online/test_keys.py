"""Key bytes: the order of the values, no two keys alike, wrong types named."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.arrow import arrow_type
from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float64,
    Int8,
    Int32,
    Int64,
    List,
    String,
    Timestamp,
    UInt8,
    UInt64,
)
from featurestore.errors import InputError
from featurestore.online.keys import columns_encoder, encode_batch, key_encoder

INSTANTS = st.datetimes(timezones=st.just(UTC))
VALUES: dict[DType, st.SearchStrategy[Any]] = {
    Int64: st.integers(-(2**63), 2**63 - 1),
    Int8: st.integers(-128, 127),
    UInt8: st.integers(0, 255),
    UInt64: st.integers(0, 2**64 - 1),
    String: st.text(st.characters(codec="utf-8"), max_size=5) | st.text("\x00\x01ÿ", max_size=3),
    Bytes: st.binary(max_size=4) | st.text("\x00\xff\x01", max_size=3).map(lambda text: text.encode("latin-1")),
    Bool: st.booleans(),
    Date: st.dates(),
    Timestamp: INSTANTS,
}
TYPES = st.sampled_from(list(VALUES))


def encode(value: object, dtype: DType) -> bytes | None:
    return key_encoder([("k", dtype)])([value])


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (Int64, 0, "8000000000000000"),
        (Int64, -1, "7fffffffffffffff"),
        (Int64, 2**63 - 1, "ffffffffffffffff"),
        (Int64, -(2**63), "0000000000000000"),
        (Int32, 5, "8000000000000005"),
        (UInt64, 2**64 - 1, "ffffffffffffffff"),
        (Bool, True, "01"),
        (Date, date(1970, 1, 2), "80000001"),
        (Date, date(1969, 12, 31), "7fffffff"),
        (Timestamp, datetime(1970, 1, 1, 0, 0, 0, 7, UTC), "8000000000000007"),
        (String, "", ""),
        (String, "é\x00", "c3a900"),
        (Bytes, b"\x00\xff", "00ff"),
    ],
)
def test_a_single_key_has_these_bytes(dtype: DType, value: object, expected: str) -> None:
    assert encode(value, dtype) == bytes.fromhex(expected)


def test_parts_before_the_last_are_escaped_and_ended() -> None:
    pair = key_encoder([("a", String), ("b", String)])
    assert pair(["1", "23"]) == b"1\x0023"
    assert pair(["12", "3"]) == b"12\x003"
    assert pair(["a\x00b", "\x00"]) == b"a\x00\xffb\x00\x00"
    assert key_encoder([("a", Bytes), ("n", UInt8)])([b"\x00", 1]) == b"\x00\xff\x00" + bytes(7) + b"\x01"


def test_a_key_without_parts_is_empty() -> None:
    assert key_encoder([])([]) == b""
    assert columns_encoder([])([], 2) == [b"", b""]
    assert encode_batch(pa.record_batch({"x": [1, 2]}), []) == [b"", b""]


@pytest.mark.parametrize("values", [(None, "a"), ("a", None), (None, None)])
def test_a_null_part_makes_no_key(values: tuple[str | None, str | None]) -> None:
    keys = [("a", String), ("b", String)]
    assert key_encoder(keys)(values) is None
    assert columns_encoder(keys)([[value, "x"] for value in values], 2) == [None, b"x\x00x"]
    columns = {name: pa.array([value, "x"], pa.string()) for name, value in zip("ab", values, strict=True)}
    assert encode_batch(pa.record_batch(columns), keys) == [None, b"x\x00x"]


def test_a_null_single_key_makes_no_key() -> None:
    assert columns_encoder([("a", Int64)])([[None, 1]], 2) == [None, bytes.fromhex("8000000000000001")]
    assert encode_batch(pa.record_batch({"a": pa.array([None, 1], pa.int64())}), [("a", Int64)]) == [
        None,
        bytes.fromhex("8000000000000001"),
    ]


@pytest.mark.parametrize(
    ("dtype", "given_value", "plain"),
    [
        (Int64, np.int32(-5), -5),
        (UInt8, np.uint64(7), 7),
        (Bool, np.bool_(True), True),
        (String, np.str_("é"), "é"),
        (Bytes, np.bytes_(b"x"), b"x"),
        (Bytes, bytearray(b"x"), b"x"),
        (Bytes, memoryview(b"x"), b"x"),
        (Date, np.datetime64("1969-12-31"), date(1969, 12, 31)),
        (
            Timestamp,
            datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
    ],
)
def test_a_value_of_a_like_type_is_the_same_key(dtype: DType, given_value: object, plain: object) -> None:
    assert encode(given_value, dtype) == encode(plain, dtype)
    assert columns_encoder([("k", dtype)])([[given_value, plain]], 2) == [encode(plain, dtype)] * 2


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (Int64, "5", "Join key 'k' wants Int64, found str '5'. Give an int."),
        (Int64, 5.0, "Join key 'k' wants Int64, found float 5.0. Give an int."),
        (Int64, True, "Join key 'k' wants Int64, found bool True. Give an int."),
        (Int64, np.bool_(True), "Join key 'k' wants Int64, found bool"),
        (Int64, 2**63, "Join key 'k' is Int64; 9223372036854775808 lies beyond its 64 bits."),
        (UInt8, -1, "Join key 'k' is UInt8; -1 lies beyond its 64 bits."),
        (String, 5, "Join key 'k' wants String, found int 5. Give a str."),
        (String, b"5", "Join key 'k' wants String, found bytes b'5'. Give a str."),
        (String, "\ud800", "is no valid Unicode text"),
        (Bytes, "5", "Join key 'k' wants Bytes, found str '5'. Give bytes."),
        (Bool, 1, "Join key 'k' wants Bool, found int 1. Give True or False."),
        (Date, datetime(2024, 1, 1, tzinfo=UTC), "Join key 'k' wants Date, found datetime"),
        (Date, "2024-01-01", "Join key 'k' wants Date, found str"),
        (Timestamp, datetime(2024, 1, 1), "Join key 'k' 2024-01-01T00:00:00 has no time zone"),  # noqa: DTZ001
        (Timestamp, np.datetime64("2024-01-01T00:00"), "has no time zone, so it is no instant; give an aware"),
        (Timestamp, date(2024, 1, 1), "Join key 'k' wants Timestamp, found date"),
        (Timestamp, 5, "Join key 'k' wants Timestamp, found int 5. Give an aware datetime."),
    ],
)
def test_a_value_of_another_type_is_refused(dtype: DType, value: object, message: str) -> None:
    with pytest.raises(InputError) as refused:
        encode(value, dtype)
    assert message in str(refused.value)
    for column in ([value], [value, value]):
        with pytest.raises(InputError) as refused:
            columns_encoder([("k", dtype)])([column], len(column))
        assert message in str(refused.value)


@pytest.mark.parametrize("dtype", [Float64, Decimal(5, 2), List(Int64)])
def test_a_type_that_is_no_key_is_refused(dtype: DType) -> None:
    with pytest.raises(InputError, match=r"Join key 'k' cannot be .*: floats, decimals and lists are no keys"):
        key_encoder([("k", dtype)])


@given(st.data(), st.lists(TYPES, min_size=1, max_size=3))
def test_keys_sort_as_their_values_and_differ_when_they_do(data: st.DataObject, dtypes: list[DType]) -> None:
    rows = data.draw(st.lists(st.tuples(*(VALUES[dtype] for dtype in dtypes)), min_size=2, max_size=8))
    encoder = key_encoder([(str(i), dtype) for i, dtype in enumerate(dtypes)])
    encoded = {row: encoder(row) for row in rows}
    for one, other in itertools.combinations(rows, 2):
        assert (_comparable(one) < _comparable(other)) == (encoded[one] < encoded[other])  # type: ignore[operator]  # no nulls
        assert (one == other) == (encoded[one] == encoded[other])


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Texts compare by their UTF-8, as DuckDB and Arrow compare them."""
    return tuple(value.encode() if isinstance(value, str) else value for value in row)


@given(st.data(), st.lists(TYPES, min_size=1, max_size=3))
def test_a_batch_has_the_keys_of_its_rows(data: st.DataObject, dtypes: list[DType]) -> None:
    rows = data.draw(st.lists(st.tuples(*(st.none() | VALUES[dtype] for dtype in dtypes)), max_size=6))
    keys = [(str(i), dtype) for i, dtype in enumerate(dtypes)]
    columns = {str(i): pa.array([row[i] for row in rows], arrow_type(dtype)) for i, dtype in enumerate(dtypes)}
    encoder = key_encoder(keys)
    assert encode_batch(pa.record_batch(columns), keys) == [encoder(row) for row in rows]
    by_column = columns_encoder(keys)
    every = [[row[i] for row in rows] for i in range(len(dtypes))]
    assert by_column(every, len(rows)) == [encoder(row) for row in rows]


def test_a_batch_may_hold_the_wider_arrow_forms_of_a_type() -> None:
    columns = {"s": pa.array(["a", None], pa.large_string()), "n": pa.array([1, 2], pa.int8())}
    encoded = encode_batch(pa.record_batch(columns), [("s", String), ("n", Int64)])
    assert encoded == [b"a\x00" + bytes.fromhex("8000000000000001"), None]
