"""What each aggregate function makes of the events in a window."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as PyDecimal
from typing import Any

import pyarrow as pa
import pytest

from featurestore.arrow import arrow_type
from featurestore.definitions.functions import FUNCTIONS
from featurestore.dtypes import (
    Bool,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int8,
    Int64,
    List,
    String,
    Timestamp,
    UInt64,
)
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError
from featurestore.testing.engines.suite import EngineSuite, history, spine_of
from featurestore.testing.engines.tables import (
    Layout,
    array,
    assert_same,
    corrected_table,
    view_table,
)
from featurestore.testing.engines.windows import aggregate, at, windows_of

NAN, INF = float("nan"), float("inf")
_MOST = 2**63 - 1
_DUSK = 253_402_300_799_999_999
Money = Decimal(10, 2)
_PARAMETERS: dict[str, Any] = {"n": 2, "p": 0.5}

# function, type of the column, its values in the order of their times, parameters, value
Example = tuple[str, DType, list[Any], dict[str, Any], Any]
_EXAMPLES: tuple[Example, ...] = (
    ("count", Int64, [1, None, 1], {}, 2),
    ("count", List(Int64), [[1], None, [], [None]], {}, 3),
    ("count_distinct", Int64, [1, None, 2, 1], {}, 2),
    ("count_distinct", Float64, [NAN, 0.0, -0.0, NAN, 1.0], {}, 3),
    ("count_distinct", String, ["a", "A", "a", ""], {}, 3),
    ("approx_count_distinct", Int64, list(range(100)) * 2, {}, 100),
    ("sum", Int64, [1, None, 2], {}, 3),
    ("sum", Int64, [_MOST, 1, -1], {}, _MOST),
    ("sum", Int8, [127, 127], {}, 254),
    ("sum", UInt64, [2**63, 2**63 - 1], {}, 2**64 - 1),
    ("sum", Bool, [True, False, True], {}, 2),
    ("sum", Money, [PyDecimal("0.10")] * 3, {}, PyDecimal("0.30")),
    ("sum", Float64, [0.1] * 10, {}, 1.0),
    ("sum", Float64, [1e16, 1.0, -1e16], {}, 1.0),
    ("sum", Float64, [1e308, 1e308, -1e308], {}, 1e308),
    ("sum", Float64, [1e308, 1e308], {}, INF),
    ("sum", Float64, [-0.0], {}, 0.0),
    ("sum", Float64, [1.0, NAN], {}, NAN),
    ("sum", Float64, [INF, -INF], {}, NAN),
    ("sum", Float32, [0.5, 0.25], {}, 0.75),
    ("mean", Int64, [1, 2], {}, 1.5),
    ("mean", Int64, [_MOST, _MOST], {}, 2.0**63),
    ("mean", Float64, [1e308, 1e308], {}, 1e308),
    ("mean", Money, [PyDecimal("0.10"), PyDecimal("0.20")], {}, 0.15),
    ("mean", Bool, [True, False, False, False], {}, 0.25),
    ("min", Float64, [NAN, 1.0], {}, 1.0),
    ("min", Float64, [0.0, -0.0], {}, 0.0),
    ("max", Float64, [NAN, INF], {}, NAN),
    ("min", Float64, [NAN, NAN], {}, NAN),
    ("min", Int64, [2, None, -(2**63)], {}, -(2**63)),
    ("max", UInt64, [1, 2**64 - 1], {}, 2**64 - 1),
    ("min", String, ["b", "é", "B", "ba"], {}, "B"),
    ("max", String, ["b", "é", "B", "\U0001f600", "￿"], {}, "\U0001f600"),
    ("max", Date, [date(1969, 12, 31), date(1, 1, 1)], {}, date(1969, 12, 31)),
    ("min", Timestamp, [0, -1, _DUSK], {}, -1),
    ("max", Money, [PyDecimal("-9.99"), PyDecimal("-10.00")], {}, PyDecimal("-9.99")),
    ("min", Bool, [True, False], {}, False),
    ("var_samp", Int64, [1, 2, 3, 4], {}, 5 / 3),
    ("var_samp", Int64, [1], {}, None),
    ("var_pop", Int64, [1, 2, 3, 4], {}, 1.25),
    ("var_pop", Int64, [7], {}, 0.0),
    ("var_pop", Float64, [1e16, 1e16 + 2], {}, 1.0),
    ("var_pop", Float64, [1.0, NAN], {}, NAN),
    ("stddev_samp", Int64, [1, 3], {}, 2**0.5),
    ("stddev_samp", Int64, [1, None], {}, None),
    ("stddev_pop", Int64, [2, 4, 4, 4, 5, 5, 7, 9], {}, 2.0),
    ("stddev_pop", Float64, [1.0, INF], {}, NAN),
    ("skew", Int64, [1, 2, 3], {}, 0.0),
    ("skew", Int64, [0, 0, 3], {}, 3**0.5),
    ("skew", Int64, [0, 3, 3], {}, -(3**0.5)),
    ("skew", Int64, [1, 2], {}, None),
    ("skew", Float64, [0.1, 0.1, 0.1], {}, None),
    ("first", Int64, [None, 2, 3], {}, 2),
    ("last", Int64, [1, 2, None], {}, 2),
    ("last", Timestamp, [1, _DUSK], {}, _DUSK),
    ("first_n", Int64, [None, 3, 1, 2], {"n": 2}, [3, 1]),
    ("first_n", Int64, [3], {"n": 2}, [3]),
    ("last_n", String, ["a", "b", None, "c"], {"n": 2}, ["b", "c"]),
    ("last_n", Timestamp, [1, 2, 3], {"n": 2}, [2, 3]),
    ("last_distinct_n", String, ["a", "b", "a", "c"], {"n": 2}, ["a", "c"]),
    ("last_distinct_n", Int64, [1, 2, 2, None, 1], {"n": 3}, [2, 1]),
    ("last_distinct_n", Float64, [0.0, NAN, -0.0, NAN], {"n": 3}, [0.0, NAN]),
    ("median", Int64, [4, 1, 3, 2], {}, 2.5),
    ("median", Int64, [3, 1, 2], {}, 2.0),
    ("median", Float64, [NAN, 1.0, 2.0], {}, 2.0),
    ("percentile", Int64, [30, 10, 20], {"p": 0.9}, 28.0),
    ("percentile", Int64, [30, 10, 20], {"p": 0.0}, 10.0),
    ("percentile", Int64, [30, 10, 20], {"p": 1.0}, 30.0),
    ("percentile", Money, [PyDecimal("0.10"), PyDecimal("0.20")], {"p": 0.5}, 0.15),
    ("percentile", Int64, [_MOST, _MOST - 1], {"p": 0.5}, 2.0**63),
    ("percentile", Float64, [1.0, NAN], {"p": 0.0}, 1.0),
    ("percentile", Float64, [1.0, NAN], {"p": 0.5}, NAN),
    ("approx_percentile", Int64, list(range(101)), {"p": 0.37}, 37.0),
    ("mode", Int64, [3, 1, 3, 2, None, None, None], {}, 3),
    ("mode", String, ["b", "a", "c", "b", "a"], {}, "a"),
    ("mode", Float64, [1.0, NAN, NAN], {}, NAN),
    ("mode", Float64, [NAN, 1.0], {}, 1.0),
    ("any", Bool, [False, None, True], {}, True),
    ("any", Bool, [False, None], {}, False),
    ("all", Bool, [True, None, True], {}, True),
    ("all", Bool, [True, False], {}, False),
)  # fmt: skip


def _taken(function: str) -> DType:
    return Bool if function in ("any", "all") else Int64


def _parameters(function: str) -> dict[str, Any]:
    return {name: _PARAMETERS[name] for name in FUNCTIONS[function].requires}


class WindowFunctionRules(EngineSuite):
    """Nulls are skipped, NaN is the greatest value, -0.0 is 0.0, sums are exact."""

    @pytest.mark.parametrize(
        "example", _EXAMPLES, ids=[f"{name}-{dtype}-{place}" for place, (name, dtype, *_) in enumerate(_EXAMPLES)]
    )
    def test_the_value_of_a_window(self, engine: OfflineEngine, layout: Layout, example: Example) -> None:
        """An event on each side of the window would show if it were counted."""
        function, dtype, values, parameters, expected = example
        told = [("a", time, value) for time, value in enumerate(values)]
        others = [("a", -1, values[0]), ("a", len(values), values[0])]
        rows = layout(view_table(*told, *others, dtype=dtype))
        asked = aggregate(function, len(values), dtype, **parameters)
        found = history(engine, spine_of(at("a", len(values))), windows_of(rows, asked))
        assert_same(found.select(["y"]), pa.table({"y": array([expected], asked.dtype)}))

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_without_values_every_function_but_counts_is_null(
        self, engine: OfflineEngine, layout: Layout, function: str
    ) -> None:
        dtype = _taken(function)
        asked = aggregate(function, 5, dtype, **_parameters(function))
        rows = layout(view_table(("a", 10, None), ("a", 11, None), dtype=dtype))
        found = history(engine, spine_of([("a", 12), ("a", 99), ("b", 12)]), windows_of(rows, asked))
        empty = FUNCTIONS[function].empty
        assert_same(found.select(["y"]), pa.table({"y": array([empty, empty, None], asked.dtype)}))

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_an_empty_view_answers_in_the_type_of_the_function(
        self, engine: OfflineEngine, layout: Layout, function: str
    ) -> None:
        asked = aggregate(function, 5, _taken(function), **_parameters(function))
        found = history(engine, spine_of(at("a", 10)), windows_of(layout(view_table(dtype=_taken(function))), asked))
        assert_same(found.select(["y"]), pa.table({"y": pa.nulls(1, arrow_type(asked.dtype))}))

    def test_a_series_holds_the_last_windows_oldest_first(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 4, 1), ("a", 5, 2), ("a", 9, 4), ("a", 15, 8)))
        sums, counts = aggregate("sum", 5, series=3), aggregate("count", 5, None, series=3, offset_us=1, name="z")
        found = history(engine, spine_of([("a", 15), ("a", 16), ("a", 99), ("b", 15)]), windows_of(rows, sums, counts))
        assert found.column("y").to_pylist() == [[1, 6, None], [3, 4, 8], [None, None, None], None]
        assert found.column("z").to_pylist() == [[0, 2, 1], [1, 2, 0], [0, 0, 0], None]

    @pytest.mark.parametrize(
        ("dtype", "values"),
        [(Int64, [_MOST, 1]), (UInt64, [2**64 - 1, 1]), (Decimal(38, 0), [PyDecimal("9" * 38), PyDecimal(1)])],
        ids=["Int64", "UInt64", "Decimal"],
    )
    def test_a_sum_that_overflows_is_an_error(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, values: list[object]
    ) -> None:
        rows = layout(view_table(*(("a", 10, value) for value in values), dtype=dtype))
        with pytest.raises(InputError, match="sum overflows"):
            history(engine, spine_of(at("a", 11)), windows_of(rows, aggregate("sum", 5, dtype)))

    def test_a_sum_that_overflows_in_no_asked_window_is_no_error(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, _MOST), ("a", 12, _MOST), ("b", 10, _MOST), ("b", 10, 1)))
        found = history(engine, spine_of(at("a", 11, 13)), windows_of(rows, aggregate("sum", 2)))
        assert found.column("y").to_pylist() == [_MOST, _MOST]

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
    def test_ties_of_first_and_last_go_by_created_time_then_value(
        self, engine: OfflineEngine, layout: Layout, order: tuple[int, ...]
    ) -> None:
        told = [("a", 10, None, 9), ("a", 10, 12, 1), ("a", 10, 12, 3), ("a", 10, 11, 5)]
        rows = layout(corrected_table(*(told[place] for place in order)))
        fields: list[tuple[str, dict[str, Any]]] = [
            ("first", {}),
            ("last", {}),
            ("first_n", {"n": 3}),
            ("last_n", {"n": 3}),
            ("last_distinct_n", {"n": 4}),
        ]
        asked = [aggregate(name, 5, name=name, **params) for name, params in fields]
        found = history(engine, spine_of(at("a", 11)), windows_of(rows, *asked)).select([name for name, _ in fields])
        expected = {"first": 9, "last": 3, "first_n": [9, 5, 1], "last_n": [5, 1, 3], "last_distinct_n": [9, 5, 1, 3]}
        assert found.to_pylist() == [expected]

    def test_a_null_created_time_is_before_one_before_1970(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(corrected_table(("a", 10, None, 2), ("a", 10, -(10**15), 1)))
        found = history(engine, spine_of(at("a", 11)), windows_of(rows, aggregate("last", 5)))
        assert found.column("y").to_pylist() == [1]

    def test_without_created_times_ties_go_by_value(self, engine: OfflineEngine, layout: Layout) -> None:
        rows = layout(view_table(("a", 10, 2), ("a", 10, 3), ("a", 10, 1)))
        first, last = aggregate("first", 5, name="first"), aggregate("last", 5, name="last")
        found = history(engine, spine_of(at("a", 11)), windows_of(rows, first, last))
        assert (found.column("first").to_pylist(), found.column("last").to_pylist()) == ([1], [3])
