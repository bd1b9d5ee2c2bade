"""What the last hours, days and weeks were like: windows over the flights that have landed.

A flight counts from its arrival on, so each window holds what could be known at the departure. `every` is how often a
value may change: as often as the news of the window deserves.
"""

from __future__ import annotations

from datetime import timedelta

from feature_defs.contracts import Landing
from feature_defs.flights import aircraft, airport, carrier, flight_delay_v1, flight_number, landings, route
from featurestore import Aggregation, FeatureService, FeatureView, SqlSource

LATE = "arr_delay > 15"

airport_landings = SqlSource(
    "airport_landings",
    inputs=[landings],
    event_timestamp="arrived_at",
    sql="SELECT origin AS airport, arrived_at, arr_delay FROM landings",
    description="Landings by the airport that they came from.",
)

airport_delays = FeatureView(
    "airport_delays",
    entities=[airport],
    source=airport_landings,
    every=timedelta(minutes=15),
    features=[
        Aggregation("*", "ratio", timedelta(hours=2), where=LATE, name="late_2h"),
        Aggregation("arr_delay", "mean", timedelta(hours=1), name="delay_1h"),
    ],
    owner="operations",
    description="How late the flights from an airport land at present.",
)
carrier_delays = FeatureView(
    "carrier_delays",
    entities=[carrier],
    source=landings,
    every=timedelta(minutes=15),
    features=[
        Aggregation("*", "ratio", timedelta(hours=2), where=LATE, name="carrier_late_2h"),
        Aggregation("*", "ratio", timedelta(days=1), where=LATE, name="carrier_late_1d"),
        Aggregation("*", "ratio", timedelta(days=7), where=LATE, name="carrier_late_7d"),
    ],
    contract=Landing,
    owner="operations",
    description="The share of an airline's landings that were late.",
)
route_delays = FeatureView(
    "route_delays",
    entities=[route],
    source=landings,
    every=timedelta(hours=1),
    features=[
        Aggregation("*", "ratio", timedelta(hours=6), where=LATE, name="route_late_6h"),
        Aggregation("arr_delay", "mean", timedelta(hours=6), name="route_delay_6h"),
        Aggregation("*", "ratio", timedelta(days=28), where=LATE, name="route_late_28d"),
    ],
    contract=Landing,
    owner="operations",
    description="The share of late landings on a route, and their mean delay.",
)
number_delays = FeatureView(
    "number_delays",
    entities=[flight_number],
    source=landings,
    every=timedelta(hours=6),
    features=[
        Aggregation("arr_delay", "mean", timedelta(days=28), name="number_delay_28d"),
        Aggregation("*", "ratio", timedelta(days=28), where=LATE, name="number_late_28d"),
    ],
    contract=Landing,
    owner="operations",
    description="How late the same flight has been in the last four weeks.",
)
aircraft_delays = FeatureView(
    "aircraft_delays",
    entities=[aircraft],
    source=landings,
    every=None,  # an aircraft lands a few times a day: its window ends at the asked instant
    features=[
        Aggregation("arr_delay", "last", timedelta(hours=12), name="previous_leg_delay"),
        Aggregation("*", "count", timedelta(days=1), name="aircraft_legs_1d"),
        Aggregation("*", "ratio", timedelta(days=1), where=LATE, name="aircraft_late_1d"),
        Aggregation("*", "ratio", timedelta(days=28), where=LATE, name="aircraft_late_28d"),
    ],
    contract=Landing,
    owner="fleet",
    description="The previous leg of an aircraft from New York, if it was today, and how it has flown of late.",
)

flight_delay_v2 = FeatureService(
    "flight_delay_v2",
    features=[
        *flight_delay_v1.features,
        airport_delays.with_join_keys(airport="origin"),
        carrier_delays,
        route_delays,
        number_delays,
        aircraft_delays,
    ],
    owner="delay team",
    description="The first version, and what the last hours, days and weeks were like.",
)
