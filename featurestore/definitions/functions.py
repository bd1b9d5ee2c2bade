"""What each aggregate function is: the types it takes, what it returns, its parameters, its value without events.

Common to all: nulls are skipped, NaN equals itself and is the greatest value, -0.0 is 0.0. "Exact" results are the real
number rounded once to the nearest double. This module imports no engine; `definitions` checks declarations with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from featurestore.dtypes import (
    FLOAT_TYPES,
    INTEGER_TYPES,
    Decimal,
    DType,
    Float64,
    Int64,
    List,
    UInt64,
    Vector,
)
from featurestore.errors import UnknownNameError

ROWS = "*"
PERCENTILE_DIGITS = 9
Parameter = bool | int | float | str

_NUMBERS = frozenset({*INTEGER_TYPES, *FLOAT_TYPES, "Decimal"})
_ADDABLE = _NUMBERS | {"Bool"}
_ORDERED = _ADDABLE | {"String", "Bytes", "Date", "Timestamp"}
_EVERYTHING = _ORDERED | {"List", "Vector"}
_BOOLEANS = frozenset({"Bool"})

Result = Literal["count", "sum", "double", "same", "list"]


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """One aggregate function.

    `takes`: names of the logical types it accepts; `rows`: it also accepts the column `*`. `result`: `count` is Int64,
    `sum` the widest type of the input's kind, `double` Float64, `same` the input's type, `list` a list of it. `empty`:
    the value of a window without values. `requires`, `allows`: its parameters; `series` is allowed for all but lists.
    """

    name: str
    takes: frozenset[str]
    result: Result
    summary: str
    rows: bool = False
    empty: int | None = None
    requires: frozenset[str] = field(default=frozenset())
    allows: frozenset[str] = field(default=frozenset())


_COUNT = frozenset({"n"})
_LEVEL = frozenset({"p"})

_TABLE = (
    AggregateFunction("count", _EVERYTHING, "count", "non-null values, or rows for `*`", rows=True, empty=0),
    AggregateFunction("count_distinct", _ORDERED, "count", "different values", empty=0),
    AggregateFunction("approx_count_distinct", _ORDERED, "count", "different values; exact here", empty=0),
    AggregateFunction("sum", _ADDABLE, "sum", "exact sum; an integer or decimal that overflows is an error"),
    AggregateFunction("mean", _ADDABLE, "double", "exact mean"),
    AggregateFunction("min", _ORDERED, "same", "smallest value"),
    AggregateFunction("max", _ORDERED, "same", "greatest value"),
    AggregateFunction("stddev_samp", _NUMBERS, "double", "root of var_samp, rounded twice; null below two values"),
    AggregateFunction("stddev_pop", _NUMBERS, "double", "root of var_pop, rounded twice"),
    AggregateFunction("var_samp", _NUMBERS, "double", "exact sample variance; null below two values"),
    AggregateFunction("var_pop", _NUMBERS, "double", "exact population variance"),
    AggregateFunction("skew", _NUMBERS, "double", "adjusted skewness (G1); null below three values and for equal ones"),
    AggregateFunction("first", _ORDERED, "same", "earliest value; ties: earliest created, then smallest"),
    AggregateFunction("last", _ORDERED, "same", "latest value; ties: latest created, then greatest"),
    AggregateFunction("first_n", _ORDERED, "list", "the `n` earliest values, oldest first", requires=_COUNT),
    AggregateFunction("last_n", _ORDERED, "list", "the `n` latest values, oldest first", requires=_COUNT),
    AggregateFunction(
        "last_distinct_n", _ORDERED, "list", "the `n` different values seen latest, oldest first", requires=_COUNT
    ),
    AggregateFunction("median", _NUMBERS, "double", "percentile at 0.5"),
    AggregateFunction("percentile", _NUMBERS, "double", "exact linear interpolation at p (n - 1)", requires=_LEVEL),
    AggregateFunction("approx_percentile", _NUMBERS, "double", "percentile; exact here", requires=_LEVEL),
    AggregateFunction("mode", _ORDERED, "same", "most frequent value; ties: the smallest"),
    AggregateFunction("any", _BOOLEANS, "same", "true when one value is true"),
    AggregateFunction("all", _BOOLEANS, "same", "true when no value is false"),
    AggregateFunction(
        "ratio",
        _EVERYTHING,
        "double",
        "count under `where` divided by count under the SQL condition `of` (all events without it); null over zero",
        rows=True,
        allows=frozenset({"of"}),
    ),
)

FUNCTIONS: Mapping[str, AggregateFunction] = MappingProxyType({function.name: function for function in _TABLE})


def get(name: str) -> AggregateFunction:
    """The function of that name; raises UnknownNameError."""
    if name not in FUNCTIONS:
        raise UnknownNameError("aggregate function", name, FUNCTIONS)
    return FUNCTIONS[name]


def result_type(name: str, dtype: DType | None, params: Mapping[str, Parameter] | None = None) -> DType:
    """The type of the function's values over a column of `dtype` (None: `*`), given a use without faults."""
    result = _result_of_one(get(name), dtype)
    return List(result) if params and "series" in params else result


def faults(
    name: str, dtype: DType | None, params: Mapping[str, Parameter] | None = None, *, lifetime: bool = False
) -> tuple[str, ...]:
    """What is wrong with a use of a function, one sentence each; `dtype` None stands for the column `*`.

    Raises UnknownNameError when there is no such function.
    """
    function = get(name)
    found = [_type_fault(function, dtype)]
    given = dict(params or {})
    allowed = function.requires | function.allows | (frozenset() if function.result == "list" else {"series"})
    found += [f"{name} needs the parameter '{missing}'." for missing in sorted(function.requires - given.keys())]
    for parameter in sorted(given.keys() - allowed):
        listing = ", ".join(sorted(allowed)) or "none"
        found.append(f"{name} has no parameter '{parameter}'. Parameters: {listing}.")
    found += [parameter_fault(name, key, value) for key, value in sorted(given.items()) if key in allowed]
    if lifetime and "series" in given:
        found.append(f"{name} with 'series' needs a window: a series is the last windows, one after the other.")
    return tuple(fault for fault in found if fault)


def percentile_level(p: float) -> Fraction:
    """`p` as the decimal number it is written as (0.9 is nine tenths), which need not be the double's exact value."""
    return Fraction(str(p))


def _result_of_one(function: AggregateFunction, dtype: DType | None) -> DType:
    match function.result, dtype:
        case "count", _:
            return Int64
        case ("double", _) | (_, None):
            return Float64
        case "list", DType():
            return List(dtype)
        case "same", DType():
            return dtype
        case _, Decimal(scale=scale):
            return Decimal(38, scale)
        case _, DType(name=name):
            return Float64 if name in FLOAT_TYPES else UInt64 if name.startswith("UInt") else Int64


def _type_fault(function: AggregateFunction, dtype: DType | None) -> str:
    listing = ", ".join(sorted(function.takes))
    if dtype is None:
        return "" if function.rows else f"{function.name} needs a column, not '*'. It takes {listing}."
    name = dtype.name if isinstance(dtype, List | Vector) else str(dtype).partition("(")[0]
    return "" if name in function.takes else f"{function.name} does not take {dtype}. It takes {listing}."


def parameter_fault(function: str, parameter: str, value: Parameter) -> str:
    """What is wrong with the value of a parameter, in one sentence; empty when nothing is."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    match parameter:
        case "n" | "series" if not whole or not 1 <= value <= 10_000:  # type: ignore[operator]  # whole is an int
            return f"{function}: '{parameter}' must be a whole number from 1 to 10000, got {value!r}."
        case "p" if not (whole or isinstance(value, float)) or not 0 <= value <= 1:  # type: ignore[operator]  # a number
            return f"{function}: 'p' must be a number from 0 to 1, got {value!r}."
        case "p" if 10**PERCENTILE_DIGITS % percentile_level(float(value)).denominator:
            return f"{function}: 'p' must have at most {PERCENTILE_DIGITS} decimals, got {value!r}."
        case "of" if not isinstance(value, str) or not value.strip():
            return f"{function}: 'of' must be an SQL condition, got {value!r}."
        case _:
            return ""
