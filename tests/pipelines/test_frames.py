"""What a model is asked with: the same frame from a lookup's Python values as from history's columns."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from featurestore.arrow import polars_type
from featurestore.dtypes import parse
from featurestore.errors import InputError
from pipelines.frames import model_frame, online_frame

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Float64": st.floats(),
    "Float32": st.floats(width=32),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int8": st.integers(-128, 127),
    "Bool": st.booleans(),
    "String": st.text(),
    "Decimal(9, 2)": st.decimals(-1000, 1000, places=2),
}
FEW, MANY = 3, 40  # rows, made in two ways


@st.composite
def columns(draw: st.DrawFn) -> tuple[tuple[tuple[str, str], ...], dict[str, list[Any]]]:
    """The inputs of a model, and a column of values and nulls for each."""
    dtypes = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    inputs = tuple((f"x{i}", dtype) for i, dtype in enumerate(dtypes))
    rows = draw(st.integers(1, FEW))
    return inputs, {name: [draw(st.none() | VALUES[dtype]) for _ in range(rows)] for name, dtype in inputs}


@given(columns())
def test_a_lookup_and_history_give_a_model_the_same_frame_of_few_rows_and_of_many(
    made: tuple[tuple[tuple[str, str], ...], dict[str, list[Any]]],
) -> None:
    inputs, values = made
    for times in (1, MANY):
        asked = {name: column * times for name, column in values.items()}
        typed = pl.DataFrame([pl.Series(name, asked[name], polars_type(parse(dtype))) for name, dtype in inputs])
        assert_frame_equal(online_frame(inputs)(asked), model_frame(typed, inputs), check_exact=True)


@pytest.mark.parametrize("times", [1, MANY])
@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [("Float64", "1"), ("Int64", 0.5), ("Int64", 2**63), ("UInt8", -1), ("Bool", 2), ("String", 1), ("Int32", "1")],
)
def test_a_value_of_another_type_is_refused_in_a_sentence(dtype: str, wrong: object, times: int) -> None:
    with pytest.raises(InputError, match="An input of the model is not of its type"):
        online_frame((("x", dtype),))({"x": [wrong] * times})


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputError, match="The input 'x' of the model is missing"):
        online_frame((("x", "Int64"),))({"y": [1]})


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError):
        online_frame((("x", "Int64"), ("y", "Int64")))({"x": [1, 2], "y": [1]})


def test_a_number_is_rounded_to_a_float32_as_history_has_it() -> None:
    inputs = (("x", "Float32"),)
    (given,) = online_frame(inputs)({"x": [0.1]})["x"].to_list()
    assert given == 0.10000000149011612  # the float32 nearest to a tenth
