"""Names and values as SQL text."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """An identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string value."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """A list of string values."""
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def listed(parts: Iterable[str]) -> str:
    """The parts, separated by commas."""
    return ", ".join(parts)


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, lengthened until none of the taken ones equals it; DuckDB's names ignore case."""
    others = {other.casefold() for other in taken}
    while name.casefold() in others:
        name += "_"
    return name
