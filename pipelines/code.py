"""Which code ran: digests of functions with all the code of the project that they reach, and the checkout's state."""

from __future__ import annotations

import functools
import hashlib
import inspect
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from pipelines.ledger.records import CodeVersion

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib"))
_PLAIN = (bool, int, float, str, bytes, type(None))


def code_version(root: Path) -> CodeVersion:
    """The git commit of the folder, whether its files differ from it, and the digest of the installed packages."""
    commit = _git(root, "rev-parse", "HEAD")
    dirty = commit is not None and bool(_git(root, "status", "--porcelain", "--untracked-files=normal", "."))
    return CodeVersion(commit, dirty, lock_digest())


@functools.cache
def lock_digest() -> str:
    """SHA-256 of the names and versions of all installed packages, as their folders are named."""
    installed = {found.stem for place in sys.path for found in Path(place).glob("*.dist-info")}
    return hashlib.sha256("\n".join(sorted(installed)).encode()).hexdigest()


def package_versions(*names: str) -> dict[str, str]:
    """The installed versions of those packages."""
    return {name: version(name) for name in names}


def component_digest(*modules: ModuleType) -> str:
    """SHA-256 of the source files of modules: another one means that a step may give other results."""
    digest = hashlib.sha256()
    for module in sorted(modules, key=lambda module: module.__name__):
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()


def code_digest(function: Callable[..., object]) -> str:
    """SHA-256 of a function's source with that of all it names, as far as it is not an installed package's.

    Plain constants count by value; what an installed package defines counts by name, for its version is recorded apart.
    """
    digest, seen = hashlib.sha256(), set[int]()
    for text in _texts(function, seen):
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


def _texts(value: object, seen: set[int]) -> Iterator[str]:
    if id(value) in seen:
        return
    seen.add(id(value))
    match value:
        case functools.partial():
            yield f"partial {value.args!r} {sorted(value.keywords.items())!r}"
            yield from _texts(value.func, seen)
        case FunctionType() if not _installed(value.__module__):
            yield from _function_texts(value, seen)
        case type() if not _installed(value.__module__):
            yield _source(value)
            members = (getattr(member, "__func__", member) for member in vars(value).values())
            for part in (*value.__bases__, *filter(callable, members)):
                yield from _texts(part, seen)
        case ModuleType() if not _installed(value.__name__):
            yield _source(value)
        case ModuleType():
            yield f"module {value.__name__}"
        case _ if isinstance(value, _PLAIN):
            yield repr(value)
        case list() | tuple() | dict() | set() | frozenset():
            yield repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
        case _:
            yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _function_texts(function: FunctionType, seen: set[int]) -> Iterator[str]:
    yield _source(function)
    yield repr((function.__defaults__, function.__kwdefaults__))
    cells = inspect.getclosurevars(function).nonlocals
    for name in sorted(_names(function.__code__)):
        if name in cells or name in function.__globals__:
            yield name
            yield from _texts(cells.get(name, function.__globals__.get(name)), seen)


def _names(code: CodeType) -> set[str]:
    """All names that the code, and the code inside it, refers to."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names, inner))


def _source(value: FunctionType | type | ModuleType) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # typed into a session that keeps no text
        code = getattr(value, "__code__", None)
        return repr(value) if code is None else repr((code.co_code, code.co_names, _constants(code)))


def _constants(code: CodeType) -> tuple[object, ...]:
    return tuple(
        (inner.co_code, _constants(inner)) if isinstance(inner, CodeType) else inner for inner in code.co_consts
    )


def _installed(module: str) -> bool:
    """Whether a module belongs to Python or an installed package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module.partition(".")[0] in (*sys.builtin_module_names, "featurestore", "pipelines"):
        return True
    return file is not None and str(Path(file).resolve()).startswith(_INSTALLED)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return run.stdout.strip() if run.returncode == 0 else None
