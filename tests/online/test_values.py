"""Records: what goes in comes out, stamps sort as times do, rows of one key become steps of one record."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any

import pyarrow as pa
import pytest

from featurestore import dtypes
from featurestore.arrow import arrow_type
from featurestore.dtypes import Decimal, DType, Float32, Float64, Int64, List, String, Vector
from featurestore.errors import InputError
from featurestore.online.keys import key_encoder
from featurestore.online.values import Publication, pack_record, pack_records, stamp, unpack_record
from featurestore.plan.nodes import Column
from featurestore.timeline import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP

USER = Column("user", Int64)
key_of = key_encoder([("user", Int64)])
INSTANT = pa.timestamp("us", tz="UTC")


def batch(rows: Sequence[tuple[int | None, int | None, int | None, Any]], dtype: DType = Int64) -> pa.RecordBatch:
    users, events, created, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.record_batch(
        {
            "user": pa.array(users, pa.int64()),
            EVENT_TIMESTAMP: pa.array(events, INSTANT),
            CREATED_TIMESTAMP: pa.array(created, INSTANT),
            "value": pa.array(values, arrow_type(dtype)),
        }
    )


def packed(*batches: pa.RecordBatch, dtype: DType = Int64) -> list[tuple[bytes, bytes]]:
    return list(pack_records(batches, [USER], [Column("value", dtype)]))


def test_stamps_sort_by_event_time_then_created_time_with_null_lowest() -> None:
    times = [(-(2**62), None), (-1, 5), (0, None), (0, -7), (0, 7), (1, None), (1, -7), (2**62, 0)]
    stamps = [stamp(*time) for time in [(None, None), *times]]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == len(stamps)
    assert {len(each) for each in stamps} == {16}


def test_a_marker_is_a_step_without_values() -> None:
    rows = batch([(1, 10, 11, 7), (1, 10, 12, 8), (1, 20, None, None)])
    marked = rows.append_column(DELETED, pa.array([False, True, False]))
    [(_, record)] = pack_records([marked], [USER], [Column("value", Int64)])
    assert unpack_record(record) == [[10, 11, 7], [10, 12], [20, None, None]]
    [(_, record)] = pack_records([marked.slice(0, 2)], [USER], [Column("value", Int64)])
    assert record == pack_record([[10, 11, 7], [10, 12]])
    assert record[:16] == stamp(10, 12)


def test_rows_of_one_key_become_the_steps_of_one_record() -> None:
    records = packed(batch([(1, 10, None, 7), (1, 20, 21, None), (2, 5, 6, 8)]))
    assert [key for key, _ in records] == [key_of([1]), key_of([2])]
    first, second = (record for _, record in records)
    assert unpack_record(first) == [[10, None, 7], [20, 21, None]]
    assert first[:16] == stamp(20, 21)
    assert unpack_record(second) == [[5, 6, 8]]
    assert second == pack_record([[5, 6, 8]])
    assert first == pack_record([[10, None, 7], [20, 21, None]])


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_rows_of_one_key_may_cross_batches(cut: int) -> None:
    rows = [
        (1, 10, None, 7), (2, 10, None, 8), (2, 20, None, 9), (2, 30, None, 10)
    ]  # fmt: skip
    assert packed(batch(rows[:cut]), batch([]), batch(rows[cut:])) == packed(batch(rows))


def test_no_rows_make_no_records() -> None:
    assert packed() == []
    assert packed(batch([])) == []


def test_a_timeless_row_has_no_times() -> None:
    rows = pa.record_batch(
        {"user": [1], EVENT_TIMESTAMP: pa.nulls(1), CREATED_TIMESTAMP: pa.nulls(1, INSTANT), "value": [5]}
    )
    assert packed(rows) == [(key_of([1]), bytes(16) + pack_record([[None, None, 5]])[16:])]


def test_a_global_view_has_the_empty_key() -> None:
    rows = batch([(1, 10, None, 7)])
    assert list(pack_records([rows], [], [Column("value", Int64)])) == [(b"", pack_record([[10, None, 7]]))]


def test_a_null_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"null in its key \(user\)"):
        packed(batch([(1, 10, None, 7), (None, 10, None, 7)]))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (dtypes.Int64, [2**63 - 1, -(2**63), 2**53 + 1, 0]),
        (dtypes.UInt64, [2**64 - 1, 0]),
        (dtypes.Int8, [-128, 127]),
        (Float64, [0.1, -0.0, math.inf, -math.inf, 5e-324]),
        (Float32, [0.5, -0.0, math.inf]),
        (dtypes.Bool, [True, False]),
        (String, ["", "é漢\x00", "NaN"]),
        (dtypes.Bytes, [b"", b"\x00\xff"]),
        (dtypes.Date, [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)]),
        (dtypes.Timestamp, [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(9999, 12, 31, tzinfo=UTC)]),
        (Decimal(10, 2), [PyDecimal("-12345678.90"), PyDecimal("0.00")]),
        (Decimal(38, 0), [PyDecimal(10**38 - 1)]),
        (List(Int64), [[], [1, None, 2**62]]),
        (List(String), [["", None, "é"]]),
        (List(dtypes.Timestamp), [[datetime(1950, 1, 1, 0, 0, 0, 1, UTC), None]]),
        (List(Decimal(4, 1)), [[PyDecimal("1.5"), None]]),
        (Vector(Float64, 2), [[0.1, math.inf]]),
        (Vector(Float32, 1), [[0.5]]),
    ],
    ids=lambda each: str(each) if isinstance(each, DType) else "",
)
def test_a_value_of_each_type_comes_back(dtype: DType, values: list[Any]) -> None:
    records = packed(batch([(i, 1, None, value) for i, value in enumerate([*values, None])], dtype), dtype=dtype)
    decode = dtypes.wire_decoder(dtype) or (lambda value: value)
    wired = [unpack_record(record)[0][2] for _, record in records]
    assert [None if value is None else decode(value) for value in wired] == [*values, None]
    signs = [math.copysign(1, value) for value in values if isinstance(value, float)]
    assert signs == [math.copysign(1, value) for value in wired if isinstance(value, float)]


def test_nan_comes_back_as_nan_and_not_as_null() -> None:
    [(_, record)] = packed(batch([(1, 1, None, math.nan)], Float64), dtype=Float64)
    [[_, _, value]] = unpack_record(record)
    assert isinstance(value, float)
    assert math.isnan(value)


def test_many_rows_keep_their_order() -> None:
    rows = [(user, event, None, user * event) for user, event in itertools.product(range(300), range(3))]
    records = packed(*(batch(rows[i : i + 7]) for i in range(0, len(rows), 7)))
    assert [unpack_record(record) for _, record in records] == [
        [[event, None, user * event] for event in range(3)] for user in range(300)
    ]


def test_a_publication_comes_back() -> None:
    publication = Publication(published_us=2**60, version=7, watermark_us=-5)
    assert Publication.unpack(publication.pack()) == publication
    timeless = Publication(published_us=-(2**63), version=0)
    assert Publication.unpack(timeless.pack()) == timeless
