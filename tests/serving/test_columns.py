"""Columns as JSON are what `to_json` says of each value, and come back as they were."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as PyDecimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.dtypes import (
    Bytes,
    Date,
    Decimal,
    DType,
    Float64,
    Int64,
    List,
    String,
    Timestamp,
    UInt64,
    Value,
    Vector,
    to_json,
)
from featurestore.errors import InputError
from featurestore.testing.strategies import dtypes, values
from featurestore.timeline import instant_us, to_datetime
from serving.columns import TableEncoder, column_decoder, encode, encode_instants, instants_and_ages
from serving.exchange import JsonValue


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[DType, list[Value]]]:
    """Up to four columns of any types and one length, with nulls; some are long, of the same few values."""
    rows, repeated = draw(st.integers(0, 3)), draw(st.sampled_from([1, 1, 1, 200]))
    columns = []
    for dtype in draw(st.lists(dtypes(), max_size=4)):
        item = st.one_of(st.none(), values(dtype).map(partial(_python, dtype)))
        columns.append((dtype, draw(st.lists(item, min_size=rows, max_size=rows)) * repeated))
    return columns


def _python(dtype: DType, value: Any) -> Value:
    if isinstance(dtype, List):
        return [None if item is None else _python(dtype.inner, item) for item in value]
    return to_datetime(value) if dtype.name == "Timestamp" else value


@given(tables())
def test_columns_are_written_as_to_json_has_each_value(table: list[tuple[DType, list[Value]]]) -> None:
    written, nullable = TableEncoder([dtype for dtype, _ in table]).encode([column for _, column in table])
    assert len(written) == len(table)
    for i, (text, (_, column)) in enumerate(zip(written, table, strict=True)):
        assert json.loads(b"[%s]" % text) == [to_json(value) for value in column]
        assert None not in column or (nullable is not None and nullable[i])


@given(tables())
def test_columns_come_back_as_they_were(table: list[tuple[DType, list[Value]]]) -> None:
    written, _ = TableEncoder([dtype for dtype, _ in table]).encode([column for _, column in table])
    for text, (dtype, column) in zip(written, table, strict=True):
        assert repr(list(column_decoder(dtype, "Column 'c'")(json.loads(b"[%s]" % text)))) == repr(column)


EDGES = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2024, 1, 2, 3, tzinfo=UTC)]
ANY_INSTANT = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(EDGES)


@given(st.lists(st.none() | ANY_INSTANT, min_size=1) | st.lists(ANY_INSTANT, min_size=1), ANY_INSTANT)
def test_instants_are_written_in_utc_with_their_ages(instants: list[datetime | None], at: datetime) -> None:
    times = [None if instant is None else instant_us(instant, "it") for instant in instants]
    written, ages = encode_instants(times, instant_us(at, "at"))
    texts = [None if instant is None else instant.isoformat().replace("+00:00", "Z") for instant in instants]
    assert json.loads(b"[%s]" % written) == texts
    for age, instant in zip(json.loads(b"[%s]" % ages), instants, strict=True):
        exact = None if instant is None else (at - instant) / timedelta(seconds=1)
        assert age == exact if exact is None else age == pytest.approx(exact, rel=1e-15)  # as exact as a double is
    few, their_ages = instants_and_ages(times, instant_us(at, "at"))
    assert (encode(few), encode(their_ages)) == (b"[%s]" % written, b"[%s]" % ages)


NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        (Int64, 2**53, "9007199254740992"),
        (Int64, 2**53 + 1, '"9007199254740993"'),
        (Int64, -(2**63), '"-9223372036854775808"'),
        (UInt64, 2**64 - 1, '"18446744073709551615"'),
        (List(Int64), [1, 2**60], '[1,"1152921504606846976"]'),
        (Float64, math.nan, '"NaN"'),
        (Float64, -math.inf, '"-Infinity"'),
        (Float64, 0.1, "0.1"),
        (Vector(Float64, 2), [1.5, math.inf], '[1.5,"Infinity"]'),
        (String, 'null],["', '"null],[\\""'),
        (Bytes, b"\x00\xff", '"AP8="'),
        (Date, date(2024, 1, 2), '"2024-01-02"'),
        (Timestamp, NOON, '"2024-01-02T12:00:00Z"'),
        (Timestamp, NOON.replace(microsecond=5), '"2024-01-02T12:00:00.000005Z"'),
        (Decimal(4, 2), PyDecimal("1.50"), '"1.50"'),
    ],
)
def test_each_type_has_its_form(dtype: DType, value: Value, text: str) -> None:
    assert TableEncoder([dtype, Int64]).encode([[value], [1]])[0] == [text.encode(), b"1"]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(Int64, 1.5), (Int64, True), (Int64, "1.5"), (Int64, "1_000"), (Int64, " 1"), (Int64, "\u0661"), (Float64, "x"),
     (Float64, "1_0.5"), (String, 1), (Bytes, "#"), (Date, "2024-13-01"), (Timestamp, "2024-01-02T12:00:00"),
     (Timestamp, "2024-01-02T12:00:00.1234567Z"), (Timestamp, "2024-01-02T12:00:00.000000001+01:00"),
     (List(Int64), 1)],
)  # fmt: skip
def test_a_value_of_another_form_is_refused(dtype: DType, value: JsonValue) -> None:
    with pytest.raises(InputError, match="in JSON form"):
        column_decoder(dtype, "Column 'c'")([value])


def test_an_instant_may_have_zeros_beyond_its_microseconds() -> None:
    texts = ["2024-01-02T12:00:00.123456000Z", "2024-01-02T13:00:00.1234560+01:00", "2024-01-02T12:00:00.123456Z"]
    assert set(column_decoder(Timestamp, "it")(list(texts))) == {datetime(2024, 1, 2, 12, 0, 0, 123_456, UTC)}


def test_a_value_of_another_form_is_told_with_its_place_as_json_has_it() -> None:
    with pytest.raises(InputError) as told:
        column_decoder(Timestamp, "Join key 'seen'")(["2024-01-02T12:00:00Z", True])
    assert str(told.value) == (
        "Join key 'seen', row 1: true is no Timestamp in JSON form, such as \"2024-01-02T12:00:00Z\", with its zone "
        "and no finer than microseconds."
    )
