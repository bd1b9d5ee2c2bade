"""Frozen test rows with what a model and the champion say of each, and the groups that they fall into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import InputError
from pipelines.definition.metrics import METRICS
from pipelines.metrics import Numbers, measured

KnownGroups = Mapping[str, tuple[str, ...]]  # column to the values that were judged before


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """The same test rows for both: `labels`, the model's `scores`, the champion's (None: there is no champion).

    All are float64, one number per row; of a classification labels are 0 and 1 and scores the probability of 1.
    `groups` has the columns of slices and fairness, in the same order. `known` are the groups that the champion was
    judged on (`ModelVerdict.groups`). Raises InputError when the lengths differ, or labels are not finite.
    """

    labels: Numbers
    scores: Numbers
    champion: Numbers | None = None
    groups: pl.DataFrame = field(default_factory=pl.DataFrame)
    known: KnownGroups = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {self.labels.size, self.scores.size, *([] if self.champion is None else [self.champion.size])}
        lengths |= {self.groups.height} if self.groups.width else set()
        if len(lengths) > 1:
            raise InputError(f"Labels, scores and groups must have one value per test row, found {sorted(lengths)}.")
        if not np.isfinite(self.labels).all():
            raise InputError("Labels of test rows must be finite numbers; leave rows without a label out.")

    @property
    def rows(self) -> int:
        """How many test rows there are."""
        return int(self.labels.size)

    @property
    def binary(self) -> bool:
        """Whether the labels are those of a classification: 0 and 1."""
        return bool(np.isin(self.labels, (0.0, 1.0)).all())


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one value of a column, as places in the frame; `value` is text, and `null` for null."""

    value: str
    rows: NDArray[np.intp]


def groups_of(rows: ScoredRows, column: str) -> Iterator[Group]:
    """The groups of a column by its values, in their order; raises InputError when there is no such column."""
    if column not in rows.groups.columns:
        there = ", ".join(rows.groups.columns) or "none"
        raise InputError(f"The test rows have no column '{column}' to be grouped by; they have: {there}.")
    places = rows.groups.select(pl.col(column).cast(pl.String).fill_null("null").alias("value")).with_row_index("row")
    for value, found in places.group_by("value").agg("row").sort("value").iter_rows():
        yield Group(value, np.array(sorted(found), np.intp))


def group_metric(rows: ScoredRows, group: Group, metric: str) -> float | None:
    """The metric over a group's rows; None where it is undefined."""
    return measured(metric, rows.labels[group.rows], rows.scores[group.rows])


def better_by(metric: str, one: float, other: float) -> float:
    """By how much `one` is better than `other`; negative when it is worse."""
    return one - other if METRICS[metric].higher else other - one
