"""Will a flight from New York arrive more than 15 minutes late? Asked at its scheduled departure.

A delay is known when the flight has landed, so the event time of `landings` is the arrival: declared once here, and no
training set can see a flight that is still in the air.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from feature_defs.contracts import Aircraft, Landing, Weather
from featurestore import (
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
    SqlSource,
    String,
    Timestamp,
)

airport = Entity("airport", join_keys={"airport": String}, description="An airport, by its IATA code.")
aircraft = Entity("aircraft", join_keys={"tailnum": String}, description="An aircraft, by its tail number.")
carrier = Entity("carrier", join_keys={"carrier": String}, description="An airline, by its IATA code.")
route = Entity("route", join_keys={"origin": String, "dest": String}, description="From one airport to another.")
flight_number = Entity(
    "flight_number",
    join_keys={"carrier": String, "flight": Int64},
    description="A flight that an airline flies again and again, most of them daily.",
)

flights = ParquetSource(
    "flights",
    path="data/sources/flights.parquet",
    event_timestamp="sched_dep",
    description="All flights scheduled, with what became of them: for spines and labels, not for features.",
)
landings = ParquetSource(
    "landings",
    path="data/sources/landings.parquet",
    event_timestamp="arrived_at",
    description="Flights that arrived, known from the arrival on.",
)
departures = SqlSource(
    "departures",
    inputs=[flights],
    event_timestamp="departed_at",
    delay=timedelta(hours=1),  # longer than the 43 minutes that a flight once left early: none sees its own departure
    sql="""
        SELECT origin AS airport, departed_at, avg(dep_delay) AS dep_delay
        FROM flights
        WHERE departed_at IS NOT NULL
        GROUP BY ALL
    """,
    description="Departures from New York by airport and minute, reported within an hour.",
)
weather = ParquetSource(
    "weather",
    path="data/sources/weather.parquet",
    event_timestamp="time_hour",
    delay=timedelta(hours=1),  # the hour's last reading is taken 51 minutes after its begin
    description="Hourly observations at the three airports.",
)
planes = ParquetSource(
    "planes", path="data/sources/planes.parquet", timeless=True, description="The registry of aircraft."
)

origin_weather = FeatureView(
    "origin_weather",
    entities=[airport],
    source=weather,
    ttl=timedelta(hours=6),
    features=[
        Feature("temp", Float64, description="Degrees Fahrenheit."),
        Feature("humid", Float64, description="Relative humidity in percent."),
        Feature("wind_speed", Float64, description="Miles per hour."),
        Feature("gust", Float64, expr="coalesce(wind_gust, wind_speed)", description="Miles per hour."),
        Feature("precip", Float64, description="Inches in the hour."),
        Feature("pressure", Float64, description="Millibars at sea level."),
        Feature("visib", Float64, description="Visibility in miles, at most 10."),
    ],
    contract=Weather,
    on_refusal="drop",
    owner="weather desk",
    description="The last complete hour of weather at an airport.",
)
aircraft_facts = FeatureView(
    "aircraft_facts",
    entities=[aircraft],
    source=planes,
    features=[Feature("built", Int64, column="year"), Feature("seats", Int64)],
    contract=Aircraft,
    owner="fleet",
    description="What the registry says of an aircraft; it lacks a sixth of them.",
)
aircraft_last_leg = FeatureView(
    "aircraft_last_leg",
    entities=[aircraft],
    source=landings,
    features=[
        Feature("leg_arr_delay", Int64, column="arr_delay"),
        Feature("leg_dep_delay", Int64, column="dep_delay"),
        Feature("leg_landed_at", Timestamp, column="arrived_at"),
    ],
    contract=Landing,
    owner="fleet",
    description="The last flight from New York that the aircraft completed.",
)
carrier_last_landing = FeatureView(
    "carrier_last_landing",
    entities=[carrier],
    source=landings,
    features=[
        Feature("carrier_arr_delay", Int64, column="arr_delay"),
        Feature("carrier_dep_delay", Int64, column="dep_delay"),
        Feature("carrier_landed_at", Timestamp, column="arrived_at"),
    ],
    contract=Landing,
    owner="operations",
    description="The airline's last flight from New York that arrived.",
)
route_last_landing = FeatureView(
    "route_last_landing",
    entities=[route],
    source=landings,
    ttl=timedelta(days=60),
    features=[
        Feature("route_arr_delay", Int64, column="arr_delay"),
        Feature("route_air_time", Int64, column="air_time"),
        Feature("route_landed_at", Timestamp, column="arrived_at"),
    ],
    contract=Landing,
    owner="operations",
    description="The last flight that arrived on the route.",
)
number_last_landing = FeatureView(
    "number_last_landing",
    entities=[flight_number],
    source=landings,
    ttl=timedelta(days=60),
    features=[Feature("number_arr_delay", Int64, column="arr_delay")],
    contract=Landing,
    owner="operations",
    description="How late the same flight was the last time, most often yesterday.",
)
airport_last_departure = FeatureView(
    "airport_last_departure",
    entities=[airport],
    source=departures,
    ttl=timedelta(hours=12),
    features=[Feature("last_dep_delay", Float64, column="dep_delay")],
    owner="operations",
    description="How late the last flights left the airport, as far as reported.",
)

departure = OnDemandFeatureView(
    "departure",
    inputs=[
        RequestSource("schedule", {"sched_dep": Timestamp}, description="When the flight is to depart."),
        aircraft_last_leg[["leg_landed_at"]],
        carrier_last_landing[["carrier_landed_at"]],
        route_last_landing[["route_landed_at"]],
    ],
    features={
        "min_since_leg": (pl.col("sched_dep") - pl.col("leg_landed_at")).dt.total_minutes(),
        "min_since_carrier": (pl.col("sched_dep") - pl.col("carrier_landed_at")).dt.total_minutes(),
        "min_since_route": (pl.col("sched_dep") - pl.col("route_landed_at")).dt.total_minutes(),
    },
    owner="operations",
    description="How old the news is at the scheduled departure, in minutes.",
)

flight_delay_v1 = FeatureService(
    "flight_delay_v1",
    features=[
        origin_weather.with_join_keys(airport="origin"),
        airport_last_departure.with_join_keys(airport="origin"),
        aircraft_facts,
        aircraft_last_leg[["leg_arr_delay", "leg_dep_delay"]],
        carrier_last_landing[["carrier_arr_delay", "carrier_dep_delay"]],
        route_last_landing[["route_arr_delay", "route_air_time"]],
        number_last_landing,
        departure,
    ],
    owner="delay team",
    description="What the delay model reads at the scheduled departure.",
)
