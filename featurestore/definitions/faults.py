"""How a declaration says what is wrong with it: every fault, with the file and line where it was declared.

Outside `collecting` a faulty declaration raises DefinitionError with all its faults. Inside, faults are gathered and
the declaration goes on, so that one pass over many files reports them all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from featurestore.dtypes import DType
from featurestore.errors import DefinitionError, Fault

_gathered: ContextVar[list[Fault] | None] = ContextVar("gathered faults", default=None)
_OURS = ("featurestore", "pipelines")  # the packages that declarations are classes of
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_COLUMNS = frozenset({"event_timestamp", "created_timestamp", "valid_from", "valid_to"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where something was declared."""

    file: str
    line: int


@contextmanager
def collecting() -> Iterator[list[Fault]]:
    """Gather the faults of declarations made inside the block instead of raising them."""
    faults: list[Fault] = []
    token = _gathered.set(faults)
    try:
        yield faults
    finally:
        _gathered.reset(token)


def declaration_site() -> Location | None:
    """The innermost place outside our packages that is on the call stack."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _OURS and not file.startswith("<"):
            return Location(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]  # the outermost frame has none, which ends the loop
    return None


class Faults:
    """The faults of one declaration; `done` raises or gathers them."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.site = declaration_site()
        self._messages: list[str] = []

    def add(self, message: str) -> None:
        """Note one fault of the declaration."""
        self._messages.append(message)

    def add_if(self, wrong: bool, message: str) -> None:
        """Note a fault when `wrong`."""
        if wrong:
            self._messages.append(message)

    def name(self, name: object, kind: str = "name") -> None:
        """A name is an identifier without a double underscore."""
        if not isinstance(name, str) or not _NAME.fullmatch(name) or "__" in name:
            self.add(
                f"{kind} {name!r} is not allowed: use letters, digits and single underscores, and start with a letter."
            )

    def column(self, name: object, kind: str) -> None:
        """A column name that the platform will write must be a name, and none of the reserved ones."""
        self.name(name, kind)
        self.add_if(name in RESERVED_COLUMNS, f"{kind} '{name}' is reserved for the platform; choose another name.")

    def dtype(self, dtype: object, where: str) -> None:
        """A type is a DType."""
        if not isinstance(dtype, DType):
            self.add(f"{where} needs a type such as Int64 or Float64, found {dtype!r}.")

    def duration(self, value: object, what: str, *, zero: bool = False) -> None:
        """A duration is a positive timedelta, or zero where that is allowed."""
        if not isinstance(value, timedelta):
            self.add(f"{what} must be a timedelta, found {value!r}.")
        elif value < timedelta(0) or (not value and not zero):
            self.add(f"{what} must be {'zero or ' if zero else ''}positive, got {_plain(value)}.")

    def duplicates(self, names: tuple[str, ...], kind: str) -> None:
        """No name twice, and no two that differ in case only, which tables and SQL do not tell apart."""
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.add(f"{kind} '{name}' is declared {names.count(name)} times; give each its own name.")
        for name, other in cased_alike(names):
            self.add(f"{kind} '{other}' differs from '{name}' in case only; give it another name.")

    def texts(self, description: object, owner: object, tags: object) -> None:
        """Metadata is text."""
        self.add_if(not isinstance(description, str), f"description must be text, found {description!r}.")
        self.add_if(not isinstance(owner, str), f"owner must be text, found {owner!r}.")
        texts = isinstance(tags, Mapping) and all(isinstance(v, str) for pair in tags.items() for v in pair)
        self.add_if(not texts, f"tags must map text to text, found {tags!r}.")

    def done(self) -> None:
        """Raise what was found, or hand it to the enclosing `collecting`."""
        file, line = (self.site.file, self.site.line) if self.site else (None, None)
        faults = [Fault(f"{self.what}: {message}", file, line) for message in self._messages]
        gathered = _gathered.get()
        if gathered is not None:
            gathered.extend(faults)
        elif faults:
            raise DefinitionError(faults)


def cased_alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each name that differs from an earlier one in case only, after that one."""
    first: dict[str, str] = {}
    for name in dict.fromkeys(names):
        earlier = first.setdefault(name.casefold(), name)
        if earlier != name:
            yield earlier, name


def _plain(duration: timedelta) -> str:
    days, rest = divmod(duration, timedelta(days=1))
    if not rest and days:
        return f"{days} day{'s' if abs(days) != 1 else ''}"
    return str(duration) if duration >= timedelta(0) else f"-{-duration}"
