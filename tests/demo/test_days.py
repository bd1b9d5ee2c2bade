"""Live days on three days of real flights."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from demo.days import Day, live_day
from demo.model import DelayModel, schedule_features, train
from featurestore import FeatureStore

SERVICE = "flight_delay_v2"
FEATURES = 34
NOON = datetime(2013, 1, 3, 17, tzinfo=UTC)


@pytest.fixture(scope="module")
def model(flights: pl.DataFrame) -> DelayModel:
    landed = flights.filter(pl.col("arr_delay").is_not_null()).with_columns(late=pl.col("arr_delay") > 15)
    return train(schedule_features(landed), ("carrier", "minute_of_day"))


@pytest.fixture(scope="module")
def day(store: FeatureStore, flights: pl.DataFrame, model: DelayModel) -> Day:
    return live_day(store, SERVICE, flights, model, NOON)


def test_every_online_answer_is_the_historical_one(day: Day) -> None:
    assert day.cells == day.departures.height * FEATURES
    assert day.different == 0


def test_all_departures_of_the_next_hour_are_asked_for(day: Day, flights: pl.DataFrame) -> None:
    due = flights.filter((pl.col("sched_dep") >= NOON) & (pl.col("sched_dep") < datetime(2013, 1, 3, 18, tzinfo=UTC)))
    assert day.departures["flight_id"].to_list() == due["flight_id"].to_list()
    assert day.departures["probability"].is_between(0, 1).all()


def test_an_answer_that_differs_is_counted(
    store: FeatureStore, flights: pl.DataFrame, model: DelayModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = store.get_historical_features

    class Shifted:
        """History in which each carrier was a minute later."""

        def to_polars(self) -> pl.DataFrame:
            return self.frame.with_columns(pl.col("carrier_arr_delay") + 1)

        def __init__(self, spine: object, service: str, **options: bool) -> None:
            self.frame = history(spine, service, timestamp="sched_dep", statuses=True).to_polars()

    monkeypatch.setattr(store, "get_historical_features", Shifted)
    different = live_day(store, SERVICE, flights, model, NOON)
    known = different.departures.height
    assert 0 < different.different <= known
