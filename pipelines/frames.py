"""What a model sees: one frame of inputs, made the same way of a training set and of an online answer.

Numbers and bools become Float64, a null among them NaN; text stays as it is, null included. Whole numbers above 2**53
lose their last digits. Other types are no inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.arrow import logical_polars_type, polars_type
from featurestore.dtypes import FLOAT_TYPES, INTEGER_TYPES, parse
from featurestore.errors import InputError, UnknownNameError
from pipelines.definition.metrics import Kind
from pipelines.few_rows import Given, few_numbers, few_rows

_TEXT = "String"
_INPUTS = {_TEXT, "Bool", "Decimal", *INTEGER_TYPES, *FLOAT_TYPES}
_FEW = 32  # rows; of more, polars makes columns faster
Labels = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64]
Columns = Mapping[str, Sequence[object]]
Made = TypeVar("Made")


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked with and what it answers.

    `service` gives the features; `inputs` are those that the model sees, in order, with their logical types. `keys` and
    `request` are the columns that a caller brings. A model of kind "classification" answers the probability that the
    label is 1, one of kind "regression" the label.
    """

    service: str
    inputs: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    request: tuple[tuple[str, str], ...]
    label: str
    kind: Kind

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return tuple(name for name, _ in self.inputs)


def chosen_inputs(
    outputs: Mapping[str, str], chosen: Sequence[str] | None, pipeline: str
) -> tuple[tuple[str, str], ...]:
    """The inputs with their types: those chosen, by default all outputs of a service.

    Raises UnknownNameError for one that is no output, InputError for one whose type is no input.
    """
    names = tuple(outputs) if chosen is None else tuple(chosen)
    for name in names:
        if name not in outputs:
            raise UnknownNameError("feature", name, outputs, f"the service of pipeline '{pipeline}'")
        dtype = parse(outputs[name])
        if not _is_input(outputs[name]):
            raise InputError(
                f"Pipeline '{pipeline}': feature '{name}' is a {dtype}, and a model learns from numbers, bools and "
                "text; name the others in inputs=[...], or compute a number of it."
            )
    return tuple((name, outputs[name]) for name in names)


def model_frame(frame: pl.DataFrame, inputs: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """The inputs of each row, in order; raises InputError when one is missing."""
    for name, _ in inputs:
        if name not in frame.columns:
            raise InputError(f"The input '{name}' of the model is missing; its inputs are {', '.join(dict(inputs))}.")
    if _is_plain(frame, inputs):
        return frame
    return frame.select(_input(name, dtype) for name, dtype in inputs)


def online_frame(inputs: Sequence[tuple[str, str]]) -> Callable[[Columns], pl.DataFrame]:
    """What makes of columns of Python values, as a lookup answers them, the model frame that history has of their rows.

    It raises InputError when an input is missing, or is not of its type.
    """
    types = [(name, parse(dtype)) for name, dtype in inputs]
    few = few_rows(types)

    def made(given: Given) -> pl.DataFrame:
        if few is not None and len(given[0]) <= _FEW:
            return few(given)
        series = [pl.Series(n, v, polars_type(dtype)) for (n, dtype), v in zip(types, given, strict=True)]
        return model_frame(pl.DataFrame(series), inputs)

    return _of_inputs(inputs, made)


def online_array(inputs: Sequence[tuple[str, str]]) -> Callable[[Columns], Numbers | None] | None:
    """What makes of columns of few rows the values of their model frame, of shape [rows, inputs]; None of many rows.

    None itself when an input is text, or a number that polars alone knows. It raises what `online_frame` raises.
    """
    few = few_numbers([(name, parse(dtype)) for name, dtype in inputs])
    if few is None:
        return None

    def made(given: Given) -> Numbers | None:
        return few(given) if len(given[0]) <= _FEW else None

    return _of_inputs(inputs, made)


def _of_inputs(inputs: Sequence[tuple[str, str]], made: Callable[[Given], Made]) -> Callable[[Columns], Made]:
    """What makes something of the inputs among the columns; raises InputError for missing and wrong ones."""
    names = [name for name, _ in inputs]

    def checked(columns: Columns) -> Made:
        try:
            return made([columns[name] for name in names])
        except KeyError as error:
            raise InputError(f"The input {error} of the model is missing; it has {', '.join(names)}.") from error
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            raise InputError(f"An input of the model is not of its type: {str(error).splitlines()[0]}.") from error

    return checked


def _is_plain(frame: pl.DataFrame, inputs: Sequence[tuple[str, str]]) -> bool:
    """Whether a frame is already what a model is given; expressions that change nothing take a while."""
    wanted = [(name, pl.String() if dtype == _TEXT else pl.Float64()) for name, dtype in inputs]
    if list(frame.schema.items()) != wanted:
        return False
    nulls = frame.null_count().row(0)
    return not any(count for count, (_, dtype) in zip(nulls, inputs, strict=True) if dtype != _TEXT)


def _input(name: str, dtype: str) -> pl.Expr:
    column = pl.col(name)
    if dtype == _TEXT:
        return column.cast(pl.String)
    return column.cast(pl.Float64).fill_null(float("nan"))


def _is_input(dtype: str) -> bool:
    return parse(dtype).name in _INPUTS


def label_values(frame: pl.DataFrame, label: str, kind: Kind) -> Labels:
    """The label of each row as a number; of a classification 0 and 1, from a bool or from those numbers.

    Raises InputError for other labels.
    """
    column = frame[label]
    numeric = column.dtype == pl.Boolean or column.dtype.is_numeric()
    if not numeric:
        found = logical_polars_type(column.dtype) or column.dtype
        raise InputError(f"Label '{label}' is a {found}; let its SQL give a bool or a number.")
    values: Labels = column.cast(pl.Float64).to_numpy()
    if kind == "classification" and not np.isin(values, (0.0, 1.0)).all():
        odd = values[~np.isin(values, (0.0, 1.0))][0]
        raise InputError(
            f"Label '{label}' has the value {odd:g}, and a classifier learns from true and false, or 1 and 0; let the "
            "label's SQL give one of them, or use a regressor."
        )
    if not np.isfinite(values).all():
        raise InputError(f"Label '{label}' has values that are no finite numbers; leave them out with where=...")
    return values
