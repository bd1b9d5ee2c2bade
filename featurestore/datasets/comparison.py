"""Two sets of rows side by side: which rows are in both, and in which cells they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from featurestore.dataset import Dataset, MadeView, Manifest

_PLACE, _TIMES = "__place", "__times"


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """A column of two sets of rows, one and other: how many of the rows in both differ, and what each holds as a whole.

    `differ` counts differing bits, so 0.0 and -0.0 differ; None when the types do. Means are of what is not null, None
    for what is no number.
    """

    name: str
    types: tuple[str, str]
    differ: int | None
    nulls: tuple[int, int]
    means: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ViewDifference:
    """A view in the manifests of both; None where one does not read it."""

    name: str
    one: MadeView | None
    other: MadeView | None

    @property
    def same(self) -> bool:
        """Whether both read the same meaning in the same version of its table."""
        return self.one == self.other


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """What tells two datasets apart.

    Rows are the same when their join keys and instant are; of several such rows the first equals the first, and so on.
    `unmatched` says why rows could not be matched: then counts are None and no column has `differ`. `columns` are those
    that both have, without keys and instant; `only_one` and `only_other` the columns that one of them has.
    """

    one: str
    other: str
    same_bytes: bool
    same_spine: bool
    rows: tuple[int, int]
    unmatched: str | None
    common: int | None
    removed: int | None
    added: int | None
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]
    views: tuple[ViewDifference, ...]
    engine: tuple[tuple[str, str | None, str | None], ...]
    columns: tuple[ColumnDifference, ...]


@dataclass(frozen=True, slots=True)
class _Matched:
    """The places of the rows that both have, in one and in the other."""

    one: pl.Series
    other: pl.Series


def compare(one: Dataset, other: Dataset) -> DatasetDiff:
    """What tells two datasets apart; raises OfflineStoreError when a file is gone."""
    columns = [dict(dataset.columns()) for dataset in (one, other)]
    before, after = one.manifest, other.manifest
    identity = (*before.keys, before.timestamp)
    unmatched = _unmatched(before, after, columns[0], columns[1])
    matched = None if unmatched else _matched(one.path, other.path, identity)
    shared = [name for name in columns[0] if name in columns[1] and (unmatched or name not in identity)]
    common = None if matched is None else len(matched.one)
    return DatasetDiff(
        one=one.reference,
        other=other.reference,
        same_bytes=before.sha256 == after.sha256,
        same_spine=before.spine.sha256 == after.spine.sha256,
        rows=(one.rows, other.rows),
        unmatched=unmatched,
        common=common,
        removed=None if common is None else one.rows - common,
        added=None if common is None else other.rows - common,
        only_one=tuple(name for name in columns[0] if name not in columns[1]),
        only_other=tuple(name for name in columns[1] if name not in columns[0]),
        views=tuple(
            ViewDifference(name, before.views.get(name), after.views.get(name))
            for name in dict.fromkeys((*before.views, *after.views))
        ),
        engine=tuple(
            (package, before.engine.get(package), after.engine.get(package))
            for package in sorted(before.engine.keys() | after.engine.keys())
            if before.engine.get(package) != after.engine.get(package)
        ),
        columns=tuple(_difference(name, one.path, other.path, matched) for name in shared),
    )


def compare_in_place(one: Path, other: Path) -> tuple[ColumnDifference, ...]:
    """Where files that hold rows of one spine, in its order, differ: the columns with cells or types that do."""
    height = pq.read_metadata(one).num_rows
    if height != pq.read_metadata(other).num_rows:
        return ()
    every = pl.int_range(height, eager=True)
    names = [name for name in pq.read_schema(one).names if name in pq.read_schema(other).names]
    found = (_difference(name, one, other, _Matched(every, every)) for name in names)
    return tuple(difference for difference in found if difference.differ != 0)


def _unmatched(one: Manifest, other: Manifest, columns: dict[str, str], others: dict[str, str]) -> str | None:
    identities = [(*manifest.keys, manifest.timestamp) for manifest in (one, other)]
    if identities[0] != identities[1]:
        return f"rows are told apart by {', '.join(identities[0])} in one, by {', '.join(identities[1])} in the other"
    for name in identities[0]:
        if columns[name] != others[name]:
            return f"column '{name}' is {columns[name]} in one, {others[name]} in the other"
    return None


def _matched(one: Path, other: Path, identity: Sequence[str]) -> _Matched:
    names = list(dict.fromkeys(identity))
    rows = [
        pl.read_parquet(path, columns=names, glob=False)
        .with_columns(pl.int_range(pl.len()).over(names).alias(_TIMES))
        .with_row_index(_PLACE)
        for path in (one, other)
    ]
    both = rows[0].join(rows[1], on=[*names, _TIMES], nulls_equal=True, suffix="_other")
    return _Matched(both[_PLACE], both[f"{_PLACE}_other"])


def _difference(name: str, one: Path, other: Path, matched: _Matched | None) -> ColumnDifference:
    values = [pl.read_parquet(path, columns=[name], glob=False).to_series() for path in (one, other)]
    types = (str(values[0].dtype), str(values[1].dtype))
    differ = None
    if matched is not None and types[0] == types[1]:
        differ = _differing(values[0].gather(matched.one), values[1].gather(matched.other))
    nulls = (values[0].null_count(), values[1].null_count())
    return ColumnDifference(name, types, differ, nulls, (_mean(values[0]), _mean(values[1])))


def _differing(one: pl.Series, other: pl.Series) -> int:
    """In how many places the bits differ; null equals null."""
    if one.dtype.is_float():
        width = np.dtype(np.uint64 if one.dtype == pl.Float64 else np.uint32)
        bits = [series.fill_null(0).to_numpy().view(width) for series in (one, other)]
        nulls = [series.is_null().to_numpy() for series in (one, other)]
        return int(((bits[0] != bits[1]) | (nulls[0] != nulls[1])).sum())
    return int(one.ne_missing(other).sum())


def _mean(values: pl.Series) -> float | None:
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        return None
    mean = values.mean()
    return float(mean) if isinstance(mean, int | float) else None if mean is None else float(str(mean))
