"""What each function takes, returns and refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest

from featurestore.definitions.functions import FUNCTIONS, Parameter, faults, get, result_type
from featurestore.dtypes import DType, parse
from featurestore.errors import UnknownNameError


def test_the_table_names_every_function_of_the_contract() -> None:
    names = (
        "count count_distinct approx_count_distinct sum mean min max stddev_samp stddev_pop var_samp var_pop first "
        "last last_n last_distinct_n first_n median percentile approx_percentile mode any all skew ratio"
    )
    assert set(FUNCTIONS) == set(names.split())


@pytest.mark.parametrize(
    ("function", "takes", "returns"),
    [
        ("count", "String", "Int64"),
        ("count", "List(Int64)", "Int64"),
        ("sum", "Int8", "Int64"),
        ("sum", "Bool", "Int64"),
        ("sum", "UInt16", "UInt64"),
        ("sum", "Float32", "Float64"),
        ("sum", "Decimal(10, 2)", "Decimal(38, 2)"),
        ("mean", "Decimal(10, 2)", "Float64"),
        ("median", "Int64", "Float64"),
        ("min", "Float32", "Float32"),
        ("mode", "Timestamp", "Timestamp"),
        ("last_n", "Decimal(10, 2)", "List(Decimal(10, 2))"),
        ("any", "Bool", "Bool"),
    ],
)
def test_result_types(function: str, takes: str, returns: str) -> None:
    assert str(result_type(function, parse(takes))) == returns


def test_a_series_is_a_list_of_the_result() -> None:
    assert str(result_type("sum", parse("Int8"), {"series": 4})) == "List(Int64)"
    assert str(result_type("count", None, {"series": 4})) == "List(Int64)"
    assert str(result_type("ratio", None)) == "Float64"


@pytest.mark.parametrize(
    ("function", "dtype", "params", "fault"),
    [
        ("sum", "String", {}, "sum does not take String. It takes Bool, Decimal, Float32, "),
        ("sum", None, {}, "sum needs a column, not '*'. It takes Bool, "),
        ("min", "List(Int64)", {}, "min does not take List(Int64). It takes "),
        ("any", "Int64", {}, "any does not take Int64. It takes Bool."),
        ("last_n", "Int64", {}, "last_n needs the parameter 'n'."),
        ("last_n", "Int64", {"n": 0}, "last_n: 'n' must be a whole number from 1 to 10000, got 0."),
        ("last_n", "Int64", {"n": True}, "last_n: 'n' must be a whole number from 1 to 10000, got True."),
        ("last_n", "Int64", {"n": 1, "series": 2}, "last_n has no parameter 'series'. Parameters: n."),
        ("mean", "Int64", {"p": 0.5}, "mean has no parameter 'p'. Parameters: series."),
        ("percentile", "Int64", {}, "percentile needs the parameter 'p'."),
        ("percentile", "Int64", {"p": 1.5}, "percentile: 'p' must be a number from 0 to 1, got 1.5."),
        ("percentile", "Int64", {"p": "x"}, "percentile: 'p' must be a number from 0 to 1, got 'x'."),
        ("percentile", "Int64", {"p": float("nan")}, "percentile: 'p' must be a number from 0 to 1, got nan."),
        ("percentile", "Int64", {"p": 1 / 3}, "percentile: 'p' must have at most 9 decimals, got 0.3333333333333333."),
        ("ratio", None, {"of": " "}, "ratio: 'of' must be an SQL condition, got ' '."),
    ],
)
def test_wrong_uses_are_named_in_one_sentence(
    function: str, dtype: str | None, params: dict[str, Parameter], fault: str
) -> None:
    (found,) = faults(function, parse(dtype) if dtype else None, params)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("function", "dtype", "params"),
    [
        ("count", None, {}),
        ("count", "Vector(Float32, 3)", {}),
        ("percentile", "Decimal(10, 2)", {"p": 0.999999999}),
        ("percentile", "Int64", {"p": 1}),
        ("ratio", None, {"of": "delay IS NOT NULL", "series": 2}),
        ("ratio", "String", {}),
    ],
)
def test_right_uses_have_no_fault(function: str, dtype: str | None, params: dict[str, Parameter]) -> None:
    assert faults(function, parse(dtype) if dtype else None, params) == ()


def test_all_faults_of_a_use_are_found_at_once() -> None:
    kind: DType = parse("String")
    assert len(faults("percentile", kind, {"p": 2, "q": 1, "series": 3}, lifetime=True)) == 4


def test_a_misspelt_function_is_answered_with_close_names() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no aggregate function 'averge'") as caught:
        get("averge")
    assert "mean" in caught.value.available


def test_the_table_loads_without_numba_pyarrow_and_numpy() -> None:
    program = (
        "import sys, featurestore.definitions.functions, featurestore.windows.spec;"
        "print([name for name in ('numba', 'pyarrow', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
