"""The flights of 2013, lived through with a pretended clock: what retrains, what is refused, and what `why` says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.ledger.records import RunState
from pipelines.promotion import approve
from tests.pipelines.flights import Flights, at


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flights]:
    flights = Flights(tmp_path_factory.mktemp("flights"), one_in=8)
    with flights.store:
        yield flights


def in_the_week(column: str) -> pl.Expr:
    first = at("05-08") - timedelta(hours=9)
    return pl.col(column).is_between(first, first + timedelta(days=7), closed="left")


def break_the_week(sources: Path, flights: Flights) -> dict[str, pl.DataFrame]:
    """May 8 to 14 in kilometres, with half of the flights and carriers that nobody knows; the files as they were."""
    kept = {name: pl.read_parquet(sources / f"{name}.parquet") for name in ("weather", "flights")}
    kilometres = pl.when(in_the_week("time_hour")).then(pl.col("visib") * 1.609).otherwise("visib")
    flights.change("weather", lambda rows: rows.with_columns(visib=kilometres))
    unknown = pl.when(in_the_week("sched_dep")).then(pl.lit("??")).otherwise("carrier")
    half = ~in_the_week("sched_dep") | (pl.int_range(pl.len()) % 2 == 0)
    flights.change("flights", lambda rows: rows.filter(half).with_columns(carrier=unknown))
    return kept


def _the_first_model(flights: Flights) -> None:
    flights.go_on("02-27")  # too few rows yet
    assert flights.last().state is RunState.REFUSED
    assert "Volume: There are 6016 rows, and at least 6343 are needed." in flights.last().outcome
    assert flights.champion() is None
    flights.go_on("03-01")
    assert "and it cools down until 2013-03-03T09:00:00Z" in " ".join(flights.why().answer)

    flights.go_on("03-03")  # the first model, which a person approves
    assert flights.last().outcome.startswith("late_flight@1 met its bounds, and a person must approve it")
    approve(flights.rooms, "late_flight", 1, "the first")
    assert flights.champion() == 1


def _schedule_and_new_data_retrain(flights: Flights) -> None:
    flights.go_on("03-15")  # the schedule retrains
    assert (flights.last().trigger, flights.champion()) == ("schedule 30 8 1,15 * * UTC", 2)
    flights.go_on("03-28")  # and so does new data
    assert (flights.last().trigger, flights.champion()) == ("new data airport_delays 1384", 3)
    assert (
        flights.why()
        .answer[0]
        .startswith("It last ran as run 4, for new data airport_delays 1384: SUCCEEDED at 2013-03-28T09:00:00Z.")
    )


def _a_broken_week_is_refused(flights: Flights, kept: dict[str, pl.DataFrame]) -> None:
    flights.go_on("04-30")
    assert flights.champion() == 4
    flights.go_on("05-15")  # the broken week is refused, and the champion stays
    assert (flights.last().state, flights.champion()) == (RunState.REFUSED, 4)
    assert "carrier: isin(" in flights.last().outcome
    assert "origin__visib: less_than_or_equal_to(10)" in flights.last().outcome
    assert "Volume: " in flights.last().outcome
    told = flights.why(since=at("05-15")).events
    assert ("data gate", "FAIL") in [(event.whom, event.what) for event in told]
    flights.go_on("05-16")
    assert "run 6 has ended, and it cools down until 2013-05-19T09:00:00Z" in " ".join(flights.why().answer)

    flights.now = at("05-20")  # corrected, it is learned from
    for name, rows in kept.items():
        rows.write_parquet(flights.sources / f"{name}.parquet")
    flights.store.materialize(at("05-20"), start=at("05-07"))
    flights.go_on("05-20")
    assert (flights.last().state, flights.champion()) == (RunState.SUCCEEDED, 5)


def _a_true_shift_retrains(flights: Flights) -> int:
    flights.go_on("06-17", *(f"06-{day}" for day in range(24, 31)))
    flights.go_on(*(f"07-0{day}" for day in range(1, 10)))  # the air of thunderstorms: a true shift retrains
    assert (flights.last().trigger, flights.last().state) == ("drift 14d", RunState.SUCCEEDED)
    assert "humid of origin_weather: psi" in " ".join(event.why for event in flights.why(since=at("07-09")).events)
    stormy = flights.champion()
    assert stormy is not None
    return stormy


def _who_guesses_is_refused(flights: Flights, stormy: int) -> None:
    flights.declare(("LogisticRegression())", "DummyClassifier())"))  # who guesses is refused
    flights.go_on("07-15")
    assert (flights.last().state, flights.champion()) == (RunState.REFUSED, stormy)
    assert flights.last().outcome.startswith("Model: FAIL. AtLeast")
    flights.declare()


def _a_tampered_file_is_put_away(flights: Flights, stormy: int) -> None:
    champion = flights.rooms.models.champion("late_flight")  # a tampered file is not opened, and put away
    assert champion is not None
    (flights.root / str(champion.document["path"])).write_bytes(b"other")
    flights.go_on("08-01")
    assert flights.last().state is RunState.FAILED
    assert "is not the one that was registered" in flights.last().outcome
    assert (flights.states()[stormy], flights.champion()) == ("QUARANTINED", stormy - 1)
    flights.go_on("08-02")
    assert flights.last().trigger == "retry"
    assert flights.last().outcome == f"late_flight@{stormy + 2} is the champion in the place of v{stormy - 1}."
    assert (
        flights.why()
        .answer[0]
        .startswith(f"It last ran as run {flights.last().number}, for retry: SUCCEEDED at 2013-08-02")
    )


def test_the_year_is_lived_through(flights: Flights) -> None:
    """One story, for each chapter stands on what the ones before have left."""
    kept = break_the_week(flights.sources, flights)
    _the_first_model(flights)
    _schedule_and_new_data_retrain(flights)
    _a_broken_week_is_refused(flights, kept)
    stormy = _a_true_shift_retrains(flights)
    _who_guesses_is_refused(flights, stormy)
    _a_tampered_file_is_put_away(flights, stormy)
