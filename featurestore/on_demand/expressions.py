"""Polars expressions as text: written when declared, read when evaluated; neither ever holds Python code."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import polars as pl

from featurestore.arrow import logical_polars_type, polars_type
from featurestore.dtypes import DType
from featurestore.errors import InputError, UnknownNameError

_PICKLE = 0x80  # every pickle begins with this byte and its protocol number
_PICKLE_PROTOCOLS = range(2, 6)


def expression_text(expression: pl.Expr) -> str:
    """The expression in polars' JSON form, which `parse_expression` reads back to the same expression.

    Raises InputError for an expression that holds a Python function or a plugin, or that does not survive the form.
    """
    try:
        text = expression.meta.serialize(format="json")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The expression {expression} cannot be written down: {reason(error)}.") from error
    _refuse_code(json.loads(text))
    try:
        survives = pl.Expr.deserialize(io.StringIO(text), format="json").meta.eq(expression)
    except pl.exceptions.PolarsError:
        survives = False
    if not survives:
        raise InputError(
            f"The expression {expression} changes when written as JSON: it holds a NaN or an infinity; write it as a "
            "cast text, pl.lit('NaN').cast(pl.Float64)."
        )
    return text


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> pl.Expr:
    """The expression in a text that `expression_text` wrote."""
    try:
        _refuse_code(json.loads(text))
        return pl.Expr.deserialize(io.StringIO(text), format="json")
    except (json.JSONDecodeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"A stored expression cannot be read by polars {pl.__version__}; apply the definitions again."
        ) from error


def columns_read(text: str) -> list[str] | None:
    """The columns that an expression in such a text reads; None when what there is decides: `pl.all()`, a selector."""
    expression = parse_expression(text)
    return None if expression.meta.has_multiple_outputs() or "Selector" in text else expression.meta.root_names()


def output_types(expressions: Mapping[str, pl.Expr], inputs: Mapping[str, DType]) -> dict[str, DType]:
    """The logical type of each feature, from evaluating its expression on no rows.

    Raises InputError when an expression fails or has no logical type, UnknownNameError for a column that is no input.
    """
    empty = pl.DataFrame(schema={name: polars_type(dtype) for name, dtype in inputs.items()})
    return {name: _output_type(name, expression, empty) for name, expression in expressions.items()}


def reason(error: pl.exceptions.PolarsError) -> str:
    """What polars says of an error, without the sentences of advice and the plan that follow."""
    return str(error).partition("\n")[0].rstrip(".")


def _output_type(name: str, expression: pl.Expr, empty: pl.DataFrame) -> DType:
    for column in expression.meta.root_names():
        if column not in empty.columns:
            raise UnknownNameError("input", column, empty.columns, f"the expression of feature '{name}'")
    try:
        found = empty.select(expression.alias(name)).schema[name]
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The expression of feature '{name}' fails: {reason(error)}.") from error
    dtype = logical_polars_type(found)
    if dtype is None:
        raise InputError(
            f"Feature '{name}' is a polars {found}, which is no feature type; cast it, for example to pl.Float64."
        )
    return dtype


def _refuse_code(node: object) -> None:
    """Raise InputError when a parsed JSON form holds a pickle or names a plugin; literals hold data only."""
    match node:
        case dict():
            for name, value in node.items():
                if name == "FfiPlugin" or name.startswith("Anonymous"):
                    raise _code_inside()
                if name != "Literal":
                    _refuse_code(value)
        case [int(), *_]:
            if any(first == _PICKLE and second in _PICKLE_PROTOCOLS for first, second in pairwise(node)):
                raise _code_inside()
        case list():
            for value in node:
                _refuse_code(value)


def _code_inside() -> InputError:
    return InputError(
        "An expression holds a Python function or a plugin (map_elements, map_batches, fold, rolling_map), which "
        "cannot be stored safely; write it with polars' own functions, or give the view function=<a named function>."
    )
