"""Examples a person can check, asked of the kernel and of the nested loops."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.engines.reference.windows import aggregate
from featurestore.windows.kernel import compute
from featurestore.windows.spec import WindowEvents, WindowPoints, WindowSpec

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
NAN, INF = math.nan, math.inf


@dataclass(frozen=True, slots=True)
class Question:
    """One function over the rows (time, created, value) of one entity, at one instant."""

    function: str
    rows: tuple[tuple[int, int, Any], ...]
    v: int
    window_us: int | None = None
    offset_us: int = 0
    n: int | None = None
    p: float | None = None
    series: int | None = None
    type: pa.DataType | None = None


def by_kernel(question: Question) -> Any:
    """Events are handed over by time; those of one instant in reverse."""
    rows = [*question.rows[::-1]]
    rows.sort(key=lambda row: row[0])
    events = WindowEvents(
        np.zeros(len(rows), np.int64),
        np.array([row[0] for row in rows], np.int64),
        (pa.array([row[2] for row in rows], question.type),),
        created_us=np.array([row[1] for row in rows], np.int64),
    )
    spec = WindowSpec(
        question.function,
        0,
        window_us=question.window_us,
        offset_us=question.offset_us,
        n=question.n,
        p=question.p,
        series=question.series,
    )
    points = WindowPoints(np.zeros(1, np.int64), np.array([question.v], np.int64))
    return compute([spec], events, points).values[0][0].as_py()


def by_reference(question: Question) -> Any:
    """The nested loops."""
    params = {key: getattr(question, key) for key in ("n", "p", "series") if getattr(question, key) is not None}
    return aggregate(question.function, question.rows, question.v, question.window_us, question.offset_us, params)


both = pytest.mark.parametrize("ask", [by_kernel, by_reference])
Ask = Callable[[Question], Any]


def at_times(*rows: tuple[int, Any]) -> tuple[tuple[int, int, Any], ...]:
    """Rows (time, value), all created at 0."""
    return tuple((time, 0, value) for time, value in rows)


def series_of(*values: Any) -> tuple[tuple[int, int, Any], ...]:
    """Rows at times 0, 1, 2, ..."""
    return at_times(*enumerate(values))


def day_us(month: int, day: int) -> int:
    """Midnight of a day, December in 2012 and January in 2013."""
    instant = datetime(2012 if month == 12 else 2013, month, day, tzinfo=UTC)
    return int(instant.timestamp()) * 1_000_000


@both
@pytest.mark.parametrize(
    ("day", "over_1_day", "over_7_days", "over_30_days"),
    [
        (2, None, 10, 10),
        (10, 20, 20, 30),
        (15, 30, 50, 60),
        (17, None, 30, 60),
        (31, None, None, 50),
    ],
)
def test_daily_sums_over_three_windows(
    ask: Ask, day: int, over_1_day: int | None, over_7_days: int | None, over_30_days: int | None
) -> None:
    events = at_times((day_us(12, 31), 10), (day_us(1, 9), 20), (day_us(1, 14), 30))
    sums = [ask(Question("sum", events, day_us(1, day), days * DAY_US)) for days in (1, 7, 30)]
    assert sums == [over_1_day, over_7_days, over_30_days]


@both
def test_maxima_over_ten_minutes_every_five(ask: Ask) -> None:
    events = at_times(*((minute * MINUTE_US, value) for minute, value in ((1, 100), (6, 1), (11, 2), (16, 4))))
    maxima = [ask(Question("max", events, minute * MINUTE_US, 10 * MINUTE_US)) for minute in (5, 10, 15, 20)]
    assert maxima == [100, 100, 2, 4]


@both
@pytest.mark.parametrize(("v", "count"), [(9, 0), (10, 0), (11, 1), (15, 1), (16, 0)])
def test_the_begin_of_a_window_is_in_it_and_its_end_is_not(ask: Ask, v: int, count: int) -> None:
    assert ask(Question("count", at_times((10, 1.0)), v, 5)) == count


@both
@pytest.mark.parametrize(("v", "count"), [(12, 0), (13, 1), (17, 1), (18, 0)])
def test_an_offset_moves_both_ends_back(ask: Ask, v: int, count: int) -> None:
    assert ask(Question("count", at_times((10, 1.0)), v, 5, offset_us=2)) == count


@both
def test_a_series_holds_the_last_windows_oldest_first(ask: Ask) -> None:
    events = at_times((0, 1), (4, 2), (5, 3), (10, 4), (14, 5), (15, 6))
    assert ask(Question("sum", events, 15, 5, series=3)) == [3, 3, 9]
    assert ask(Question("count", events, 15, 5, series=4)) == [0, 2, 1, 2]


@both
@pytest.mark.parametrize(
    ("function", "empty"),
    [
        ("count", 0),
        ("count_distinct", 0),
        ("sum", None),
        ("mean", None),
        ("min", None),
        ("first", None),
        ("mode", None),
    ],
)
def test_an_empty_window_counts_nothing_and_has_no_value(ask: Ask, function: str, empty: int | None) -> None:
    assert ask(Question(function, at_times((0, 1.0), (9, None)), 20, 15)) == empty


@both
@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("sum", (1.0, None, 2.0), 3.0),
        ("count", (1.0, None, NAN), 2),
        ("sum", (1.0, NAN), NAN),
        ("sum", (INF, 1.0), INF),
        ("sum", (INF, -INF), NAN),
        ("mean", (-INF, 1.0), -INF),
        ("var_pop", (INF,), NAN),
        ("min", (NAN, 3.0, -INF), -INF),
        ("max", (NAN, 3.0), NAN),
        ("min", (NAN, NAN), NAN),
        ("median", (1.0, NAN), NAN),
        ("median", (1.0, 2.0, NAN), 2.0),
        ("count_distinct", (NAN, NAN, 0.0, -0.0), 2),
        ("mode", (NAN, NAN, 1.0), NAN),
        ("sum", (1e16, 1.0, -1e16), 1.0),
        ("sum", (0.1,) * 10, 1.0),
        ("sum", (1.7976931348623157e308, 1.7976931348623157e308), INF),
        ("mean", (1.7976931348623157e308, 1.7976931348623157e308), 1.7976931348623157e308),
        ("sum", (5e-324, 5e-324), 1e-323),
        ("sum", (2.0**53, 1.0, 2.0**-60), 2.0**53 + 2),
        ("sum", (2.0**53, 1.0), 2.0**53),
        ("sum", (2.0**53 + 2, 1.0), 2.0**53 + 4),
        ("mean", (3 * 2.0**53, 3.0, 5e-324), 2.0**53 + 2),
        ("mean", (1, 2**53), 2.0**52 + 0.5),
        ("var_samp", (2.0,), None),
        ("var_pop", (2.0,), 0.0),
        ("var_samp", (1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16), 30.0),
        ("stddev_samp", (1e200, -1e200), math.sqrt(2) * 1e200),
        ("stddev_pop", (1e-200, -1e-200), 1e-200),
        ("skew", (1.0, 2.0), None),
        ("skew", (5.0, 5.0, 5.0), None),
        ("skew", (1.0, 2.0, 3.0), 0.0),
        ("skew", (0.0, 0.0, 1.0), math.sqrt(3.0)),
        ("skew", (0.0, 0.0, -1.0), -math.sqrt(3.0)),
        ("mode", (3, 1, 3, 1, 2), 1),
        ("any", (False, None, True), True),
        ("all", (True, False), False),
        ("any", (False,), False),
        ("mean", (True, False, True, True), 0.75),
        ("sum", (Decimal("0.10"), Decimal("0.20")), Decimal("0.30")),
        ("mean", (Decimal("0.10"), Decimal("0.20")), 0.15),
        ("min", ("b", "a", "é"), "a"),
        ("max", ("b", "\uffff", "\U0001f600"), "\U0001f600"),
    ],
)
def test_values_of_functions(ask: Ask, function: str, values: tuple[Any, ...], expected: Any) -> None:
    found = ask(Question(function, series_of(*values), len(values)))
    assert found == expected or (found != found and expected != expected)
    assert type(found) is type(expected)


@both
def test_negative_zero_is_zero(ask: Ask) -> None:
    for function in ("sum", "min", "max", "last", "mode", "mean"):
        assert math.copysign(1.0, ask(Question(function, series_of(-0.0, -0.0), 5))) == 1.0
    assert math.copysign(1.0, ask(Question("mean", series_of(0.0, -5e-324), 5))) == 1.0
    nearly_even = (-1e308, -1e308, 5e-324, 1e308, 1e308)
    assert math.copysign(1.0, ask(Question("skew", series_of(*nearly_even), 9))) == 1.0


@pytest.mark.parametrize("function", ["sum", "mean", "var_pop", "skew", "median", "max", "last", "mode"])
def test_every_nan_has_the_same_bits(function: str) -> None:
    odd_nan = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]
    for values in ((odd_nan,) * 3, (INF, -INF, INF, -INF)):
        found = by_kernel(Question(function, series_of(*values), 9))
        assert math.isinf(found) or struct.pack(">d", found).hex() == "7ff8000000000000"


@both
@pytest.mark.parametrize(
    ("p", "expected"), [(0, 10.0), (0.25, 17.5), (0.5, 25.0), (0.9, 37.0), (1, 40.0), (0.333333333, 19.99999999)]
)
def test_percentiles_interpolate_linearly(ask: Ask, p: float, expected: float) -> None:
    assert ask(Question("percentile", series_of(40, 10, 30, 20), 9, p=p)) == expected


@both
def test_the_decimal_that_was_written_is_the_percentile(ask: Ask) -> None:
    # 0.29 as a double lies below 0.29: 0.29 * 100 is 28.999999999999996 there, and would not hit the value 29
    assert ask(Question("percentile", series_of(*range(101)), 200, p=0.29)) == 29.0


TIED = ((5, 1, 30), (5, 2, 20), (5, 2, 10), (4, 9, 99), (7, 3, 1), (7, 3, 2), (7, 1, 50))


@both
@pytest.mark.parametrize(
    ("function", "n", "expected"),
    [
        ("first", None, 99),
        ("last", None, 2),
        ("first_n", 3, [99, 30, 10]),
        ("last_n", 4, [20, 50, 1, 2]),
        ("last_n", 100, [99, 30, 10, 20, 50, 1, 2]),
    ],
)
def test_ties_of_time_go_by_created_time_then_value(
    ask: Ask, function: str, n: int | None, expected: int | list[int]
) -> None:
    assert ask(Question(function, TIED, 8, n=n)) == expected


@both
def test_latest_distinct_values_stand_where_they_were_seen_last(ask: Ask) -> None:
    events = series_of("a", "b", "a", "c", "c", "b")
    assert ask(Question("last_distinct_n", events, 6, n=2)) == ["c", "b"]
    assert ask(Question("last_distinct_n", events, 6, n=9)) == ["a", "c", "b"]
    assert ask(Question("last_distinct_n", events, 5, 2, n=9)) == ["c"]


def test_a_ratio_counts_above_and_under_the_line() -> None:
    events = WindowEvents(
        np.zeros(4, np.int64),
        np.arange(4),
        (pa.array([20.0, 3.0, None, 16.0]),),
        (pa.array([True, False, None, True]), pa.array([True, True, False, None])),
    )
    points = WindowPoints(np.zeros(2, np.int64), np.array([0, 4]))
    specs = [
        WindowSpec("ratio", None, mask=0),
        WindowSpec("ratio", 0, mask=0),
        WindowSpec("ratio", None, mask=0, of=1),
        WindowSpec("ratio", None, of=1),
    ]
    assert [values.to_pylist() for values in compute(specs, events, points).values] == [
        [None, 0.5],
        [None, 2 / 3],
        [None, 1.0],
        [None, 2.0],
    ]
