"""What the kernel refuses, exactness at scale, and machine code that cannot be kept."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.errors import InputError, UnknownNameError
from featurestore.windows.kernel import compute
from featurestore.windows.spec import WindowEvents, WindowOverflowError, WindowPoints, WindowSpec

HERE = np.zeros(1, np.int64)
AT_TEN = WindowPoints(HERE, HERE + 10)


def events_of(*values: Any, kind: pa.DataType | None = None) -> WindowEvents:
    """Events of one group at times 0, 1, 2, ..."""
    return WindowEvents(np.zeros(len(values), np.int64), np.arange(len(values)), (pa.array(values, kind),))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), (2**63 - 1, 1)),
        (pa.int64(), (-(2**63), -1)),
        (pa.uint64(), (2**64 - 1, 1)),
        (pa.decimal128(38, 2), (Decimal("9" * 36 + ".99"), Decimal("0.01"))),
        (pa.decimal128(38, 0), (Decimal("9" * 38),) * 3),
    ],
)
def test_a_sum_that_does_not_fit_names_spec_and_point(kind: pa.DataType, values: tuple[Any, ...]) -> None:
    specs = [WindowSpec("count", 0), WindowSpec("sum", 0)]
    points = WindowPoints(np.zeros(2, np.int64), np.array([0, 10]))
    with pytest.raises(WindowOverflowError, match="does not fit its type") as caught:
        compute(specs, events_of(*values, kind=kind), points)
    assert (caught.value.spec, caught.value.point) == (1, 1)


def test_an_overflow_among_copied_events_names_the_point_that_was_asked() -> None:
    events = replace(events_of(2**63 - 1, 1, 1), created_us=np.array([0, 0, 50]))
    points = WindowPoints(np.zeros(3, np.int64), np.array([1, 1, 10]), np.array([50, 0, 0]))
    with pytest.raises(WindowOverflowError) as caught:
        compute([WindowSpec("sum", 0)], events, points)
    assert caught.value.point == 2


def test_sums_of_small_integers_are_wide() -> None:
    events = events_of(*[127] * 9, kind=pa.int8())
    assert compute([WindowSpec("sum", 0)], events, AT_TEN).values[0].to_pylist() == [1143]


def test_sums_that_overflow_on_the_way_but_not_at_the_end_are_right() -> None:
    events = events_of(2**63 - 1, 2**63 - 1, -(2**63), -(2**63), 5)
    assert compute([WindowSpec("sum", 0)], events, AT_TEN).values[0].to_pylist() == [3]


@pytest.mark.parametrize(
    ("events", "points", "message"),
    [
        (WindowEvents(np.array([1, 0]), np.array([0, 0])), AT_TEN, "events are not sorted by group and time: row 1"),
        (WindowEvents(np.array([0, 0]), np.array([1, 0])), AT_TEN, "events are not sorted by group and time: row 1"),
        (events_of(1.0), WindowPoints(HERE.repeat(2), np.array([5, 4])), "points are not sorted"),
        (WindowEvents(HERE, np.arange(2)), AT_TEN, "unequal length"),
        (WindowEvents(HERE, HERE, (pa.array([1, 2]),)), AT_TEN, "unequal length"),
        (events_of(1.0), WindowPoints(HERE, HERE - (1 << 61)), "lies further than"),
        (events_of(1.0), WindowPoints(HERE, HERE, HERE), "need the events' created times"),
        (events_of(1.0), WindowPoints(HERE, HERE.astype(np.float64)), "must be int64"),
    ],
)
def test_input_that_breaks_the_contract_is_refused(events: WindowEvents, points: WindowPoints, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compute([WindowSpec("count")], events, points)


@pytest.mark.parametrize(
    ("function", "wrong", "message"),
    [
        ("sum", {"window_us": 0}, "window must be positive"),
        ("sum", {"offset_us": -1}, "offset must not be negative"),
        ("sum", {"series": 2}, "a series needs a window"),
        ("last_n", {"n": 1, "series": 2, "window_us": 1}, "a function without lists"),
        ("sum", {"series": 0, "window_us": 1}, "'series' must be a whole number"),
        ("sum", {"series": 2, "window_us": 1 << 60}, "reaches back further"),
        ("percentile", {}, "percentile needs 'p'"),
        ("percentile", {"p": 1.1}, "'p' must be a number from 0 to 1"),
        ("first_n", {"n": 0}, "'n' must be a whole number"),
        ("sum", {"value": None}, "sum needs a column"),
    ],
)
def test_specs_without_meaning_are_refused(function: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WindowSpec(function, **{"value": 0, **wrong})


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        WindowSpec("average", 0)


def test_sums_of_many_doubles_of_all_sizes_are_correctly_rounded() -> None:
    random = np.random.default_rng(3)
    values = random.standard_normal(60_000) * 10.0 ** random.integers(-300, 300, 60_000)
    values[::7] *= -values[1::7][: values[::7].size] / np.abs(values[1::7][: values[::7].size])
    ends = np.sort(random.integers(0, values.size + 1, 200))
    window = 5_000
    events = WindowEvents(np.zeros(values.size, np.int64), np.arange(values.size), (pa.array(values),))
    specs = [WindowSpec("sum", 0, window_us=window), WindowSpec("sum", 0)]
    within, lifetime = compute(specs, events, WindowPoints(np.zeros(ends.size, np.int64), ends)).values
    for end, some, every in zip(ends.tolist(), within.to_pylist(), lifetime.to_pylist(), strict=True):
        assert (some or 0.0) == math.fsum(values[max(end - window, 0) : end])
        assert (every or 0.0) == math.fsum(values[:end])


def test_variance_of_many_amounts_is_correctly_rounded() -> None:
    values = np.round(np.random.default_rng(5).lognormal(8, 2, 20_000), 2)
    events = WindowEvents(np.zeros(values.size, np.int64), np.arange(values.size), (pa.array(values),))
    points = WindowPoints(np.zeros(2, np.int64), np.array([12_345, 20_000]))
    found = compute([WindowSpec("var_samp", 0, window_us=11_000)], events, points).values[0].to_pylist()
    for end, variance in zip((12_345, 20_000), found, strict=True):
        exact = [Fraction(x) for x in values[end - 11_000 : end].tolist()]
        squares, total, n = sum(x * x for x in exact), sum(exact), len(exact)
        assert variance == float((squares - total * total / n) / (n - 1))


def test_extremes_over_more_rising_values_than_the_stack_first_holds() -> None:
    values = np.arange(5_000, dtype=np.float64)
    events = WindowEvents(np.zeros(values.size, np.int64), np.arange(values.size), (pa.array(values),))
    ends = np.array([10, 4_000, 5_000])
    answer = compute(
        [WindowSpec("min", 0, window_us=3_000), WindowSpec("max", 0, window_us=3_000)],
        events,
        WindowPoints(np.zeros(3, np.int64), ends),
    )
    assert [values.to_pylist() for values in answer.values] == [[0, 1_000, 2_000], [9, 3_999, 4_999]]


def test_chunked_dictionary_and_sliced_columns_read_as_plain_ones() -> None:
    plain = pa.array(["x", "b", "a", None, "b"]).slice(1)
    chunked = pa.chunked_array([plain.slice(0, 2), plain.slice(2)])
    events = WindowEvents(
        np.zeros(4, np.int64), np.arange(4), (plain, chunked, plain.dictionary_encode(), plain.cast(pa.string_view()))
    )
    specs = [WindowSpec(name, column) for column in range(4) for name in ("mode", "min", "count_distinct")]
    answers = [values.to_pylist()[0] for values in compute(specs, events, AT_TEN).values]
    assert answers == ["b", "a", 2] * 4


@pytest.mark.parametrize("kept", [True, False])
def test_machine_code_is_kept_where_told_or_made_anew_where_nothing_can_be_written(tmp_path: Path, kept: bool) -> None:
    program = (
        "import numpy as np\nfrom featurestore.windows.kernel import compute\nfrom featurestore.windows.spec import *\n"
        "zero = np.zeros(1, np.int64)\n"
        "answer = compute([WindowSpec('count')], WindowEvents(zero, zero), WindowPoints(zero, zero + 1))\n"
        "print(answer.values[0].to_pylist())"
    )
    blocked = tmp_path / "a file, so no directory"
    blocked.touch()
    directory = tmp_path / "code" if kept else blocked
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(directory),
        "XDG_CACHE_HOME": str(blocked),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[1]", "")
    assert any(directory.rglob("*.nbc")) == kept
