"""Flights whose four instants were worked out by hand, and what makes `flight_instants` refuse."""

from __future__ import annotations

import polars as pl
import pytest

from demo.instants import flight_instants
from demo.tables import read_airports
from featurestore.errors import SourceError

COLUMNS = (
    *("carrier", "flight", "origin", "dest", "month", "day"),
    *("sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay", "air_time"),
)
INSTANTS = ("sched_dep", "departed_at", "sched_arr", "arrived_at")


@pytest.fixture(scope="module")
def airports() -> pl.DataFrame:
    return read_airports()


def instants(row: tuple[object, ...], airports: pl.DataFrame) -> list[str | None]:
    """The four instants of one flight as `MM-DD HH:MM` in UTC."""
    flights = pl.DataFrame([row], schema=list(COLUMNS), orient="row").with_columns(
        pl.lit(2013).alias("year"), pl.col("dep_delay", "arr_delay", "air_time").cast(pl.Int64)
    )
    timed = flight_instants(flights, airports)
    assert all(timed.schema[name] == pl.Datetime("us", "UTC") for name in INSTANTS)
    return list(timed.select(pl.col(INSTANTS).dt.strftime("%m-%d %H:%M")).row(0))


@pytest.mark.parametrize(
    ("flight", "expected"),
    [
        pytest.param(
            ("UA", 1545, "EWR", "IAH", 1, 1, 515, 2, 819, 11, 227),
            ["01-01 10:15", "01-01 10:17", "01-01 14:19", "01-01 14:30"],
            id="winter: EST to CST",
        ),
        pytest.param(
            ("UA", 887, "EWR", "ANC", 7, 27, 1615, 2, 1953, -47, 388),
            ["07-27 20:15", "07-27 20:17", "07-28 03:53", "07-28 03:06"],
            id="summer: EDT to Alaska at UTC-8",
        ),
        pytest.param(
            ("HA", 51, "JFK", "HNL", 3, 9, 900, -2, 1540, -33, 635),
            ["03-09 14:00", "03-09 13:58", "03-10 01:40", "03-10 01:07"],
            id="Hawaii at UTC-10, 11:40 on the way",
        ),
        pytest.param(
            ("AA", 655, "JFK", "STT", 1, 1, 810, 59, 1315, 16, 184),
            ["01-01 13:10", "01-01 14:09", "01-01 17:15", "01-01 17:31"],
            id="Virgin Islands at UTC-4, absent in the airports table",
        ),
        pytest.param(
            ("UA", 1236, "EWR", "PHX", 3, 10, 619, -4, 903, -12, 297),
            ["03-10 10:19", "03-10 10:15", "03-10 16:03", "03-10 15:51"],
            id="March 10: New York has changed its clocks, Phoenix has none to change",
        ),
        pytest.param(
            ("B6", 727, "JFK", "BQN", 3, 9, 2359, 54, 438, 26, 175),
            ["03-10 04:59", "03-10 05:53", "03-10 08:38", "03-10 09:04"],
            id="March 9: leaves in EST, arrives in Puerto Rico after New York's change",
        ),
        pytest.param(
            ("B6", 35, "JFK", "PBI", 3, 9, 2145, 81, 34, 89, 141),
            ["03-10 02:45", "03-10 04:06", "03-10 05:34", "03-10 07:03"],
            id="March 9: arrives when the clocks have just skipped the hour its arr_time 2:03 is in",
        ),
        pytest.param(
            ("B6", 745, "JFK", "PSE", 11, 2, 2359, -13, 345, 8, 228),
            ["11-03 03:59", "11-03 03:46", "11-03 07:45", "11-03 07:53"],
            id="November 2: leaves in EDT, arrives after New York's change",
        ),
        pytest.param(
            ("VX", 413, "JFK", "LAX", 11, 2, 1655, 322, 2015, 299, 339),
            ["11-02 20:55", "11-03 02:17", "11-03 03:15", "11-03 08:14"],
            id="November 2: arrives at 1:14 in the first of the two hours from 1 to 2",
        ),
        pytest.param(
            ("B6", 23, "JFK", "LAX", 11, 3, 700, -15, 1015, -4, 357),
            ["11-03 12:00", "11-03 11:45", "11-03 18:15", "11-03 18:11"],
            id="November 3: EST to PST",
        ),
        pytest.param(
            ("B6", 839, "JFK", "BQN", 10, 30, 2359, 1, 337, -10, 182),
            ["10-31 03:59", "10-31 04:00", "10-31 07:37", "10-31 07:27"],
            id="dep_time 2400 is the midnight after the scheduled date",
        ),
        pytest.param(
            ("B6", 486, "JFK", "ROC", 11, 2, 2245, -9, 3, -22, 49),
            ["11-03 02:45", "11-03 02:36", "11-03 04:03", "11-03 03:41"],
            id="scheduled to arrive after midnight, arrived before",
        ),
        pytest.param(
            ("B6", 727, "JFK", "BQN", 1, 3, 2359, 156, 437, 143, 186),
            ["01-04 04:59", "01-04 07:35", "01-04 08:37", "01-04 11:00"],
            id="departs on the day after the scheduled date",
        ),
        pytest.param(
            ("HA", 51, "JFK", "HNL", 1, 9, 900, 1301, 1530, 1272, 640),
            ["01-09 14:00", "01-10 11:41", "01-10 01:30", "01-10 22:42"],
            id="the longest delay of the year, 21 hours 41 minutes",
        ),
        pytest.param(
            ("EV", 4308, "EWR", "RDU", 1, 1, 1630, None, 1815, None, None),
            ["01-01 21:30", None, "01-01 23:15", None],
            id="cancelled: no departure, no arrival",
        ),
        pytest.param(
            ("MQ", 4525, "LGA", "XNA", 1, 1, 1530, -5, 1805, None, None),
            ["01-01 20:30", "01-01 20:25", "01-02 00:05", None],
            id="diverted: departed, no arrival delay, no arrival",
        ),
    ],
)
def test_instants_worked_out_by_hand(
    flight: tuple[object, ...], expected: list[str | None], airports: pl.DataFrame
) -> None:
    assert instants(flight, airports) == expected


def test_rows_keep_their_order_across_zones(airports: pl.DataFrame) -> None:
    rows = [
        ("UA", 1, "EWR", "LAX", 1, 1, 800, 0, 1100, 0, 330),
        ("UA", 2, "EWR", "SJU", 1, 1, 700, 0, 1200, 0, 200),
        ("UA", 3, "EWR", "LAX", 1, 1, 600, 0, 900, 0, 330),
    ]
    flights = pl.DataFrame(rows, schema=list(COLUMNS), orient="row").with_columns(pl.lit(2013).alias("year"))
    assert flight_instants(flights, airports)["flight"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("flight", "message"),
    [
        pytest.param(
            ("UA", 1, "EWR", "XXX", 1, 1, 800, 0, 1100, 0, 330),
            "No time zone is known for XXX",
            id="destination in no zone",
        ),
        pytest.param(
            ("UA", 1, "EWR", "LAX", 3, 10, 230, 0, 600, 0, 330),
            "not one instant.*non-existent",
            id="departure in the hour that is skipped",
        ),
        pytest.param(
            ("UA", 1, "EWR", "LAX", 11, 3, 130, 0, 600, 0, 330),
            "not one instant.*ambiguous",
            id="departure in the hour that is repeated",
        ),
        pytest.param(
            ("UA", 1, "EWR", "LAX", 1, 1, 800, 0, 1100, -31, 330),
            "the first is UA 1 EWR-LAX .* -1 minutes on the ground",
            id="less on the way than in the air",
        ),
    ],
)
def test_flights_without_certain_instants_are_refused(
    flight: tuple[object, ...], message: str, airports: pl.DataFrame
) -> None:
    with pytest.raises(SourceError, match=message):
        instants(flight, airports)
