"""Request-time features: the same values from a training set and from one request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest

from featurestore.dtypes import Bool, Date, DType, Float32, Float64, Int8, Int64, List, String, Timestamp
from featurestore.errors import InputError, UnknownNameError
from featurestore.on_demand import evaluate, expression_text, function_reference, without_unread
from featurestore.plan.on_demand import Expressions, Function, OnDemandStep
from tests.on_demand import functions


def expressions(**features: tuple[pl.Expr, DType]) -> OnDemandStep:
    """A view 'trip' over inputs x (wide column `origin__x`, Float64), n (Int64) and s (String)."""
    return OnDemandStep(
        "trip",
        inputs=(("x", "origin__x", Float64), ("n", "n", Int64), ("s", "s", String)),
        outputs=tuple((name, f"trip__{name}", dtype) for name, (_, dtype) in features.items()),
        computation=Expressions(tuple((name, expression_text(each)) for name, (each, _) in features.items())),
    )


def function(each: Callable[..., object], dtype: DType = Float64) -> OnDemandStep:
    return OnDemandStep(
        "trip", (("x", "x", Float64),), (("twice", "twice", dtype),), Function(*function_reference(each))
    )


FRAME = pl.DataFrame({"origin__x": [1.5, None, float("nan")], "n": [16, 20, None], "s": ["a", None, "ab"]})
X, N, S = pl.col("x"), pl.col("n"), pl.col("s")


def test_outputs_are_added_under_their_result_names_in_their_types() -> None:
    step = expressions(rush=(N.is_between(16, 19), Bool), sum=(X + N, Float64), size=(S.str.len_chars(), Int64))
    result = evaluate([step], FRAME)
    assert result.columns == ["origin__x", "n", "s", "trip__rush", "trip__sum", "trip__size"]
    assert result["trip__rush"].to_list() == [True, False, None]
    assert result["trip__sum"].to_list()[:2] == [17.5, None]
    assert result["trip__size"].to_list() == [1, None, 2]
    assert result["trip__size"].dtype == pl.Int64  # polars counts in UInt32
    assert result.select(FRAME.columns).equals(FRAME)


def test_a_later_step_reads_what_an_earlier_one_computed() -> None:
    first = expressions(half=(X / 2, Float64))
    second = replace(expressions(again=(X * 2, Float64)), inputs=(("x", "trip__half", Float64),))
    assert evaluate([first, second], FRAME)["trip__again"].to_list()[:2] == [1.5, None]


def test_a_frame_without_rows_gets_the_columns() -> None:
    result = evaluate([expressions(rush=(N > 3, Bool))], FRAME.clear())
    assert result.schema["trip__rush"] == pl.Boolean
    assert result.height == 0


def test_a_constant_is_repeated_for_each_row() -> None:
    step = expressions(one=(pl.lit(1), Int64))
    assert evaluate([step], FRAME)["trip__one"].to_list() == [1, 1, 1]
    without_inputs = replace(step, inputs=())
    assert evaluate([without_inputs], FRAME)["trip__one"].to_list() == [1, 1, 1]


def test_all_columns_means_all_inputs() -> None:
    step = replace(
        expressions(sum=(pl.sum_horizontal(pl.all()), Float64)), inputs=(("a", "n", Int64), ("b", "n", Int64))
    )
    assert evaluate([step], FRAME)["trip__sum"].to_list() == [32.0, 40.0, 0.0]


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        (N.is_between(16, 19), ["n"]),
        (pl.when(X > 1).then(N).otherwise(N + 1) > 16, ["x", "n"]),
        (S.str.len_chars().over(N) > 1, ["n", "s"]),
        (pl.struct("s", X).struct.field("s") == "a", ["x", "s"]),
        (pl.lit(True), []),
        (pl.sum_horizontal(pl.col("x", "n")) > 20, ["x", "n", "s"]),
        (pl.sum_horizontal(cs.float()) < N, ["x", "n", "s"]),
        (pl.any_horizontal(pl.all().is_null()), ["x", "n", "s"]),
        (pl.sum_horizontal(pl.col("^[xn]$")) > 20, ["x", "n", "s"]),
        (pl.nth(1) == N, ["x", "n", "s"]),
    ],
    ids=["n", "when", "over", "struct", "constant", "several", "selector", "all", "pattern", "place"],
)
def test_a_step_computes_the_same_without_the_inputs_that_it_does_not_read(
    expression: pl.Expr, read: list[str]
) -> None:
    step = expressions(found=(expression, Bool))
    narrow = without_unread(step)
    assert [name for name, _, _ in narrow.inputs] == read
    columns = [column for _, column, _ in narrow.inputs] or ["n"]
    assert evaluate([narrow], FRAME[columns])["trip__found"].equals(evaluate([step], FRAME)["trip__found"])


def test_a_function_is_given_all_inputs() -> None:
    assert without_unread(function(functions.double)).inputs == (("x", "x", Float64),)


def test_no_step_changes_nothing() -> None:
    assert evaluate([], FRAME) is FRAME


@pytest.mark.parametrize(
    ("values", "polars_dtype", "dtype", "expected"),
    [
        ([1, None], pl.Int32, Int64, [1, None]),
        ([1, None], pl.Int64, Float64, [1.0, None]),
        ([0.5], pl.Float64, Float32, [0.5]),
        ([None], pl.Null, String, [None]),
        (["a"], pl.Categorical, String, ["a"]),
        ([[1, 2]], pl.List(pl.Int32), List(Float64), [[1.0, 2.0]]),
        ([datetime(2024, 1, 1)], pl.Datetime("ms", "UTC"), Timestamp, [datetime(2024, 1, 1, tzinfo=UTC)]),  # noqa: DTZ001
    ],
)
def test_an_input_of_a_like_type_is_converted(
    values: list[object], polars_dtype: pl.DataType, dtype: DType, expected: list[object]
) -> None:
    step = OnDemandStep(
        "trip", (("i", "i", dtype),), (("o", "o", dtype),), Expressions((("o", expression_text(pl.col("i"))),))
    )
    assert evaluate([step], pl.DataFrame({"i": pl.Series(values, dtype=polars_dtype)}))["o"].to_list() == expected


@pytest.mark.parametrize(
    ("series", "dtype", "message"),
    [
        (pl.Series([1.5]), Int64, "The input 'i' of 'trip' must be Int64, found polars Float64; cast it."),
        (pl.Series(["1"]), Int64, "must be Int64, found polars String"),
        (pl.Series([1]), String, "must be String, found polars Int64"),
        (pl.Series([True]), Int64, "must be Int64, found polars Boolean"),
        (pl.Series([300]), Int8, "must be Int8: conversion from `i64` to `i8` failed"),
        (pl.Series([datetime(2024, 1, 1)]), Timestamp, "must be Timestamp, found polars Datetime"),  # noqa: DTZ001
        (pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]), Date, "must be Date, found polars Datetime"),
        (pl.Series([date(2024, 1, 1)]), Timestamp, "must be Timestamp, found polars Date"),
        (pl.Series([["a"]]), List(Int64), "must be List(Int64), found polars List(String)"),
    ],
)
def test_an_input_of_another_type_is_refused(series: pl.Series, dtype: DType, message: str) -> None:
    step = OnDemandStep("trip", (("i", "i", dtype),), (), Expressions(()))
    with pytest.raises(InputError) as refused:
        evaluate([step], pl.DataFrame({"i": series}))
    assert message in str(refused.value)


def test_a_missing_input_column_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no column 'origin__x' in the rows that 'trip' reads"):
        evaluate([expressions(one=(X, Float64))], FRAME.drop("origin__x"))


@pytest.mark.parametrize("expression", [X.drop_nulls(), X.head(2), X.unique()])
def test_an_expression_that_changes_the_number_of_rows_is_refused(expression: pl.Expr) -> None:
    with pytest.raises(InputError, match="Feature 'few' of 'trip' does not keep the number of rows: "):
        evaluate([expressions(one=(N, Int64), few=(expression, Float64))], pl.concat([FRAME, FRAME]))


def test_an_expression_that_fails_is_named() -> None:
    step = expressions(one=(N, Int64), day=(S.str.to_date(), Date))
    with pytest.raises(InputError) as refused:
        evaluate([step], FRAME)
    assert str(refused.value).startswith("Feature 'day' of 'trip' fails: could not find an appropriate format")
    assert "\n" not in str(refused.value)


def test_a_stored_expression_that_cannot_be_read_is_refused() -> None:
    for text in ("nonsense", '{"Nonsense": 1}'):
        step = replace(expressions(one=(N, Int64)), computation=Expressions((("one", text),)))
        with pytest.raises(InputError, match=r"cannot be read by polars .*; apply the definitions again"):
            evaluate([step], FRAME)


def test_a_named_function_computes_its_columns() -> None:
    frame = pl.DataFrame({"x": [1, None], "other": [1, 2]})
    assert evaluate([function(functions.double)], frame)["twice"].to_list() == [2.0, None]
    assert evaluate([function(functions.double)], frame).columns == ["x", "other", "twice"]


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (functions.first_only, "'trip' turned 2 rows into 1; give back one row for each row."),
        (functions.nothing, "The function of 'trip' must give back a polars DataFrame, found dict."),
        (functions.misnamed, "There is no column 'twice' in what 'trip' gave back. Available: thrice."),
        (functions.texts, "The feature 'twice' of 'trip' must be Float64, found polars String; cast it."),
        (functions.broken, "The function of 'trip' fails: ZeroDivisionError: no rows to divide by"),
    ],
)
def test_a_function_that_breaks_its_promise_is_refused(each: Callable[..., Any], message: str) -> None:
    with pytest.raises((InputError, UnknownNameError)) as refused:
        evaluate([function(each)], pl.DataFrame({"x": [1.0, 2.0]}))
    assert str(refused.value) == message


def test_a_function_whose_source_differs_is_refused() -> None:
    step = function(functions.double)
    reference = step.computation
    assert isinstance(reference, Function)
    other = replace(step, computation=replace(reference, digest="0" * 64))
    with pytest.raises(InputError, match=r"'tests.on_demand.functions.double' here is not the registered one"):
        evaluate([other], pl.DataFrame({"x": [1.0]}))


@pytest.mark.parametrize(
    "reference", [Function("tests.on_demand.gone", "double", ""), Function("tests.on_demand.functions", "gone", "")]
)
def test_a_function_that_is_gone_is_named(reference: Function) -> None:
    step = replace(function(functions.double), computation=reference)
    with pytest.raises(InputError, match=r"cannot be found here .*; install its module"):
        evaluate([step], pl.DataFrame({"x": [1.0]}))
