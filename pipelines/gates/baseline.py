"""What accepted training data looked like: frozen bins, shares, nulls and rows per day, kept as JSON in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl

from featurestore.errors import InputError
from featurestore.statistics.bins import Bins
from pipelines.gates.counting import Counts, make_bins

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """A training frame, and what is what in it.

    `inputs` are the features that the model learns from, `label` what it learns, `timestamp` the instants of the
    examples, `known_at` when each label became known (columns of instants). `as_of_us` is the instant of the run, and
    `watermarks` are those of the views behind the inputs then (None: nothing was committed), in microseconds.
    """

    frame: pl.DataFrame
    inputs: tuple[str, ...]
    label: str
    timestamp: str
    known_at: str
    as_of_us: int
    watermarks: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def judged(self) -> tuple[str, ...]:
        """The columns whose values are compared with earlier ones: inputs and label."""
        return (*(name for name in self.inputs if name != self.label), self.label)


class BaselineColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column as it was: its polars type, its bins, and how many of its values lay in each."""

    dtype: str
    bins: Bins
    counts: Counts


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The data that a later one is compared with: its rows, the instants of its first and last example, its columns."""

    rows: int
    first_us: int | None
    last_us: int | None
    columns: dict[str, BaselineColumn]

    @property
    def rows_per_day(self) -> float:
        """Examples per day between the first and the last; data of less than a day counts as one day's."""
        return per_day(self.rows, self.first_us, self.last_us)

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        document: dict[str, object] = msgspec.to_builtins(self)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Baseline:
        """The baseline of `to_json`; raises InputError when it is none."""
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"This is no baseline of training data: {error}.") from error


def make_baseline(data: TrainingData) -> Baseline:
    """What the data looks like, with bins made from it; the columns are those that it says it has."""
    frame = data.frame
    first, last = extent(frame, data.timestamp)
    return Baseline(
        rows=frame.height,
        first_us=first,
        last_us=last,
        columns={
            name: BaselineColumn(dtype=str(frame.schema[name]), bins=bins, counts=counts)
            for name, (bins, counts) in make_bins(frame, data.judged).items()
        },
    )


def extent(frame: pl.DataFrame, timestamp: str) -> tuple[int | None, int | None]:
    """The first and the last instant of a column, in microseconds; None of no rows."""
    first, last = frame.select(
        pl.col(timestamp).min().dt.epoch("us").alias("first"), pl.col(timestamp).max().dt.epoch("us").alias("last")
    ).row(0)
    return first, last


def per_day(rows: int, first_us: int | None, last_us: int | None) -> float:
    """Rows per day over a span that counts as one day at least."""
    span = 0 if first_us is None or last_us is None else last_us - first_us
    return rows * DAY_US / max(span, DAY_US)
