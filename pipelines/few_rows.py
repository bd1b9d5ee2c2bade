"""What a model is given of a few rows of Python values, in a sixth of the time that polars takes to make each column.

It has the values that `pipelines.frames.model_frame` makes of the same rows of history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import c_float
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.dtypes import INTEGER_TYPES, DType

Given: TypeAlias = Sequence[Sequence[object]]  # columns
Value: TypeAlias = Callable[[object], object]

_NAN = float("nan")
_NUMBERS = (float, int)  # `float | int` would be made anew for every value, which takes four times as long


def few_rows(types: Sequence[tuple[str, DType]]) -> Callable[[Given], pl.DataFrame] | None:
    """What makes the frame of columns in the order of `types`; None when polars alone knows an input's number.

    It raises TypeError for a value that is not of its type, OverflowError for one beyond a double, ValueError for
    columns that are not equally long.
    """
    names = [name for name, _ in types]
    values = _values(types)
    if values is None:
        return None
    schema = pl.Schema({name: pl.String() if dtype.name == "String" else pl.Float64() for name, dtype in types})

    def made(given: Given) -> pl.DataFrame:
        columns = [list(map(value, column)) for value, column in zip(values, given, strict=True)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return pl.from_dicts(rows, schema=schema)

    return made


def few_numbers(types: Sequence[tuple[str, DType]]) -> Callable[[Given], npt.NDArray[np.float64]] | None:
    """What makes the array of shape [rows, inputs] of the same columns, and raises the same; None beside for text."""
    values = _values(types)
    if values is None or any(dtype.name == "String" for _, dtype in types):
        return None

    def made(given: Given) -> npt.NDArray[np.float64]:
        columns = [list(map(value, column)) for value, column in zip(values, given, strict=True)]
        return np.array(list(zip(*columns, strict=True)), np.float64)

    return made


def _values(types: Sequence[tuple[str, DType]]) -> list[Value] | None:
    """What makes of a value of each input what a model is given; None when polars alone knows one's."""
    values = [value for _, dtype in types if (value := _value(dtype)) is not None]
    return values if len(values) == len(types) else None


def _value(dtype: DType) -> Value | None:
    """What makes of a value of the type what a model is given."""
    match dtype.name:
        case "String":
            return _text
        case "Bool":
            return _truth
        case "Float64":
            return _double
        case "Float32":
            return lambda value: c_float(_double(value)).value
        case name if name in INTEGER_TYPES:
            return _whole(dtype)
        case _:
            return None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no String")


def _truth(value: object) -> float:
    if value is None or isinstance(value, bool):
        return _double(value)
    raise TypeError(f"{value!r} is no Bool")


def _double(value: object) -> float:
    if type(value) is float:
        return value
    if value is None:
        return _NAN
    if isinstance(value, _NUMBERS):
        return float(value)
    raise TypeError(f"{value!r} is no number")


def _whole(dtype: DType) -> Callable[[object], float]:
    limits = np.iinfo(dtype.name.lower())
    least, greatest = int(limits.min), int(limits.max)

    def whole(value: object) -> float:
        if value is None or (isinstance(value, int) and least <= value <= greatest):
            return _double(value)
        raise TypeError(f"{value!r} is no {dtype}")

    return whole
