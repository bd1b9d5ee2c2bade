"""What befalls the flights in 2013, whoever lives through it: on a few days, or on all of them.

A person approves the first model. The week from May 8 comes broken, and is mended on the 20th; on July 10 somebody
declares an estimator that guesses, until the 16th; on August 1 the champion's file is tampered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from pipelines.ledger.records import ModelState
from pipelines.promotion import approve
from pipelines.running import run_pipeline
from pipelines.triggers.explaining import Event
from tests.pipelines.flights import Flights, at

MODEL = "late_flight"
BY_SCHEDULE, BY_DRIFT = "schedule 30 8 1,15 * * UTC", "drift 14d"


@dataclass(frozen=True, slots=True)
class Day:
    """How a day ended: what `why` answers, what it says of the day itself, and which version is live."""

    date: str
    answer: tuple[str, ...]
    events: tuple[Event, ...]
    champion: int | None

    @property
    def verdict(self) -> str:
        """Whether the pipeline ran, and why, or why not; raises AssertionError for a day without an answer."""
        assert self.answer[0].startswith(("It last ran as run ", "It has not run yet.")), self
        ended = [event for event in self.events if event.whom == "run" and event.what != "ADDED"]
        if ended:
            causes = [event for event in self.events if event.what == "ACCEPTED" and event.run == ended[-1].run]
            by_hand = any(event.what == "ADDED" and event.why.startswith("by hand") for event in self.events)
            assert by_hand or causes, self
            return f"ran: {ended[-1].what}"
        told = " ".join(self.answer[1:])
        for trigger in (BY_SCHEDULE, "new data airport_delays", BY_DRIFT):
            assert trigger in told, (trigger, self)
        if any(" fired and was refused: " in sentence for sentence in self.answer[1:]):
            return "suppressed"
        assert "Nothing fires: " in told or "Nothing else fires: " in told, self
        return "not due"


class Year:
    """A year of these flights, whose files it breaks before it begins."""

    def __init__(self, flights: Flights) -> None:
        self.flights = flights
        self.kept = _break_the_week(flights)
        self._ahead = dict(_EVENTS)

    def live(self, days: Iterable[str]) -> Iterator[Day]:
        """Let each of these days pass, in order, with what befell since the one before."""
        for day in days:
            for date in [date for date in self._ahead if date <= day]:
                self.flights.now = at(date)
                self._ahead.pop(date)(self)
            self.flights.go_on(day)
            self._approve_the_first()
            told = self.flights.why(since=at(day))
            yield Day(day, told.answer, told.events, self.flights.champion())

    def _approve_the_first(self) -> None:
        models = self.flights.rooms.ledger.models(MODEL)
        if len(models) == 1 and models[0].state is ModelState.CANDIDATE:
            approve(self.flights.rooms, MODEL, models[0].version, "the first")

    def close_the_circuit(self) -> None:
        """A person runs the pipeline, where it has failed so often for want of rows that triggers start none."""
        if any("the circuit is open until a run by hand does" in sentence for sentence in self.flights.why().answer):
            self.flights.store.materialize(self.flights.now)
            run_pipeline(self.flights.store, MODEL)
            self._approve_the_first()

    def mend(self) -> None:
        """The week is corrected, and materialized again."""
        for name, rows in self.kept.items():
            rows.write_parquet(self.flights.sources / f"{name}.parquet")
        self.flights.store.materialize(self.flights.now, start=at("05-07"))

    def guess(self) -> None:
        """An estimator is declared that guesses."""
        self.flights.declare(("LogisticRegression())", "DummyClassifier())"))

    def learn_again(self) -> None:
        """The declaration is what it was."""
        self.flights.declare()

    def tamper(self) -> None:
        """The champion's file becomes another one."""
        champion = self.flights.rooms.models.champion(MODEL)
        assert champion is not None
        (self.flights.root / str(champion.document["path"])).write_bytes(b"other")


_EVENTS: Mapping[str, Callable[[Year], None]] = {
    "03-03": Year.close_the_circuit,
    "05-20": Year.mend,
    "07-10": Year.guess,
    "07-16": Year.learn_again,
    "08-01": Year.tamper,
}


def every_day() -> Iterator[str]:
    """The days of 2013."""
    first = at("01-01")
    yield from (f"{first + timedelta(days=day):%m-%d}" for day in range(365))


def _break_the_week(flights: Flights) -> dict[str, pl.DataFrame]:
    """May 8 to 14 in kilometres, with half of the flights and carriers that nobody knows; the files as they were."""
    kept = {name: pl.read_parquet(flights.sources / f"{name}.parquet") for name in ("weather", "flights")}
    kilometres = pl.when(_in_the_week("time_hour")).then(pl.col("visib") * 1.609).otherwise("visib")
    flights.change("weather", lambda rows: rows.with_columns(visib=kilometres))
    unknown = pl.when(_in_the_week("sched_dep")).then(pl.lit("??")).otherwise("carrier")
    half = ~_in_the_week("sched_dep") | (pl.int_range(pl.len()) % 2 == 0)
    flights.change("flights", lambda rows: rows.filter(half).with_columns(carrier=unknown))
    return kept


def _in_the_week(column: str) -> pl.Expr:
    first = at("05-08") - timedelta(hours=9)
    return pl.col(column).is_between(first, first + timedelta(days=7), closed="left")
