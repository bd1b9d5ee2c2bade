"""The one module that imports pandera: a contract's schema, and what it finds in a frame.

Of pandera's silent modes none is left: validation that is disabled or partial is refused, frames are eager so that
data checks run, and what pandera calls a row is taken for one only when the check answered once per row.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterator

import pandera.polars as pandera
import polars as pl
from pandera.api.checks import Check
from pandera.api.function_dispatch import Dispatcher
from pandera.api.polars.components import Column
from pandera.api.polars.container import DataFrameSchema
from pandera.backends.base import BaseSchemaBackend
from pandera.config import ValidationDepth, get_config_context, get_config_global
from pandera.constants import CHECK_OUTPUT_KEY
from pandera.errors import (
    FailureCaseMetadata,
    SchemaDefinitionError,
    SchemaError,
    SchemaErrorReason,
    SchemaErrors,
    SchemaInitError,
)

from featurestore.contracts.failures import Failure, Mask, merge
from featurestore.errors import GateRefused, InputError

ContractModel = type[pandera.DataFrameModel]

COMPARISONS = frozenset(
    {"equal_to", "not_equal_to", "greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to"}
    | {"in_range"}
)
_LABEL_LENGTH = 120
_ABOUT_DUPLICATES = (SchemaErrorReason.SERIES_CONTAINS_DUPLICATES, SchemaErrorReason.DUPLICATES)


def as_contract(model: object) -> ContractModel:
    """The model itself; raises InputError when it is no pandera.polars model."""
    if isinstance(model, type) and issubclass(model, pandera.DataFrameModel):
        return model
    found = f"{model.__module__}.{model.__qualname__}" if isinstance(model, type) else f"a {type(model).__name__}"
    raise InputError(f"A contract is a subclass of pandera.polars.DataFrameModel, found {found}.")


def contract_schema(model: ContractModel) -> DataFrameSchema:
    """A copy of the model's schema that makes no report of failure cases: failing rows are read from the errors.

    Pandera's report costs more than its checks, and breaks on bytes or where a check with one answer fails beside
    another. Raises InputError when pandera cannot build the schema.
    """
    try:
        schema = copy.deepcopy(model.to_schema())
    except (SchemaInitError, SchemaDefinitionError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"Contract {model.__qualname__}: pandera cannot build its schema: {error}") from error
    for check in [*schema.checks, *(check for column in schema.columns.values() for check in column.checks)]:
        check.n_failure_cases = 1
    for part in (schema, *schema.columns.values()):
        part.get_backend = functools.partial(_reportless_backend, type(part))
    return schema


def _reportless_backend(
    part: type[DataFrameSchema | Column], check_obj: object = None, check_type: type | None = None
) -> BaseSchemaBackend:
    backend = part.get_backend(check_obj, check_type)
    backend.failure_cases_metadata = lambda *_: FailureCaseMetadata(None, {}, {})  # type: ignore[method-assign]  # its own
    return backend


def require_validation() -> None:
    """Raise GateRefused when pandera would skip checks: a gate that does not look has no verdict."""
    for config in (get_config_global(), get_config_context(validation_depth_default=None)):
        if not config.validation_enabled:
            raise GateRefused(
                "Contracts cannot be checked: pandera's validation is disabled. "
                "Unset PANDERA_VALIDATION_ENABLED (or set it to true)."
            )
        if config.validation_depth not in (None, ValidationDepth.SCHEMA_AND_DATA):
            raise GateRefused(
                f"Contracts cannot be checked: pandera would validate {config.validation_depth.value} only. "
                "Unset PANDERA_VALIDATION_DEPTH (or set it to SCHEMA_AND_DATA)."
            )
        if config.use_narwhals_backend:
            raise GateRefused(
                "Contracts are checked by pandera's own polars backend, and its narwhals backend is switched on. "
                "Unset PANDERA_USE_NARWHALS_BACKEND."
            )


def builtin_name(check: Check) -> str | None:
    """The name of a check that pandera ships; None for a custom one."""
    return check._check_fn.__name__ if isinstance(check._check_fn, Dispatcher) else None


def check_function(check: Check) -> Callable[..., object]:
    """The function that a custom check was written as, without pandera's wrapping."""
    function: Callable[..., object] = check._check_fn
    if inspect.isfunction(function):
        wrapped = inspect.getclosurevars(function).nonlocals
        # a decorated method: BaseCheckInfo.to_check wraps the method that its `self` holds
        function = getattr(wrapped.get("self"), "check_fn", wrapped.get("check_fn", function))
    return function


def check_label(check: Check | str) -> str:
    """What a check is called in reasons: a built-in with its arguments, in an order that is the same everywhere."""
    if isinstance(check, str):
        return check
    name = builtin_name(check)
    if name is None:
        return str(check.error or check.name)
    arguments = {k: v for k, v in check._check_kwargs.items() if not (k.startswith("include_") and v is True)}
    texts = [_argument(value) if len(arguments) == 1 else f"{k}={_argument(value)}" for k, value in arguments.items()]
    label = f"{name}({', '.join(texts)})"
    return label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 2] + "…)"


def _argument(value: object) -> str:
    match value:
        case frozenset() | set():
            return f"[{', '.join(sorted(map(repr, value)))}]"
        case re.Pattern():
            return repr(value.pattern)
        case _:
            return repr(value)


def governed_columns(schema: DataFrameSchema, names: list[str]) -> dict[str, Column]:
    """The columns among `names` that the schema rules over; a pattern rules those that no plain name does."""
    plain = {name: column for name, column in schema.columns.items() if not column.regex}
    governed = {name: plain[name] for name in names if name in plain}
    for pattern, column in schema.columns.items():
        if column.regex:
            governed |= {name: column for name in names if name not in plain and re.fullmatch(pattern, name)}
    return governed


def contract_failures(schema: DataFrameSchema, frame: pl.DataFrame) -> tuple[Failure, ...]:
    """Everything in which the frame breaks the contract, one failure per column and check.

    Nulls follow the contract's `nullable`; a NaN counts as null there, and satisfies no built-in comparison.
    Duplicates point at their rows but are never row-wise. Raises GateRefused when pandera would change the frame or
    cannot judge it.
    """
    found = [failure for error in _errors(schema, frame) for failure in _failures(error, frame)]
    return merge([*found, *_not_a_number(schema, frame)])


def _errors(schema: DataFrameSchema, frame: pl.DataFrame) -> list[SchemaError]:
    try:
        validated = schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return list(errors.schema_errors)
    except SchemaError as error:  # a pattern that matches only columns which have a rule of their own
        return [error]
    except pl.exceptions.PolarsError as error:
        raise GateRefused(f"Contract {schema.name} cannot be evaluated: {str(error).splitlines()[0]}.") from error
    if not validated.equals(frame):
        raise GateRefused(
            f"Contract {schema.name} changes the data that it checks, so that other data would be published than was "
            "checked. A contract only checks; compute the value as a feature instead."
        )
    return []


def _failures(error: SchemaError, frame: pl.DataFrame) -> Iterator[Failure]:
    column = error.column_name or (error.schema.name if isinstance(error.schema, Column) else None)
    label = check_label(error.check)
    match error.reason_code:
        case SchemaErrorReason.SERIES_CONTAINS_NULLS:
            yield Failure(label, column, _failing(error), row_wise=True)
        case SchemaErrorReason.DATAFRAME_CHECK if _answers_per_row(error, column, frame):
            yield Failure(label, column, _failing(error), row_wise=True)
        case reason if reason in _ABOUT_DUPLICATES:
            yield Failure(label, column, _failing(error))
        case SchemaErrorReason.DATAFRAME_CHECK:
            yield Failure(label, column)
        case SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
            yield Failure(label, str(error.failure_cases), found="no such column")
        case _:
            yield Failure(label, column, found=str(error.failure_cases).splitlines()[0])


def _failing(error: SchemaError) -> Mask:
    mask: Mask = ~error.check_output[CHECK_OUTPUT_KEY].to_numpy().astype(bool)
    return mask


def _answers_per_row(error: SchemaError, column: str | None, frame: pl.DataFrame) -> bool:
    """Whether a failed check gave one answer per row, rather than one for the whole frame."""
    if not isinstance(error.failure_cases, pl.DataFrame) or error.check_output.height != frame.height:
        return False
    if frame.height > 1:
        return True
    twice = pl.concat([frame, frame]).lazy()  # of a single row one answer tells nothing: ask about two
    answer = error.check(twice, column) if column else error.check(twice)
    return bool(answer.check_output.collect().height == 2)


def _not_a_number(schema: DataFrameSchema, frame: pl.DataFrame) -> Iterator[Failure]:
    """NaN in columns that are compared: in polars it is greater than every number, so pandera lets it pass.

    Where nulls are forbidden pandera refuses NaN by that rule already.
    """
    everywhere = any(builtin_name(check) in COMPARISONS for check in schema.checks)
    ruled = governed_columns(schema, frame.columns)
    for name, values in zip(frame.columns, frame, strict=True):
        column = ruled.get(name)
        compared = column is not None and any(builtin_name(check) in COMPARISONS for check in column.checks)
        forbidden = column is not None and not column.nullable
        if values.dtype.is_float() and (compared or everywhere) and not forbidden and (rows := values.is_nan()).any():
            yield Failure("not NaN", name, rows.fill_null(False).to_numpy(), row_wise=True)


def prove_refusal(schema: DataFrameSchema, frame: pl.DataFrame) -> None:
    """Raise GateRefused unless the contract refuses a copy of the frame in which each of its columns is broken."""
    broken, expected = _broken(schema, frame)
    if not expected:
        raise GateRefused(f"Contract {schema.name} looks at no column of this chunk, so it can refuse nothing.")
    found = {(failure.column, failure.check.partition("(")[0]) for failure in contract_failures(schema, broken)}
    if missed := sorted(expected - found):
        name, rule = missed[0]
        raise GateRefused(
            f"Contract {schema.name} let a deliberately broken chunk pass: column '{name}' broke the rule {rule}. "
            "A gate that cannot refuse has no verdict."
        )


def _broken(schema: DataFrameSchema, frame: pl.DataFrame) -> tuple[pl.DataFrame, set[tuple[str, str]]]:
    """One row of nulls, which violates every null rule, and the (column, check) that must be refused.

    Besides, a column that may be null gets another type, and one required column is left out.
    """
    ruled, broken = governed_columns(schema, frame.columns), frame.clear(1)
    for pattern, column in schema.columns.items():
        if column.regex and column.required and not any(ruler is column for ruler in ruled.values()):
            return broken, {(pattern, "no_regex_column_match")}
    required = [name for name, column in schema.columns.items() if column.required and not column.regex]
    expected = {(name, "column_in_dataframe") for name in required if name not in ruled}
    for name, column in ruled.items():
        if name in required[:1] and len(ruled) > 1:
            broken, rule = broken.drop(name), "column_in_dataframe"
        elif not column.nullable:
            rule = "not_nullable"
        else:
            other = pl.Boolean if frame.schema[name] != pl.Boolean else pl.String
            broken, rule = broken.with_columns(pl.lit(None, other).alias(name)), "dtype"
        expected.add((name, rule))
    return broken, expected
