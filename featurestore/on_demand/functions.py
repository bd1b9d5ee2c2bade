"""Named Python functions: registered by module, name and digest of their source text, never by their code."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import textwrap
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType

import polars as pl

from featurestore.errors import InputError
from featurestore.plan.on_demand import Function

FrameFunction = Callable[[pl.DataFrame], pl.DataFrame]


def function_reference(function: object) -> tuple[str, str, str]:
    """The module, name and source digest of a function; raises InputError when another process could not find it.

    Refused are lambdas, functions inside functions or classes, those of the main script, and those without source.
    """
    if not isinstance(function, FunctionType):
        raise InputError(f"{function!r} is no plain function; give one that a module defines with def.")
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__name__ == "<lambda>":
        raise InputError(f"'{name}' is a lambda, which has no name to find it by; define it with def in a module.")
    if "." in function.__qualname__:
        raise InputError(f"'{name}' is defined inside another function or a class; move it to the top of its module.")
    if function.__module__ == "__main__":
        raise InputError(f"'{name}' is defined in the main script, which a server cannot import; move it to a module.")
    return function.__module__, function.__name__, function_digest(function)


def function_digest(function: FrameFunction) -> str:
    """SHA-256 of the function's source text, without its indentation."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise InputError(f"The source text of {function!r} cannot be read; define it in a file.") from error
    return hashlib.sha256(textwrap.dedent(source).encode()).hexdigest()


@lru_cache(maxsize=1024)
def find_function(reference: Function) -> FrameFunction:
    """The function that was registered; raises InputError when it is gone or its source text differs."""
    name = f"{reference.module}.{reference.name}"
    try:
        found = getattr(importlib.import_module(reference.module), reference.name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"The function '{name}' cannot be found here ({error}); install its module.") from error
    _, _, digest = function_reference(found)
    if digest != reference.digest:
        raise InputError(
            f"The function '{name}' here is not the registered one (digest {digest[:12]}, registered "
            f"{reference.digest[:12]}); deploy the registered code, or apply the definitions again."
        )
    function: FrameFunction = found
    return function
