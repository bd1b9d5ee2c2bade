"""What a person let through although a gate refused it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from featurestore.arrow import logical_type, wire_column
from featurestore.contracts.failures import Failure, Mask, failing_rows
from featurestore.contracts.verdict import LetThrough, Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Waiver:
    """The release of a quarantine entry: it holds for one view under one contract.

    `rows` are digests of released rows over `columns`, in any interval. `checks` are names of reasons that are let
    pass for the chunk of the interval; where that is open (a push, a timeless view) for the chunk with digest `chunk`.
    A contract that changes its meaning judges anew.
    """

    entry: str
    view: str
    contract: str
    start_us: int | None
    end_us: int | None
    chunk: str | None
    columns: tuple[str, ...]
    rows: frozenset[str]
    checks: frozenset[str]
    actor: str
    reason: str
    released_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Pardon:
    """What waivers let through of one chunk: `rows` is True for released rows, `checks` are names of reasons.

    Neither holds anything that breaks a rule which cannot be waived.
    """

    rows: Mask
    checks: frozenset[str]
    by: tuple[LetThrough, ...] = ()

    def remaining(self, failures: Iterable[Failure]) -> tuple[Failure, ...]:
        """The failures that are not let through, with the rows that still fail."""
        return tuple(self._remaining(failures))

    def _remaining(self, failures: Iterable[Failure]) -> Iterator[Failure]:
        for failure in failures:
            if not failure.row_wise:
                if failure.name not in self.checks:
                    yield failure
            elif failure.rows is not None and (rows := failure.rows & ~self.rows).any():
                yield replace(failure, rows=rows)


def pardon(chunk: pa.Table, failures: Sequence[Failure], occasion: Occasion, waivers: Iterable[Waiver]) -> Pardon:
    """What the waivers let through of the failures; the first waiver that names a row or check is credited."""
    chunk_wide = frozenset(failure.name for failure in failures if failure.waivable and not failure.row_wise)
    candidates = failing_rows((f for f in failures if f.waivable and f.row_wise), chunk.num_rows)
    candidates &= ~failing_rows((f for f in failures if not f.waivable), chunk.num_rows)
    rows, checks, by = np.zeros(chunk.num_rows, bool), frozenset[str](), []
    for waiver in waivers:
        released = _released_rows(chunk, candidates & ~rows, waiver)
        passed = (waiver.checks & chunk_wide) - checks
        if passed and not _is_chunk_of(waiver, occasion, chunk):
            passed = frozenset()
        if released.any() or passed:
            by.append(LetThrough(waiver.entry, waiver.actor, int(released.sum()), tuple(sorted(passed))))
        rows, checks = rows | released, checks | passed
    return Pardon(rows, checks, tuple(by))


def _released_rows(chunk: pa.Table, candidates: Mask, waiver: Waiver) -> Mask:
    released = np.zeros(chunk.num_rows, bool)
    if candidates.any() and waiver.rows and set(waiver.columns) <= set(chunk.column_names):
        at = np.flatnonzero(candidates)
        digests = row_digests(chunk.take(pa.array(at)), waiver.columns)
        released[at] = [digest in waiver.rows for digest in digests]
    return released


def _is_chunk_of(waiver: Waiver, occasion: Occasion, chunk: pa.Table) -> bool:
    if (waiver.start_us, waiver.end_us) != (occasion.start_us, occasion.end_us):
        return False
    if waiver.chunk is None or not set(waiver.columns) <= set(chunk.column_names):
        return waiver.chunk is None
    return waiver.chunk == chunk_digest(chunk, waiver.columns)


def row_digests(table: pa.Table, columns: Sequence[str]) -> list[str]:
    """A digest of each row's values in the named columns, in hexadecimal; equal for equal values of equal types.

    NaN, null, 0.0 and -0.0 are different values; how a table is chunked or encoded does not count.
    """
    fields = [(name, str(logical_type(table.schema.field(name).type))) for name in columns]
    head = hashlib.blake2b(msgspec.msgpack.encode(fields), digest_size=_DIGEST_BYTES)
    pack = msgspec.msgpack.Encoder().encode
    digests = []
    for row in zip(*(_packable(table.column(name)) for name in columns), strict=True):
        digest = head.copy()
        digest.update(pack(row))
        digests.append(digest.hexdigest())
    return digests


def _packable(column: pa.ChunkedArray) -> Sequence[object]:
    """A column's values as MessagePack takes them; a type that no feature can have goes by its text."""
    dtype = logical_type(column.type)
    if dtype is not None:
        return wire_column(column, dtype)
    if pa.types.is_nested(column.type):
        return [None if value is None else repr(value) for value in column.to_pylist()]
    texts: list[object] = column.cast(pa.string()).to_pylist()
    return texts


def chunk_digest(chunk: pa.Table, columns: Sequence[str]) -> str:
    """A digest of all rows in the named columns, whatever their order."""
    rows = sorted(row_digests(chunk, columns))
    return hashlib.blake2b("".join(rows).encode(), digest_size=_DIGEST_BYTES).hexdigest()
