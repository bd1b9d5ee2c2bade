"""Profiles of the columns of an Arrow table, each column on a thread of its own."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.dtypes import DType, Int64, to_json
from featurestore.plan.nodes import Column
from featurestore.statistics import _arrays
from featurestore.statistics._arrays import REGISTERS, Hashes, Numbers
from featurestore.statistics.bins import ENOUGH, LONGEST, SAMPLE, Bins, number_bins, text_bins
from featurestore.statistics.distinct import pack_registers
from featurestore.statistics.profile import QUANTILES, Extreme, Profile, between, moments

_FEW = 100_000
_LONG = 1_000  # bytes
_BLOCK = 131_072  # rows that are looked at together: what fits the processor's cache
_TEXTS = frozenset({"String", "Bool"})
_LENGTHS = frozenset({"List", "Vector", "Bytes"})
_FLOATS = frozenset({"Float32", "Float64"})
_TRUTH = Bins(categories=("false", "true"))

Kept = Sequence[tuple[float | str, int]]  # values of earlier intervals with their counts


def _passes(rows: int, longest: int = 0) -> ModuleType:
    """What looks at values: compiled code for many of them, or for long texts; loading it takes half a second."""
    if rows < _FEW and longest < _LONG:
        return _arrays
    from featurestore.statistics import _kernels

    return _kernels


def counted_type(dtype: DType) -> DType:
    """The type of what is counted of a column: its values, or the lengths of lists, vectors and bytes."""
    return Int64 if dtype.name in _LENGTHS else dtype


def is_text(dtype: DType) -> bool:
    """Whether a column has categories; else it has numbers (times are numbers, lengths stand for lists)."""
    return dtype.name in _TEXTS


def profiles_of(
    table: pa.Table, columns: Sequence[Column], bins: Mapping[str, Bins], kept: Mapping[str, Kept], threads: int | None
) -> dict[str, tuple[Profile, Bins | None]]:
    """Each column's profile, and the bins that it is counted in.

    A column without bins gets them once `kept`, the values of earlier intervals, and its own are enough; before that
    its profile has the values themselves, and None for bins.
    """

    def profile(column: Column) -> tuple[Profile, Bins | None]:
        values, before = table.column(column.name), kept.get(column.name, ())
        counting = _count_texts if is_text(column.dtype) else _count_numbers
        return counting(values, column.dtype, bins.get(column.name), before)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return dict(zip((column.name for column in columns), pool.map(profile, columns), strict=True))


def _count_numbers(values: pa.ChunkedArray, dtype: DType, bins: Bins | None, kept: Kept) -> tuple[Profile, Bins | None]:
    pairs = [_numbers(block, dtype) for block in _blocks(values)]
    blocks = [block for block, _ in pairs]
    used = bins or _bins_for(blocks, kept, whole=dtype.name not in _FLOATS)
    passes = _passes(len(values))
    edges, registers = used.filled(), np.zeros(REGISTERS, np.uint8)
    counts = np.zeros(len(used), np.int64)
    lows, highs = np.full(len(used), np.inf), np.full(len(used), -np.inf)
    parts = [
        Profile(rows=block.size, nan=nan, infinite=infinite, mean=mean, squares=squares)
        for block, bits in pairs
        for nan, infinite, _, mean, squares in [
            passes.count_numbers(block, bits, edges, (counts, lows, highs), registers)
        ]
    ]
    counted = int(counts.sum())
    mean, squares = moments(parts)
    profile = Profile(
        rows=len(values),
        nulls=values.null_count,
        nan=sum(part.nan for part in parts),
        infinite=sum(part.infinite for part in parts),
        mean=mean,
        squares=squares,
        quantiles=_quantiles(blocks, edges, (counts, lows, highs)) if counted else (),
        registers=pack_registers(registers) if counted else b"",
    )
    if counted:
        least, greatest = _extremes(values, dtype, float(lows.min()), float(highs.max()))
        profile = msgspec.structs.replace(profile, least=least, greatest=greatest)
    if bins is None and counted + sum(count for _, count in kept) < ENOUGH:
        return msgspec.structs.replace(profile, values=_values(blocks)), None
    if not counted:
        return profile, bins
    bounds = {"lows": tuple(lows.tolist()), "highs": tuple(highs.tolist())}
    return msgspec.structs.replace(profile, counts=tuple(counts.tolist()), **bounds), used


def bins_of_values(values: Kept, dtype: DType) -> Bins:
    """Bins for values with their counts, all there are."""
    if is_text(dtype):
        return _TRUTH if dtype.name == "Bool" else text_bins((str(text), count) for text, count in values)
    return _bins_for((), values, whole=dtype.name not in _FLOATS)


def _blocks(values: pa.ChunkedArray) -> Iterator[pa.Array]:
    """The values without nulls, in pieces."""
    for chunk in values.chunks:
        for start in range(0, len(chunk), _BLOCK):
            block = chunk.slice(start, _BLOCK).drop_null()
            if len(block):
                yield block


def _numbers(block: pa.Array, dtype: DType) -> tuple[Numbers, Hashes]:
    """What is counted of a block's values, and the bits that tell different ones apart.

    Whole numbers beyond 2^53 and decimals beyond 15 digits are rounded; the bits of the former are not.
    """
    match dtype.name:
        case "Bytes":
            block = pc.binary_length(block)
        case "List" | "Vector":
            block = pc.list_value_length(block)
        case "Date":
            block = block.cast(pa.int32())
        case "Timestamp":
            block = block.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    numbers: Numbers = block.cast(pa.float64(), safe=False).to_numpy()
    if pa.types.is_integer(block.type):
        kind = pa.uint64() if pa.types.is_unsigned_integer(block.type) else pa.int64()
        return numbers, block.cast(kind).to_numpy().view(np.uint64)
    return numbers, numbers.view(np.uint64)


def _bins_for(blocks: Sequence[Numbers], kept: Kept, *, whole: bool) -> Bins:
    """Bins for numbers like those of the blocks and the kept ones; any when there are none."""
    every = max(1, sum(block.size for block in blocks) // SAMPLE)
    sample = _finite([block[::every] for block in blocks])
    if every > 1 and sample.size < ENOUGH:
        sample = _finite(blocks)
    before = np.repeat(
        np.array([value for value, _ in kept], np.float64), np.array([count for _, count in kept], np.int64)
    )
    numbers = np.concatenate([sample, before])
    return number_bins(numbers if numbers.size else np.zeros(1), whole=whole)


def _finite(blocks: Sequence[Numbers]) -> Numbers:
    numbers: Numbers = np.concatenate([*blocks, np.empty(0)]) + 0.0
    return numbers[np.isfinite(numbers)]


def _values(blocks: Sequence[Numbers]) -> tuple[tuple[float, int], ...]:
    values, counts = np.unique(_finite(blocks), return_counts=True)
    return tuple(zip(values.tolist(), counts.tolist(), strict=True))


def _extremes(values: pa.ChunkedArray, dtype: DType, least: float, greatest: float) -> tuple[Extreme, Extreme]:
    """Least and greatest in JSON form: of whole numbers, decimals and times to the last digit."""
    if dtype.name in _LENGTHS:
        return int(least), int(greatest)
    if dtype.name in _FLOATS:
        return least, greatest
    found = pc.min_max(values)
    return cast(Extreme, to_json(found["min"].as_py())), cast(Extreme, to_json(found["max"].as_py()))


def _quantiles(
    blocks: Sequence[Numbers], edges: Numbers, bins: tuple[NDArray[np.int64], Numbers, Numbers]
) -> tuple[float, ...]:
    """The exact QUANTILES: only bins that one falls in, and that hold different numbers, are looked at again."""
    counts, lows, highs = bins
    ends = np.cumsum(counts)
    at = np.array(QUANTILES) * (ends[-1] - 1)
    ranks = np.unique(np.concatenate([np.floor(at), np.ceil(at)]).astype(np.int64))
    places = np.searchsorted(ends, ranks, side="right")
    found = {int(rank): float(lows[place]) for rank, place in zip(ranks, places, strict=True)}
    open_ = lows[places] < highs[places]
    if open_.any():
        wanted = np.zeros(edges.size, bool)
        wanted[places[open_]] = True
        picked = _picked(blocks, edges, wanted, int(counts[wanted[: counts.size]].sum()))
        passed = np.cumsum(np.where(wanted[: counts.size], 0, counts))  # values up to a bin that were not picked
        positions = ranks[open_] - passed[places[open_]]
        picked.partition(positions)
        found |= zip(ranks[open_].tolist(), picked[positions].tolist(), strict=True)
    return tuple(
        between(found[math.floor(place)], found[math.ceil(place)], float(place - math.floor(place))) for place in at
    )


def _picked(blocks: Sequence[Numbers], edges: Numbers, wanted: NDArray[np.bool_], size: int) -> Numbers:
    picked = np.empty(size + 1)
    passes = _passes(sum(block.size for block in blocks))
    filled = 0
    for block in blocks:
        filled += passes.pick_numbers(block, edges, wanted, picked[filled:])
    return picked[:size]


def _count_texts(values: pa.ChunkedArray, dtype: DType, bins: Bins | None, kept: Kept) -> tuple[Profile, Bins | None]:
    registers = np.zeros(REGISTERS, np.uint8)
    blocks = [block.cast(pa.large_string()) for block in _blocks(values)]
    texts = [_bytes_of(block) for block in blocks]
    longest = max((int(np.diff(offsets).max(initial=0)) for _, offsets in texts), default=0)
    passes = _passes(len(values), longest)
    for data, offsets in texts:
        passes.hash_texts(data, offsets, registers)
    counted = sum(len(block) for block in blocks)
    profile = Profile(
        rows=len(values), nulls=values.null_count, registers=pack_registers(registers) if counted else b""
    )
    used = _TRUTH if dtype.name == "Bool" else bins
    if used is None:
        sample = _value_counts(blocks, every=max(1, counted // SAMPLE))
        if counted + sum(count for _, count in kept) < ENOUGH:
            return msgspec.structs.replace(profile, values=tuple(sorted(sample))), None
        used = text_bins([*sample, *((str(text), count) for text, count in kept)])
    if not counted:
        return profile, used
    counts = np.zeros(len(used), np.int64)
    categories = pa.array(used.categories, pa.large_string())
    for block in blocks:
        found = pc.fill_null(pc.index_in(block, value_set=categories), len(categories)).to_numpy()
        counts += np.bincount(found, minlength=len(used))
    return msgspec.structs.replace(profile, counts=tuple(counts.tolist())), used


def _bytes_of(block: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a block of one text or more without nulls, and between which of them each stands."""
    _, offsets, data = block.buffers()
    ends = np.frombuffer(offsets, np.int64)[block.offset : block.offset + len(block) + 1]
    return np.frombuffer(data or b"", np.uint8), ends


def _value_counts(blocks: Sequence[pa.Array], every: int) -> list[tuple[str, int]]:
    """The texts of every so manieth row that can be categories, with their counts."""
    sample = pa.chunked_array([block.take(np.arange(0, len(block), every)) for block in blocks], pa.large_string())
    found = pc.value_counts(sample.filter(pc.less_equal(pc.utf8_length(sample), LONGEST)))
    return list(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
