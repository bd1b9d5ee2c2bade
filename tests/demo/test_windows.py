"""The windows of the example against landings counted one by one, on two days of real flights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from featurestore import FeatureStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTES_15, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)

Row = dict[str, Any]
Value = float | None


def late(delays: Sequence[int]) -> Value:
    return sum(delay > 15 for delay in delays) / len(delays) if delays else None


def mean(delays: Sequence[int]) -> Value:
    return sum(delays) / len(delays) if delays else None


def last(delays: Sequence[int]) -> Value:
    return delays[-1] if delays else None


@dataclass(frozen=True)
class Declared:
    """What a feature is: of whose landings, at which steps, over how long, and what of their delays."""

    keys: tuple[str, ...]
    every: timedelta | None
    window: timedelta
    of_delays: Callable[[Sequence[int]], Value]


DECLARED = {
    "origin__late_2h": Declared(("origin",), MINUTES_15, 2 * HOUR, late),
    "origin__delay_1h": Declared(("origin",), MINUTES_15, HOUR, mean),
    "carrier_late_2h": Declared(("carrier",), MINUTES_15, 2 * HOUR, late),
    "carrier_late_1d": Declared(("carrier",), MINUTES_15, DAY, late),
    "carrier_late_7d": Declared(("carrier",), MINUTES_15, 7 * DAY, late),
    "route_late_6h": Declared(("origin", "dest"), HOUR, 6 * HOUR, late),
    "route_delay_6h": Declared(("origin", "dest"), HOUR, 6 * HOUR, mean),
    "route_late_28d": Declared(("origin", "dest"), HOUR, 28 * DAY, late),
    "number_delay_28d": Declared(("carrier", "flight"), 6 * HOUR, 28 * DAY, mean),
    "number_late_28d": Declared(("carrier", "flight"), 6 * HOUR, 28 * DAY, late),
    "previous_leg_delay": Declared(("tailnum",), None, 12 * HOUR, last),
    "aircraft_legs_1d": Declared(("tailnum",), None, DAY, len),
    "aircraft_late_1d": Declared(("tailnum",), None, DAY, late),
    "aircraft_late_28d": Declared(("tailnum",), None, 28 * DAY, late),
}


@pytest.fixture(scope="module")
def landed(flights: pl.DataFrame) -> list[Row]:
    return flights.filter(pl.col("arrived_at").is_not_null()).sort("arrived_at").to_dicts()


@pytest.fixture(scope="module")
def spine(flights: pl.DataFrame) -> pl.DataFrame:
    """Every twelfth flight that landed on January 1 and 2, at instants from 0 to 222 minutes after that."""
    after = pl.duration(minutes=37 * (pl.int_range(pl.len()) % 7))
    return (
        flights.filter(pl.col("arrived_at") < datetime(2013, 1, 2, 20, tzinfo=UTC))
        .gather_every(12)
        .select("carrier", "flight", "tailnum", "origin", "dest", sched_dep=pl.col("arrived_at") + after)
    )


@pytest.fixture(scope="module")
def history(store: FeatureStore, spine: pl.DataFrame) -> pl.DataFrame:
    """The spine with the service's features."""
    return store.get_historical_features(spine, "flight_delay_v2", timestamp="sched_dep").to_polars()


def counted(of: Declared, flight: Row, landed: list[Row]) -> Value:
    """The value at the instant asked for, from the landings in [v - window, v) of its keys."""
    v = flight["sched_dep"]
    if of.every is not None:
        v -= (v - EPOCH) % of.every
    known = [row for row in landed if row["arrived_at"] < v and all(row[key] == flight[key] for key in of.keys)]
    within = [row["arr_delay"] for row in known if row["arrived_at"] >= v - of.window]
    return of.of_delays(within) if known else None


def test_all_windows_of_the_service_are_declared_here(history: pl.DataFrame) -> None:
    assert history.columns[-len(DECLARED) :] == list(DECLARED)


@pytest.mark.parametrize("feature", DECLARED)
def test_a_window_holds_what_had_landed_by_its_step(history: pl.DataFrame, landed: list[Row], feature: str) -> None:
    expected = [counted(DECLARED[feature], flight, landed) for flight in history.to_dicts()]
    assert history[feature].to_list() == pytest.approx(expected, abs=1e-12)
    assert history[feature].null_count() < history.height


def test_all_features_are_the_same_from_source(store: FeatureStore, spine: pl.DataFrame, history: pl.DataFrame) -> None:
    source = store.get_historical_features(spine, "flight_delay_v2", timestamp="sched_dep", from_source=True)
    assert source.to_polars().equals(history)
