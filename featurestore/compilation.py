"""Compilation of the kernels, and where the machine code is kept between processes.

numba names a cached function by the content of its own file, not of the functions it calls, so an upgrade could run a
new kernel with old helpers. The cache directory therefore bears a digest of all sources of the function's room, whose
kernels call no others. Directories tried: `NUMBA_CACHE_DIR`, the room's `__pycache__` (unless Python may not write
bytecode), the user's cache. When none can be written, the kernels are compiled once per process.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])
Scalar = TypeVar("Scalar", bound=np.generic)


def kernel(function: Function) -> Function:
    """The function, compiled when first called, free of the interpreter lock, its machine code kept on disk."""
    return _compiled(function, callable_from_python=True)


def helper(function: Function) -> Function:
    """The same for a function that only kernels call: half the time to compile."""
    return _compiled(function, callable_from_python=False)


def _compiled(function: Function, *, callable_from_python: bool) -> Function:
    directory = _cache_directory(Path(inspect.getfile(function)).parent)
    with _numba_cache(directory):
        decorate = numba.njit(  # type: ignore[call-overload]  # the two wrappers are left out of its type hints
            cache=directory is not None,
            error_model="numpy",
            nogil=callable_from_python,
            no_cpython_wrapper=not callable_from_python,
            no_cfunc_wrapper=True,
        )
        return cast(Function, decorate(function))


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """A view that cannot be written, contiguous: Arrow buffers are read-only, and numba compiles each kind anew."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@cache
def _cache_directory(room: Path) -> Path | None:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in sorted(room.glob("*.py")):
        digest.update(source.read_bytes())
    name = f"featurestore-{room.name}-{digest.hexdigest()[:16]}"
    return next((parent / name for parent in _candidates(room) if _writable(parent / name)), None)


def _candidates(package: Path) -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
    if not sys.dont_write_bytecode:
        yield package / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


@contextmanager
def _numba_cache(directory: Path | None) -> Iterator[None]:
    """numba reads its cache directory when a function is decorated; other users of numba keep theirs."""
    before = vars(numba.config)["CACHE_DIR"]
    vars(numba.config)["CACHE_DIR"] = str(directory or "")
    try:
        yield
    finally:
        vars(numba.config)["CACHE_DIR"] = before
