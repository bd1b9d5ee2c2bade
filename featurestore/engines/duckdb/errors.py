"""DuckDB's failures as sentences of this platform's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from featurestore.errors import FeatureStoreError, SourceError, closest_first

REFUSED = "refused value: "  # how `error(...)` calls in compiled SQL begin
_KIND = re.compile(r"^(?:[A-Z][A-Za-z ]+ Error|[A-Z][a-z]+Error|Error): ")
_MISSING_COLUMN = re.compile(r'[Rr]eferenced column "([^"]+)"')
_FULL = ("No space left on device", "max_temp_directory_size", "failed to offload", "Disk full")
_DAMAGED = (
    "magic bytes",
    "too small to be a Parquet",
    "don't know what type",
    "Out of buffer",
    "TProtocol",
    "decompress",
)
_REMEDIES = (
    (_DAMAGED, "The file is damaged, or no Parquet file; write it again, or take it away"),
    (("Could not convert", "Division by zero", "out of range", "Overflow"), "Correct the value, or guard it with TRY"),
    (("No files found",), "Correct the path"),
    (("does not exist", "No function matches", "syntax error"), "Correct the SQL"),
)

What = str | Callable[[], str]  # where a failure happened, or what finds out
DuckDbFailure = (duckdb.Error, pa.ArrowException, OSError)


@contextmanager
def translated(
    what: What, raised: type[FeatureStoreError] = SourceError, columns: Iterable[str] = ()
) -> Iterator[None]:
    """Raise DuckDB's and Arrow's failures inside the block as `raised`; `what` says where, such as "Spine"."""
    try:
        yield
    except DuckDbFailure as error:
        raise sentence(error, what if isinstance(what, str) else what(), raised, columns) from error


def sentence(
    error: BaseException, what: str, raised: type[FeatureStoreError], columns: Iterable[str] = ()
) -> FeatureStoreError:
    """The failure as an error of this platform: one sentence that says what, where, what was found, the remedy."""
    text = str(error)
    if REFUSED in text:
        return raised(f"{what}: {text.split(REFUSED, 1)[1].splitlines()[0]}")
    if any(sign in text for sign in _FULL):
        return FeatureStoreError(
            f"{what}: the disk for temporary files is full. Free space, or give a temp_directory on a larger disk."
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory Error" in text:
        return FeatureStoreError(
            f"{what}: the memory limit is too small for this computation. Raise memory_limit, or lower threads."
        )
    if found := _MISSING_COLUMN.search(text):
        return raised(missing_column(what, found[1], columns))
    first = _first_sentence(text) or type(error).__name__
    if any(sign in text for sign in _DAMAGED):
        first = f"a file cannot be read ({first})"
    remedy = next((remedy for signs, remedy in _REMEDIES if any(sign in text for sign in signs)), "")
    return raised(f"{what}: {first}. {remedy}.") if remedy else raised(f"{what}: {first}.")


def _first_sentence(text: str) -> str:
    lines = _KIND.sub("", text.strip()).splitlines() or [""]
    printable = "".join(sign for sign in lines[0] if sign.isprintable())  # damaged files put anything there
    return printable.partition(". Use TRY")[0].rstrip(".!: ")


def missing_column(what: str, column: str, columns: Iterable[str]) -> str:
    """The sentence for a column that does not exist; existing ones are listed, close ones first."""
    existing = closest_first(column, columns)
    listing = ", ".join(existing[:10]) + (f" and {len(existing) - 10} more" if len(existing) > 10 else "")
    return f"{what}: there is no column '{column}'." + (f" Columns: {listing}." if existing else " Correct the name.")
