"""Labels and leaks on a handful of flights."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from demo.flights import SPINE, labelled_flights
from demo.leak import DAY_AVERAGES, day_averages, day_averages_so_far

DAY = datetime(2013, 5, 7, tzinfo=UTC)
NIGHT = datetime(2013, 5, 8, tzinfo=UTC)


def table(*rows: tuple[str, int, int | None, int | None]) -> pl.DataFrame:
    """Flights UA 1.. EWR-ORD of May 7: id, hour of departure, hour of landing (may be 24 or more), delay in minutes."""
    schema = {"flight_id": pl.String, "hour": pl.Int64, "landed": pl.Int64, "arr_delay": pl.Int64}
    start = pl.lit(DAY)
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        sched_dep=start + pl.duration(hours="hour"),
        sched_arr=start + pl.duration(hours=pl.col("hour") + 2),
        arrived_at=start + pl.duration(hours="landed"),
        carrier=pl.lit("UA"),
        flight=pl.lit(1),
        tailnum=pl.lit("N1"),
        origin=pl.lit("EWR"),
        dest=pl.lit("ORD"),
        distance=pl.lit(719),
        cancelled=pl.col("flight_id") == "cancelled",
        diverted=pl.col("flight_id") == "diverted",
    )


def test_late_means_more_than_15_minutes() -> None:
    labelled = labelled_flights(table(("a", 12, 14, 15), ("b", 13, 15, 16), ("c", 14, 16, -3)), DAY, NIGHT)
    assert labelled.spine.columns == list(SPINE)
    assert labelled.spine.select("flight_id", "late").rows() == [("a", False), ("b", True), ("c", False)]
    assert labelled.late_share == pytest.approx(1 / 3)


def test_flights_without_a_label_are_counted_and_left_out() -> None:
    flights = table(("a", 12, 14, 0), ("cancelled", 12, None, None), ("diverted", 13, None, None), ("late", 23, 26, 0))
    labelled = labelled_flights(flights, DAY, NIGHT)
    assert labelled.spine["flight_id"].to_list() == ["a"]
    assert (labelled.cancelled, labelled.diverted, labelled.in_the_air) == (1, 1, 1)


def test_a_flight_that_lands_at_the_end_is_known_then() -> None:
    assert labelled_flights(table(("a", 22, 24, 0)), DAY, NIGHT).spine.height == 1


def test_a_later_look_knows_more_flights_of_the_same_period() -> None:
    flights = table(("a", 23, 26, 0))
    later = datetime(2013, 5, 9, tzinfo=UTC)
    assert labelled_flights(flights, DAY, NIGHT).spine.height == 0
    assert labelled_flights(flights, DAY, NIGHT, known_at=later).spine.height == 1


def test_the_period_is_half_open() -> None:
    flights = table(("first", 0, 2, 0), ("after", 24, 26, 0))
    later = datetime(2013, 5, 9, tzinfo=UTC)
    assert labelled_flights(flights, DAY, NIGHT, known_at=later).spine["flight_id"].to_list() == ["first"]


def test_averages_of_the_day_know_what_happens_later_that_day() -> None:
    # New York's May 7 begins at 4:00 UTC, so "night" belongs to May 6.
    flights = table(("night", 3, 5, 90), ("a", 12, 14, 10), ("b", 13, 20, 20), ("c", 15, 17, 60))
    averages = day_averages(flights)
    assert averages.columns == ["flight_id", *DAY_AVERAGES]
    assert averages.rows() == [
        ("night", 90.0, 90.0, 90.0),
        ("a", 30.0, 30.0, 30.0),
        ("b", 30.0, 30.0, 30.0),
        ("c", 30.0, 30.0, 30.0),
    ]


def test_averages_so_far_know_only_what_has_landed() -> None:
    flights = table(
        *(("night", 3, 5, 90), ("a", 12, 14, 10), ("b", 13, 20, 20), ("c", 15, 17, 60)),
        *(("at the landing of c", 17, 19, 0), ("after it", 18, 21, 0)),
    )
    assert day_averages_so_far(flights).select("flight_id", "carrier_day_delay").rows() == [
        ("night", None),
        ("a", None),  # the flight of the night belongs to the day before
        ("b", None),  # a is in the air
        ("c", 10.0),  # a has landed
        ("at the landing of c", 10.0),  # strictly before
        ("after it", 35.0),
    ]


def test_averages_so_far_keep_carriers_apart() -> None:
    flights = table(("a", 12, 14, 10), ("b", 15, 17, 0)).with_columns(
        carrier=pl.when(pl.col("flight_id") == "a").then(pl.lit("AA")).otherwise(pl.lit("UA"))
    )
    assert day_averages_so_far(flights).rows() == [("a", None, None, None), ("b", None, 10.0, 10.0)]
