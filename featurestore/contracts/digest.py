"""The meaning of a contract as a digest: equal in every process, different when the contract judges differently.

Names of the model, titles, descriptions, metadata and the order of columns mean nothing. A custom check counts by its
source text, its default arguments, the values that it closes over, and the constants and functions of its own module
that it reads; what it calls in other modules counts by name.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
import textwrap
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from featurestore.contracts.model import ContractModel, builtin_name, check_function, contract_schema
from featurestore.errors import InputError

if TYPE_CHECKING:
    from pandera.api.checks import Check
    from pandera.api.polars.components import Column

Json = str | list["Json"] | dict[str, "Json"]


@functools.lru_cache(maxsize=256)
def contract_digest(model: ContractModel) -> str:
    """SHA-256 of the contract's meaning, in hexadecimal.

    Raises InputError when the source of a check cannot be read, or an argument of one cannot be written down.
    """
    schema = contract_schema(model)
    meaning: Json = {
        "columns": {name: _column(column, model) for name, column in schema.columns.items()},
        "checks": [_check(check, model) for check in schema.checks],
        "strict": str(schema.strict),
        "unique": [str(name) for name in schema.unique or ()],
        "dtype": str(schema.dtype),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _column(column: Column, model: ContractModel) -> Json:
    return {
        "dtype": str(column.dtype),
        "nullable": str(column.nullable),
        "required": str(column.required),
        "unique": str(column.unique),
        "regex": str(column.regex),
        "checks": [_check(check, model) for check in column.checks],
    }


def _check(check: Check, model: ContractModel) -> Json:
    name = builtin_name(check)
    return {
        "does": name if name is not None else _function(check_function(check), model, set()),
        "arguments": _value(check._check_kwargs, f"check {check.name}", model, set()),
        "ignore_na": str(check.ignore_na),
        "element_wise": str(check.element_wise),
    }


def _function(function: Callable[..., object], model: ContractModel, seen: set[int]) -> Json:
    """Source, defaults, and what the function reads: closed-over values, constants and helpers of its module."""
    where = f"check {getattr(function, '__qualname__', function)}"
    if isinstance(function, functools.partial):
        parts: list[object] = [function.func, list(function.args), function.keywords]
        return [_value(part, where, model, seen) for part in parts]
    if not inspect.isfunction(function):
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if id(function) in seen:
        return function.__qualname__
    seen.add(id(function))
    reads = inspect.getclosurevars(function)
    return {
        "source": _source(function),
        "defaults": _value([function.__defaults__, function.__kwdefaults__], where, model, seen),
        "closure": _value(dict(reads.nonlocals), where, model, seen),
        "globals": {name: _global(value, function, model, seen) for name, value in reads.globals.items()},
        "model": {
            name: _value(_unbound(getattr(model, name)), where, model, seen)
            for name in sorted(reads.unbound)
            if name.startswith("_") and not name.startswith("__") and hasattr(model, name)
        },
    }


def _source(function: types.FunctionType) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise InputError(
            f"the source of check {function.__qualname__} cannot be read ({error}); define it in a file."
        ) from error


def _unbound(attribute: object) -> object:
    return getattr(attribute, "__func__", attribute)


def _global(value: object, reader: types.FunctionType, model: ContractModel, seen: set[int]) -> Json:
    """A constant of the reader's module by value, a function of it by source, everything else by its name."""
    if inspect.isfunction(value) and value.__module__ == reader.__module__:
        return _function(value, model, seen)
    if inspect.ismodule(value):
        return value.__name__
    if inspect.isroutine(value) or isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    try:
        return _value(value, "", model, seen)
    except InputError:
        return type(value).__qualname__


def _value(value: object, where: str, model: ContractModel, seen: set[int]) -> Json:
    def each(items: object) -> list[Json]:
        return [_value(item, where, model, seen) for item in items]  # type: ignore[attr-defined]  # iterables only

    match value:
        case None | bool() | int() | float() | str() | Decimal() | timedelta() | bytes():
            return [type(value).__name__, repr(value)]
        case datetime() | date() | time():
            return [type(value).__name__, value.isoformat()]
        case set() | frozenset():
            return ["set", sorted(each(value), key=json.dumps)]
        case list() | tuple():
            return ["list", each(value)]
        case Mapping():
            return {repr(key): _value(item, where, model, seen) for key, item in value.items()}
        case re.Pattern():
            return ["pattern", repr(value.pattern), str(value.flags)]
        case type():
            return f"{value.__module__}.{value.__qualname__}"
        case types.FunctionType() | functools.partial():
            return _function(value, model, seen)
        case _:
            raise InputError(f"{where} uses a {type(value).__qualname__}, which has no written form; use plain values.")
