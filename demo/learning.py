"""Four models of the same flights: the schedule alone, then with plain features, windows, and a leak on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from demo.flights import SPINE, Labelled
from demo.leak import DAY_AVERAGES, day_averages, day_averages_so_far
from demo.model import SCHEDULE, DelayModel, schedule_features, train_all
from featurestore import FeatureStore

LABELS_AND_KEYS = frozenset(SPINE)


@dataclass(frozen=True, slots=True)
class Score:
    """ROC AUC of a model on the scored weeks, which reads `added` columns more than the one before it.

    `promised` is what the columns say after the fact, `live` what they say at the departure.
    """

    added: int
    promised: float
    live: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The scores, each model on top of the one before; `model` is the one with the windows."""

    schedule: Score
    plain: Score
    windows: Score
    leaky: Score
    model: DelayModel


def feature_columns(training: pl.DataFrame) -> tuple[str, ...]:
    """The columns that the service added to the spine, in its order."""
    return tuple(name for name in training.columns if name not in LABELS_AND_KEYS)


def features_of(store: FeatureStore, flights: Labelled, service: str) -> pl.DataFrame:
    """The labelled flights with the service's features as known at the scheduled departure."""
    return store.get_historical_features(flights.spine, service, timestamp="sched_dep").to_polars()


def compare(training: pl.DataFrame, scoring: pl.DataFrame, plain: Sequence[str], flights: pl.DataFrame) -> Comparison:
    """Train on `training`, score on `scoring`: both are spines with a service's features; `flights` has all flights.

    `plain` names the features without windows. The leaky model has all of them and the averages of the day; on duty it
    gets the averages so far.
    """
    every = feature_columns(training)
    leaked = day_averages(flights)
    rows = schedule_features(training).join(leaked, on="flight_id", how="left", maintain_order="left")
    scored = schedule_features(scoring)
    offered = ((*SCHEDULE, *every, *DAY_AVERAGES), (*SCHEDULE, *every), (*SCHEDULE, *plain), SCHEDULE)
    leaky, with_windows, with_plain, without = train_all([(rows, columns) for columns in offered])
    return Comparison(
        schedule=_score(without, scored, len(SCHEDULE)),
        plain=_score(with_plain, scored, len(plain)),
        windows=_score(with_windows, scored, len(every) - len(plain)),
        leaky=Score(
            len(DAY_AVERAGES),
            promised=leaky.roc_auc(scored.join(leaked, on="flight_id", how="left")),
            live=leaky.roc_auc(scored.join(day_averages_so_far(flights), on="flight_id", how="left")),
        ),
        model=with_windows,
    )


def _score(model: DelayModel, scored: pl.DataFrame, added: int) -> Score:
    """The score of a model whose columns say the same after the fact as at the departure."""
    found = model.roc_auc(scored)
    return Score(added, promised=found, live=found)
