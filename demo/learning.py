"""A training set from the store, and three models: without the store, with it, and with a leak."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from demo.flights import SPINE, Labelled
from demo.leak import DAY_AVERAGES, day_averages, day_averages_so_far
from demo.model import SCHEDULE, DelayModel, schedule_features, train_all
from featurestore import FeatureStore

LABELS_AND_KEYS = frozenset(SPINE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """ROC AUC on the scored weeks. `leaky` is what the leaky join promises, `leaky_live` what its model then does."""

    schedule: float
    store: float
    leaky: float
    leaky_live: float
    model: DelayModel

    @property
    def gain(self) -> float:
        """What the store's features add."""
        return self.store - self.schedule


def feature_columns(training: pl.DataFrame) -> tuple[str, ...]:
    """The columns that the service added to the spine, in its order."""
    return tuple(name for name in training.columns if name not in LABELS_AND_KEYS)


def features_of(store: FeatureStore, flights: Labelled, service: str) -> pl.DataFrame:
    """The labelled flights with the service's features as known at the scheduled departure."""
    return store.get_historical_features(flights.spine, service, timestamp="sched_dep").to_polars()


def compare(training: pl.DataFrame, scoring: pl.DataFrame, flights: pl.DataFrame) -> Comparison:
    """Train on `training`, score on `scoring`: both are spines with the service's features; `flights` has all flights.

    The leaky model has the store's features and the averages of the day; on duty it gets the averages so far.
    """
    offered = (*SCHEDULE, *feature_columns(training))
    leaked = day_averages(flights)
    rows = schedule_features(training).join(leaked, on="flight_id", how="left", maintain_order="left")
    scored = schedule_features(scoring)
    jobs = [(rows, (*offered, *DAY_AVERAGES)), (rows, offered), (rows, SCHEDULE)]
    leaky, with_store, without = train_all(jobs)
    return Comparison(
        schedule=without.roc_auc(scored),
        store=with_store.roc_auc(scored),
        leaky=leaky.roc_auc(scored.join(leaked, on="flight_id", how="left")),
        leaky_live=leaky.roc_auc(scored.join(day_averages_so_far(flights), on="flight_id", how="left")),
        model=with_store,
    )
