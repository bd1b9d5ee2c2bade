"""Definition files: loaded together, with all their faults reported at once."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any

from featurestore.definitions import Declaration
from featurestore.definitions.faults import collecting
from featurestore.errors import ConfigurationError, DefinitionError, Fault, closest_first

_UNEXPECTED = re.compile(r"^(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")


def load_declarations(root: Path, folder: str) -> tuple[Declaration, ...]:
    """Everything of the store that the files of a project's definition folder declare (`load_objects`)."""
    return tuple(load_objects(root, folder, Declaration))


def load_objects(root: Path, folder: str, kind: type | UnionType) -> tuple[Any, ...]:
    """All objects of a kind that the files of a project's definition folder name, in the order of files and lines.

    Files may import each other as `{folder}.{file}`. Raises DefinitionError with every fault of every file.
    """
    place = root / folder
    if not place.is_dir():
        raise ConfigurationError(
            f"The definition folder {place} does not exist; create it, or set `definitions` in featurestore.toml."
        )
    files = sorted(path for path in place.glob("*.py") if path.name != "__init__.py")
    if not files:
        raise ConfigurationError(f"The definition folder {place} holds no Python file; write one with a declaration.")
    faults: list[Fault] = []
    objects: dict[int, object] = {}
    with importable(root, folder), collecting() as gathered:
        for file in files:
            module, fault = _load(f"{folder.replace('/', '.')}.{file.stem}", root, file)
            if fault is not None:
                faults.append(fault)
            if module is not None:
                objects.update((id(value), value) for value in vars(module).values() if isinstance(value, kind))
    faults = [*gathered, *faults]
    if faults:
        shown = (_relative(fault, root) for fault in dict.fromkeys(faults))
        raise DefinitionError(sorted(shown, key=lambda fault: (fault.file or "", fault.line or 0)))
    return tuple(objects.values())


@contextmanager
def importable(root: Path, folder: str) -> Iterator[None]:
    """The folder of this project as a package, nothing of it left from an earlier load, and the root on the path.

    The package is made by hand: another folder of that name on the import path would otherwise come first. What files
    print goes to stderr, for stdout is for answers.
    """
    first, *_ = parts = folder.split("/")
    for name in [name for name in sys.modules if name == first or name.startswith(f"{first}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    for depth in range(1, len(parts) + 1):
        package = ModuleType(".".join(parts[:depth]))
        package.__path__ = [str(root.joinpath(*parts[:depth]))]
        sys.modules[package.__name__] = package
    sys.path.insert(0, str(root))
    # bytecode knows its source by size and second: a file that was edited just now could be taken for what it was
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = writes_none


def _load(name: str, root: Path, file: Path) -> tuple[ModuleType | None, Fault | None]:
    try:
        file.read_bytes()  # the import system calls a file that it may not read a module that does not exist
    except OSError as error:
        return None, Fault(f"the file cannot be read: {error.strerror}; grant rights, or remove it.", str(file))
    try:
        module = importlib.import_module(name)
    except SyntaxError as error:
        return None, Fault(f"{_syntax(error)}.", error.filename or str(file), error.lineno)
    except UnicodeDecodeError as error:
        return None, Fault(f"the file is not UTF-8 text: {error}.", str(file), 1)
    except NameError as error:
        message = f"'{error.name}' is not declared; declare it above, import it, or take it out where it is named."
        return None, Fault(message, str(file), _line_in(file, root, error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a definition file is the user's program, whatever it raises
        message = _argument(error) or f"{type(error).__name__}: {error}"
        return None, Fault(message, str(file), _line_in(file, root, error))
    return module, None


def _argument(error: BaseException) -> str | None:
    """The sentence for an argument that what was called does not take, with those that it takes."""
    found = _UNEXPECTED.match(str(error)) if isinstance(error, TypeError) else None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = frames[-1].f_globals.get(found[1]) if found and frames else None
    if found is None or not callable(called):
        return None
    names = [name for name in inspect.signature(called).parameters if name != "self"]
    return f"{found[1]} has no argument '{found[2]}'. Arguments: {', '.join(closest_first(found[2], names)[:10])}."


def _syntax(error: SyntaxError) -> str:
    return error.msg if error.msg.startswith("invalid syntax") else f"invalid syntax: {error.msg}"


def _line_in(file: Path, root: Path, error: BaseException) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return lines[-1] if lines else next((f.lineno for f in frames if f.filename.startswith(str(root))), 1)


def _relative(fault: Fault, root: Path) -> Fault:
    if fault.file is not None and Path(fault.file).is_relative_to(root):
        return replace(fault, file=str(Path(fault.file).relative_to(root)))
    return fault
