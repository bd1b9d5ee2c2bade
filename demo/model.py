"""The delay model: gradient-boosted trees over what the schedule says, with or without features of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from demo.instants import NEW_YORK

CATEGORIES = ("carrier", "origin", "dest")
SCHEDULE = ("minute_of_day", "weekday", "block_min", "distance", *CATEGORIES)
"""What is known of a flight without the store: `schedule_features` adds the first three to a spine."""

ROUNDS = 100


def schedule_features(spine: pl.DataFrame) -> pl.DataFrame:
    """The spine with New York's `minute_of_day` and `weekday` (1 is Monday) of the departure, and `block_min`.

    `block_min` is the scheduled time from gate to gate in minutes.
    """
    local = pl.col("sched_dep").dt.convert_time_zone(NEW_YORK)
    return spine.with_columns(
        minute_of_day=local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute(),
        weekday=local.dt.weekday().cast(pl.Int64),
        block_min=(pl.col("sched_arr") - pl.col("sched_dep")).dt.total_minutes(),
    )


@dataclass(frozen=True, slots=True)
class DelayModel:
    """A trained classifier, the columns it reads, and the values that each category may take."""

    columns: tuple[str, ...]
    classifier: HistGradientBoostingClassifier = field(repr=False)
    categories: Mapping[str, pl.Enum] = field(repr=False)

    def probabilities(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """For each row the probability of a late arrival; a category never seen in training counts as missing."""
        with threadpool_limits(1):
            found = self.classifier.predict_proba(_inputs(rows, self.columns, self.categories))
        return np.asarray(found[:, 1], np.float64)

    def roc_auc(self, rows: pl.DataFrame) -> float:
        """The chance that a late flight is rated above a punctual one; `rows` have the label `late`."""
        return float(roc_auc_score(rows["late"].to_numpy(), self.probabilities(rows)))


def train(rows: pl.DataFrame, columns: Sequence[str]) -> DelayModel:
    """A model of `late` that reads `columns`; nulls are a value of their own. The same rows give the same model.

    One thread: on a machine with other work, several that wait for each other at every node are slower than one.
    """
    categories = {name: pl.Enum(rows[name].unique().sort()) for name in CATEGORIES if name in columns}
    classifier = HistGradientBoostingClassifier(
        max_iter=ROUNDS, categorical_features="from_dtype", early_stopping=False, random_state=0
    )
    with threadpool_limits(1):
        classifier.fit(_inputs(rows, columns, categories), rows["late"].to_numpy())
    return DelayModel(tuple(columns), classifier, categories)


def train_all(jobs: Sequence[tuple[pl.DataFrame, Sequence[str]]]) -> list[DelayModel]:
    """One model for each pair of rows and columns, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda job: train(*job), jobs))


def _inputs(rows: pl.DataFrame, columns: Sequence[str], categories: Mapping[str, pl.Enum]) -> pl.DataFrame:
    return rows.select(
        pl.col(name).cast(categories[name], strict=False) if name in categories else pl.col(name).cast(pl.Float64)
        for name in columns
    )
