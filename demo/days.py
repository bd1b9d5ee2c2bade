"""Days in the life of the store: materialize, look up what departs next, and hold each answer against history."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from demo.calendar import ASKED
from demo.model import DelayModel, schedule_features
from featurestore import FeatureStore
from featurestore.retrieval import OutOfRangeWarning

KEYS = ("carrier", "flight", "tailnum", "origin", "dest")


@dataclass(frozen=True, slots=True)
class Day:
    """One day's lookups: every departure with its predicted probability, and the cells that history answers otherwise.

    `departures` has the flight's columns and `probability`. `cells` counts compared values, `different` those whose
    value or status is not the historical one, `lookup_us` is the median time of a lookup in microseconds.
    """

    instant: datetime
    rows: int
    departures: pl.DataFrame
    cells: int
    different: int
    lookup_us: float


def live_day(store: FeatureStore, service: str, flights: pl.DataFrame, model: DelayModel, instant: datetime) -> Day:
    """Materialize up to `instant`, then look up each flight scheduled within the next hour at its departure.

    Flights that were cancelled in the end are asked for like all others: nobody knew.
    """
    report = store.materialize(instant)
    due = flights.filter(pl.col("sched_dep").is_between(instant, instant + ASKED, closed="left"))
    answers, statuses, lookup_us = _look_up(store, service, due)
    expected = _history(store, service, due)
    different = 0
    for name in answers.columns:
        values = answers[name].ne_missing(expected[name])
        reasons = pl.Series(statuses[name]) != expected[f"{name}__status"]
        different += int((values | reasons).sum())
    known = schedule_features(pl.concat([due, answers], how="horizontal"))
    return Day(
        instant=instant,
        rows=report.rows,
        departures=due.with_columns(probability=pl.Series(model.probabilities(known))),
        cells=answers.height * answers.width,
        different=different,
        lookup_us=lookup_us,
    )


def _look_up(store: FeatureStore, service: str, due: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, list[str]], float]:
    """The online answers, one lookup per flight at its own departure: features, status names, median microseconds."""
    frames, statuses, took = [], dict[str, list[str]](), []
    for flight in due.iter_rows(named=True):
        entity = {key: flight[key] for key in KEYS}
        began = time.perf_counter()
        answer = store.get_online_features(
            service, [entity], [{"sched_dep": flight["sched_dep"]}], at=flight["sched_dep"]
        )
        took.append(time.perf_counter() - began)
        frames.append(answer.to_polars().drop(KEYS))
        for name, reasons in answer.statuses.items():
            statuses.setdefault(name, []).extend(reason.name for reason in reasons)
    return pl.concat(frames), statuses, _median(took) * 1e6


def _history(store: FeatureStore, service: str, due: pl.DataFrame) -> pl.DataFrame:
    """What the offline store says of the same departures, from the same committed rows."""
    spine = due.select(*KEYS, "sched_dep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfRangeWarning)  # asked beyond the watermark, as the lookups were
        return store.get_historical_features(spine, service, timestamp="sched_dep", statuses=True).to_polars()


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
