"""Request-time features of a frame: what training and serving both call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from featurestore.arrow import polars_type
from featurestore.dtypes import DType
from featurestore.errors import InputError, UnknownNameError
from featurestore.on_demand.expressions import columns_read, parse_expression, reason
from featurestore.on_demand.functions import find_function
from featurestore.plan.on_demand import Expressions, Function, OnDemandStep

_ROW = "__row"  # keeps the number of rows when a view has no inputs


class RowsChangedError(InputError):
    """A computation gave back more or fewer rows than it got."""


def evaluate(steps: Sequence[OnDemandStep], frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the outputs of each step added, in their declared types, under their result names.

    One row per row of the frame, same order. Raises InputError when a computation fails, changes the number of rows or
    yields another type than declared; UnknownNameError when the frame lacks an input column.
    """
    for step in steps:
        computed = compute(step, step_inputs(step, frame))
        frame = frame.hstack([computed[feature].alias(name) for feature, name, _ in step.outputs])
    return frame


def without_unread(step: OnDemandStep) -> OnDemandStep:
    """The step with those of its inputs alone that its expressions read; a function is given all.

    It computes the same: a lookup of few rows spends most of its time on making columns.
    """
    if not isinstance(step.computation, Expressions):
        return step
    read: set[str] = set()
    for _, text in step.computation.features:
        columns = columns_read(text)
        if columns is None:
            return step
        read.update(columns)
    return replace(step, inputs=tuple(given for given in step.inputs if given[0] in read))


def step_inputs(step: OnDemandStep, frame: pl.DataFrame) -> pl.DataFrame:
    """The inputs of a step, under their names inside the view and in their declared types."""
    columns = []
    for name, column, dtype in step.inputs:
        if column not in frame.columns:
            raise UnknownNameError("column", column, frame.columns, f"the rows that '{step.view}' reads")
        columns.append(_as_type(frame[column], dtype, f"input '{name}' of '{step.view}'").alias(name))
    return pl.DataFrame(columns) if columns else frame.select(pl.int_range(pl.len()).alias(_ROW))


def compute(step: OnDemandStep, inputs: pl.DataFrame) -> pl.DataFrame:
    """The features of a step, under their names inside the view, from its `step_inputs`."""
    match step.computation:
        case Expressions(features=features):
            computed = _expressions(step.view, features, inputs)
        case Function():
            computed = _function(step.view, step.computation, inputs.drop(_ROW, strict=False))
        case other:
            raise InputError(f"'{step.view}': the evaluator knows no computation {type(other).__name__}.")
    if computed.height != inputs.height:
        raise RowsChangedError(
            f"'{step.view}' turned {inputs.height} rows into {computed.height}; give back one row for each row."
        )
    columns = []
    for feature, _, dtype in step.outputs:
        if feature not in computed.columns:
            raise UnknownNameError("column", feature, computed.columns, f"what '{step.view}' gave back")
        columns.append(_as_type(computed[feature], dtype, f"feature '{feature}' of '{step.view}'").alias(feature))
    return pl.DataFrame(columns)


def _expressions(view: str, features: tuple[tuple[str, str], ...], inputs: pl.DataFrame) -> pl.DataFrame:
    parsed = [(name, parse_expression(text).alias(name)) for name, text in features]
    try:
        return inputs.with_columns([expression for _, expression in parsed])
    except pl.exceptions.PolarsError:
        for name, expression in parsed:
            try:
                inputs.with_columns(expression)
            except pl.exceptions.ShapeError as error:
                raise RowsChangedError(
                    f"Feature '{name}' of '{view}' does not keep the number of rows: {reason(error)}."
                ) from error
            except pl.exceptions.PolarsError as error:
                raise InputError(f"Feature '{name}' of '{view}' fails: {reason(error)}.") from error
        raise


def _function(view: str, reference: Function, inputs: pl.DataFrame) -> pl.DataFrame:
    function = find_function(reference)
    try:
        result = function(inputs)
    except Exception as error:  # foreign code: whatever it raises, the caller learns which view failed
        raise InputError(f"The function of '{view}' fails: {type(error).__name__}: {error}") from error
    if not isinstance(result, pl.DataFrame):
        raise InputError(f"The function of '{view}' must give back a polars DataFrame, found {type(result).__name__}.")
    return result


def _as_type(series: pl.Series, dtype: DType, what: str) -> pl.Series:
    wanted = polars_type(dtype)
    if series.dtype == wanted:
        return series
    if not _converts(series.dtype, wanted):
        raise InputError(f"The {what} must be {dtype}, found polars {series.dtype}; cast it.")
    try:
        return series.cast(wanted, strict=True)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The {what} must be {dtype}: {reason(error)}.") from error


def _converts(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether a strict cast fails rather than change what a value means; floats may round."""
    match found, wanted:
        case pl.Null(), _:
            return True
        case pl.List() | pl.Array(), pl.List() | pl.Array():
            return _converts(_inner(found), _inner(wanted))
        case pl.Datetime(time_zone=zone), pl.Datetime():
            return zone is not None
        case _, pl.String():
            return isinstance(found, pl.Categorical | pl.Enum)
        case _:
            integer = found.is_integer() and wanted.is_numeric()
            return found == wanted or integer or (found.is_float() and wanted.is_float())


def _inner(nested: pl.DataType) -> pl.DataType:
    assert isinstance(nested, pl.List | pl.Array)
    inner = nested.inner
    return inner if isinstance(inner, pl.DataType) else inner()
