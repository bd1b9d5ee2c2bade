"""The flights of 2013, lived through with a pretended clock: what retrains, what is refused, and what `why` says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.pipelines.flights import Flights
from tests.pipelines.year import BY_DRIFT, BY_SCHEDULE, Day, Year, every_day

BY_ROWS = "new data airport_delays 1384"


def due(day: str) -> str:
    return f"{BY_SCHEDULE}: due next at 2013-{day}T08:30:00Z"


def by_schedule(fate: str, was: str, following: str) -> str:
    return f"{BY_SCHEDULE} {fate}: was due at 2013-{was}T08:30:00Z{following}"


def by_rows(fate: str, rows: int, since: str) -> str:
    return f"{BY_ROWS}{fate}: {rows:,} of 1,384 rows {since}"


def cooling(run: int, until: str) -> str:
    return f"; run {run} has ended, and it cools down until 2013-{until}T09:00:00Z"


def ran(run: int, cause: str, ended: str) -> str:
    return f"It last ran as run {run}, for {cause}: {ended}"


def moved(to: int, before: int) -> str:
    return f"late_flight@{to} is the champion in the place of v{before}."


NONE_YET = "in all, and no run has trained yet"
NO_MODEL = f"Nothing else fires: {BY_DRIFT}: no run has trained yet, so there is nothing to have drifted from."
REFUSED, FIRED = " fired and was refused", "fired and was refused"
RUN_1 = ran(1, BY_ROWS, "REFUSED at 2013-02-27T09:00:00Z. Data: FAIL. Volume: There are 6,016 rows, and at least 6,343")
RUN_6 = ran(6, BY_SCHEDULE, "REFUSED at 2013-05-15T09:00:00Z. Data: FAIL. Contract: 400 of 14,385 rows break Flight: ")
RUN_8 = ran(8, BY_SCHEDULE, f"SUCCEEDED at 2013-06-17T09:00:00Z. {moved(6, 5)}")
RUN_9 = ran(9, BY_ROWS, f"SUCCEEDED at 2013-06-30T09:00:00Z. {moved(7, 6)}")
RUN_10 = ran(10, BY_DRIFT, f"SUCCEEDED at 2013-07-08T09:00:00Z. {moved(8, 7)}")


def quiet_june(rows: int, drifted: str) -> tuple[str, ...]:
    """A day after the run of June 17, when neither enough rows nor drift are there, and no time is due before July."""
    told = f"Nothing else fires: {by_rows('', rows, 'since run 8 began')}; {BY_DRIFT}: most of all {drifted}"
    return RUN_8, by_schedule("started run 8", "06-15", ", and once before it; due next at 2013-07-01"), told


def quiet_july(rows: int, drifted: str) -> tuple[str, ...]:
    """A day after the run of June 30, whose cool-down has cost the schedule its time on July 1."""
    told = f"Nothing else fires: {by_rows('', rows, 'since run 9 began')}; {BY_DRIFT}: most of all {drifted}"
    return RUN_9, by_schedule(FIRED, "07-01", f"{cooling(9, '07-04')}; due next at 2013-07-15"), told


# What `why` answers on each day, one part of each of its sentences. Rows are those of every eighth flight that had
# landed by eight in the morning, UTC, less those that a run began with: 6,016 by February 27, 13,065 by April 30.
TOLD: dict[str, tuple[str, ...]] = {
    # too few rows yet, then the pause that follows a run, then a model that a person approves
    "02-27": (RUN_1, by_rows(" started run 1", 6016, NONE_YET), f"Nothing else fires: {due('03-01')}; {BY_DRIFT}: no"),
    "03-01": (
        RUN_1,
        by_schedule(FIRED, "03-01", f"{cooling(1, '03-03')}; due next at 2013-03-15T08:30:00Z."),
        by_rows(REFUSED, 6249, NONE_YET + cooling(1, "03-03")),
        NO_MODEL,
    ),
    "03-03": (
        ran(2, BY_ROWS, "SUCCEEDED at 2013-03-03T09:00:00Z. late_flight@1 met its bounds, and a person must approve"),
        by_rows(" started run 2", 6462, NONE_YET),
        f"Nothing else fires: {due('03-15')}; {BY_DRIFT}: no run has trained yet",
    ),
    # schedule and new data retrain; on April 30 two times were missed, and rows join the run
    "03-15": (
        ran(3, BY_SCHEDULE, f"SUCCEEDED at 2013-03-15T09:00:00Z. {moved(2, 1)}"),
        by_schedule("started run 3", "03-15", "; due next at 2013-04-01T08:30:00Z."),
        f"Nothing else fires: {by_rows('', 1340, 'since run 2 began')}; {BY_DRIFT}: most of all humid",
    ),
    "03-28": (
        ran(4, BY_ROWS, f"SUCCEEDED at 2013-03-28T09:00:00Z. {moved(3, 2)}"),
        by_rows(" started run 4", 1485, "since run 3 began."),
        f"Nothing else fires: {due('04-01')}; {BY_DRIFT}: most of all humid",
    ),
    "04-30": (
        ran(5, BY_SCHEDULE, f"SUCCEEDED at 2013-04-30T09:00:00Z. {moved(4, 3)}"),
        by_schedule("started run 5", "04-15", ", and once before it; due next at 2013-05-01T08:30:00Z."),
        by_rows(" joined run 5", 3778, "since run 4 began."),
        f"Nothing else fires: {BY_DRIFT}: most of all humid",
    ),
    # the broken week is refused, and once it is mended it is learned from
    "05-15": (
        RUN_6,
        by_schedule("started run 6", "05-15", ", and once before it; due next at 2013-06-01T08:30:00Z."),
        f"{BY_DRIFT} joined run 6: visib of origin_weather: psi 3.7",
        f"Nothing else fires: {by_rows('', 1319, 'since run 5 began.')}",
    ),
    "05-16": (
        RUN_6,
        by_schedule("started run 6", "05-15", ", and once before it; due next at 2013-06-01T08:30:00Z."),
        by_rows(REFUSED, 1441, "since run 5 began" + cooling(6, "05-19")),
        f"{BY_DRIFT} {FIRED}: visib of origin_weather: psi 3.4",
    ),
    "05-20": (
        ran(7, BY_ROWS, f"SUCCEEDED at 2013-05-20T09:00:00Z. {moved(5, 4)}"),
        by_rows(" started run 7", 2292, "since run 5 began."),
        f"Nothing else fires: {due('06-01')}; {BY_DRIFT}: most of all wind_speed",
    ),
    "06-17": (
        RUN_8,
        by_schedule("started run 8", "06-15", ", and once before it; due next at 2013-07-01T08:30:00Z."),
        by_rows(" joined run 8", 3150, "since run 7 began."),
        f"Nothing else fires: {BY_DRIFT}: most of all humid",
    ),
    # the summer: quiet, then rows retrain, then the air of thunderstorms does
    "06-24": quiet_june(821, "humid"),
    "06-25": quiet_june(923, "humid"),
    "06-26": quiet_june(1042, "humid"),
    "06-27": quiet_june(1160, "humid"),
    "06-28": quiet_june(1276, "visib"),
    "06-29": quiet_june(1374, "humid"),
    "06-30": (
        RUN_9,
        by_rows(" started run 9", 1477, "since run 8 began."),
        f"Nothing else fires: {due('07-01')}; {BY_DRIFT}: most of all humid",
    ),
    "07-01": quiet_july(104, "humid"),
    "07-02": quiet_july(215, "humid"),
    "07-03": quiet_july(333, "humid"),
    "07-04": quiet_july(456, "humid"),
    "07-05": quiet_july(547, "humid"),
    "07-06": quiet_july(651, "humid"),
    "07-07": quiet_july(747, "humid"),
    "07-08": (
        RUN_10,
        f"{BY_DRIFT} started run 10: humid of origin_weather: psi 0.855, above 0.8 over the last 14d.",
        f"Nothing else fires: {due('07-15')}; {by_rows('', 855, 'since run 9 began.')}",
    ),
    "07-09": (
        RUN_10,
        f"{BY_DRIFT} {FIRED}: humid of origin_weather: psi 1.031, above 0.8 over the last 14d{cooling(10, '07-12')}",
        f"Nothing else fires: {due('07-15')}; {by_rows('', 124, 'since run 10 began.')}",
    ),
    # who guesses is refused
    "07-15": (
        ran(11, BY_SCHEDULE, "REFUSED at 2013-07-15T09:00:00Z. Model: FAIL. AtLeast roc_auc: roc_auc is 0.5000 on "),
        by_schedule("started run 11", "07-15", "; due next at 2013-08-01T08:30:00Z."),
        f"{BY_DRIFT} joined run 11: humid of origin_weather",
        f"Nothing else fires: {by_rows('', 815, 'since run 10 began.')}",
    ),
    # a tampered file is not opened; the run is tried again beside the champion before
    "08-01": (
        ran(12, BY_SCHEDULE, "FAILED at 2013-08-01T09:00:00Z. Model file "),
        by_schedule("started run 12", "08-01", "; due next at 2013-08-15T08:30:00Z."),
        by_rows(" joined run 12", 1992, "since run 11 began."),
        f"Nothing else fires: {BY_DRIFT}: most of all humid",
    ),
    "08-02": (
        ran(13, "retry", f"SUCCEEDED at 2013-08-02T09:00:00Z. {moved(10, 7)}"),
        "retry started run 13: run 12 failed: Model file ",
        by_rows(" joined run 13", 2105, "since run 11 began."),
        f"Nothing else fires: {due('08-15')}; {BY_DRIFT}: most of all humid",
    ),
}
CHAMPIONS = {"02-27": None, "03-01": None, "03-03": 1, "03-15": 2, "03-28": 3, "04-30": 4, "05-15": 4, "05-16": 4,
             "05-20": 5, "06-17": 6, "06-30": 7, "07-08": 8, "07-15": 8, "08-01": 7, "08-02": 10}  # fmt: skip


def test_why_explains_each_day_that_is_lived_through(tmp_path: Path) -> None:
    """One story, for each day stands on what the ones before have left."""
    flights = Flights(tmp_path, one_in=8)
    with flights.store:
        for day in Year(flights).live(TOLD):
            parts = TOLD[day.date]
            assert len(day.answer) == len(parts), day
            for sentence, part in zip(day.answer, parts, strict=True):
                assert part in sentence, (day.date, part, sentence)
            assert day.champion == CHAMPIONS.get(day.date, day.champion), day.date
        assert flights.states()[8] == "QUARANTINED"


@pytest.mark.soak
def test_the_whole_year_is_lived_through_day_by_day(tmp_path: Path) -> None:
    """All flights, each model verified in a process of its own: every day has an answer."""
    flights = Flights(tmp_path, one_in=1, afresh=True)
    with flights.store:
        days = {day.date: day for day in Year(flights).live(every_day())}
        verdicts = Counter(day.verdict for day in days.values())
        assert verdicts.total() == 365
        assert set(verdicts) == {"ran: SUCCEEDED", "ran: REFUSED", "ran: FAILED", "suppressed", "not due"}
        first = next(day.date for day in days.values() if day.champion is not None)
        assert first.startswith("03-")
        assert _why(days, "03-04", "05-07", "ran: SUCCEEDED") == {"schedule", "new"}
        broken = [day for day in days.values() if "05-09" <= day.date <= "05-19" and day.verdict.startswith("ran")]
        assert {day.verdict for day in broken} == {"ran: REFUSED"}
        assert all("carrier: isin(" in day.answer[0] and "origin__visib: " in day.answer[0] for day in broken)
        assert len({days[f"05-{day:02}"].champion for day in range(7, 20)}) == 1
        assert "drift" in _why(days, "06-15", "08-31", "ran: SUCCEEDED")
        guessed = [day for day in days.values() if "07-10" <= day.date < "07-16" and day.verdict.startswith("ran")]
        assert [day.verdict for day in guessed] == ["ran: REFUSED"] * len(guessed) != []
        assert all("AtLeast roc_auc: roc_auc is 0.5000" in day.answer[0] for day in guessed)
        (tampered,) = [day for day in days.values() if day.date >= "08-01" and day.verdict == "ran: FAILED"]
        assert "is not the one that was registered" in tampered.answer[0]
        assert (days["07-31"].champion or 0) > (tampered.champion or 0) > 0
        assert list(flights.states().values()).count("QUARANTINED") == 1
        assert list(flights.states().values()).count("CHAMPION") == 1


def _why(days: dict[str, Day], first: str, last: str, verdict: str) -> set[str]:
    """The kinds of triggers that started the runs of some days that ended so."""
    within = [day for day in days.values() if first <= day.date <= last and day.verdict == verdict]
    return {event.whom.partition(" ")[0] for day in within for event in day.events if event.what == "ACCEPTED"}
