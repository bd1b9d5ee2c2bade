"""Which part each row of a table falls into, as a split says: computed from the rows alone, with no state.

Hashes are SplitMix64 (Steele, Lea and Flood 2014, as in Vigna's splitmix64.c) of integers and instants, BLAKE2b of all
other values, chained column by column from the seed: defined bit by bit, so equal on every machine and release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.arrow import instants
from featurestore.definitions.splits import EntitySplit, RandomSplit, Split, TimeSplit
from featurestore.errors import InputError, TooFewRowsError, closest_first
from featurestore.timeline import duration_us, format_instant, instant_us

PARTS = ("train", "validation", "test")
LEFT_OUT = -1
_BITS = 53
_GAMMA = 0x9E3779B97F4A7C15
_NULL = np.uint64(0x6E756C6C)

Places = npt.NDArray[np.int8]
_Hashes = npt.NDArray[np.uint64]
_Instants = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.bool_]


def split_frame(frame: pl.DataFrame, split: Split, keys: Sequence[str], timestamp: str) -> dict[str, pl.DataFrame]:
    """The rows of train, validation and test, each in the frame's order; `keys` and `timestamp` are the spine's."""
    columns = _columns(split, keys, timestamp)
    _known(columns, frame.columns)
    return split_by(frame, places(frame.select(columns).to_arrow(), split, keys, timestamp))


def split_by(frame: pl.DataFrame, found: Places) -> dict[str, pl.DataFrame]:
    """The rows of each part."""
    return {part: frame.filter(pl.Series(found == place)) for place, part in enumerate(PARTS)}


def places(table: pa.Table, split: Split, keys: Sequence[str], timestamp: str) -> Places:
    """For each row the place of its part in PARTS, or LEFT_OUT.

    Raises InputError for a column that is missing, and TooFewRowsError for a time split that leaves no row to train on.
    """
    _known(_columns(split, keys, timestamp), table.column_names)
    match split:
        case TimeSplit():
            return _by_time(table, split, timestamp)
        case EntitySplit(keys=columns):
            return _by_hash(table, columns, split)
        case RandomSplit():
            return _by_hash(table, (*keys, timestamp), split)


def _columns(split: Split, keys: Sequence[str], timestamp: str) -> list[str]:
    match split:
        case TimeSplit(known_at=known_at):
            return [timestamp] if known_at in (None, timestamp) else [timestamp, str(known_at)]
        case EntitySplit(keys=columns):
            return list(dict.fromkeys(columns))
        case RandomSplit():
            return list(dict.fromkeys((*keys, timestamp)))


def _known(columns: Sequence[str], there: Sequence[str]) -> None:
    for column in columns:
        if column not in there:
            raise InputError(
                f"Split: there is no column '{column}'. Columns: {', '.join(closest_first(column, there))}."
            )


def _by_time(table: pa.Table, split: TimeSplit, timestamp: str) -> Places:
    column = instants(table.column(timestamp), timestamp, "Split")
    at = _int64(column)
    timed = ~_nulls(column)
    end = int(at[timed].max()) + 1 if split.end is None and timed.any() else 0
    if split.end is not None:
        end = instant_us(split.end, "end")
        timed &= at < end
    known = None
    if split.known_at is not None:
        column = instants(table.column(split.known_at), split.known_at, "Split")
        known = _int64(column)
        timed &= ~_nulls(column)
        if split.end is not None:
            timed &= known <= end
    found = np.full(len(at), LEFT_OUT, dtype=np.int8)
    until, following = end, None
    for place, length in ((2, split.test), (1, split.validation)):
        if length:
            start = until - duration_us(length)
            inside = timed & (at < until) & (at >= start)
            found[_known_before(following, inside, known)] = place
            until, following = start - duration_us(split.gap), start
    found[_known_before(following, timed & (at < until), known)] = 0
    if timed.any() and not (found == 0).any():
        first, known_before = format_instant(int(at[timed].min())), ""
        if split.known_at is not None and following is not None:
            known_before = f", when '{split.known_at}' is before {format_instant(following)}"
        raise TooFewRowsError(
            f"Split '{split}' leaves no row to train on: the first row stands at {first}, and rows before "
            f"{format_instant(until)} train{known_before}. Shorten validation, test or gap."
        )
    return found


def _known_before(following: int | None, inside: _Rows, known: _Instants | None) -> _Rows:
    """The rows of a part whose label was known before the following part begins."""
    return inside if known is None or following is None else inside & (known < following)


def _by_hash(table: pa.Table, columns: Sequence[str], split: EntitySplit | RandomSplit) -> Places:
    drawn = hashes([table.column(column) for column in columns], table.num_rows, split.seed) >> np.uint64(64 - _BITS)
    train, validation, test = (Fraction(str(part)) for part in split.fractions)
    first = int(train * 2**_BITS)
    second = int((train + validation) * 2**_BITS) if test else 2**_BITS
    return np.where(drawn < first, 0, np.where(drawn < second, 1, 2)).astype(np.int8)


def hashes(columns: Sequence[pa.ChunkedArray], rows: int, seed: int) -> _Hashes:
    """64 bits for each row, of its values in the given order and the seed."""
    found = _mixed(np.full(rows, seed % 2**64, dtype=np.uint64))
    for column in columns:
        found = _mixed(found ^ _values(column))
    return found


def _values(column: pa.ChunkedArray) -> _Hashes:
    """64 bits for each value; equal values of one kind have equal bits, whatever their width."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_floating(kind):
        column = pc.add(column.cast(pa.float64()), 0.0)  # -0.0 equals 0.0
    if pa.types.is_uint64(column.type):
        bits = column.fill_null(0).to_numpy()
    elif pa.types.is_integer(column.type):
        bits = _int64(column).view(np.uint64)
    else:
        return _digests(column)
    return np.where(_nulls(column), _NULL, _mixed(bits))


def _digests(column: pa.ChunkedArray) -> _Hashes:
    """BLAKE2b of each distinct value's bytes: of text in UTF-8, of other values as Python writes them."""
    plain = column.cast(pa.large_string()) if _is_text(column.type) else column
    try:
        encoded = plain.combine_chunks().dictionary_encode()
        distinct, of_row = encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy()
    except pa.ArrowNotImplementedError:  # lists
        distinct = [None if value is None else repr(value) for value in plain.to_pylist()]
        of_row = np.arange(len(distinct))
    bits: _Hashes = np.array([*map(_digest, distinct), _NULL], dtype=np.uint64)[of_row]
    return bits


def _digest(value: object) -> int:
    if value is None:
        return int(_NULL)
    content = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else repr(value).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _mixed(bits: _Hashes) -> _Hashes:
    """The next SplitMix64 number after each state."""
    z = bits + np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _nulls(column: pa.ChunkedArray) -> _Rows:
    found: _Rows = pc.is_null(column).to_numpy()
    return found


def _int64(column: pa.ChunkedArray) -> _Instants:
    found: _Instants = column.cast(pa.int64()).fill_null(0).to_numpy()
    return found


def counts(found: Places) -> Mapping[str, int]:
    """How many rows each part has, and how many are left out."""
    return {**{part: int((found == place).sum()) for place, part in enumerate(PARTS)},
            "left_out": int((found == LEFT_OUT).sum())}  # fmt: skip
