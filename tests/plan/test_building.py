"""From what is asked to the plans of a retrieval and of a lookup."""

from __future__ import annotations

import pytest

from featurestore.dtypes import Bool, Float64, String
from featurestore.errors import InputError, UnknownNameError
from featurestore.plan.building import ViewInput, build_historical_plan, build_lookup_plan
from featurestore.plan.catalog import Catalog, ExpressionText, OnDemandMember, OnDemandRecord, Requested, ServiceRecord
from featurestore.plan.explain import explain_historical
from featurestore.plan.historical import PointInTimeJoin, Projection
from featurestore.plan.selection import select, view_members
from featurestore.plan.views import stored_rows
from tests.plan.catalogs import catalog, feature, projected, service, view

WEATHER = view(ttl_us=3_600_000_000, delay_us=60_000_000)
DEPARTURE = OnDemandRecord(
    name="departure",
    inputs=(
        Requested(source="request", columns=(("distance", "Float64"),)),
        projected(WEATHER, "temp", airport="origin"),
    ),
    features=(("cold_haul", "Bool"),),
    computation=ExpressionText(features=(("cold_haul", "{}"),)),
)


def flights() -> Catalog:
    members = (projected(WEATHER, "wind", airport="origin"), OnDemandMember(view="departure"))
    both = service("both", projected(WEATHER, "temp", airport="origin"), projected(WEATHER, "temp", airport="dest"))
    return catalog(WEATHER, DEPARTURE, ServiceRecord(name="flight_v1", members=members), both, origin_weather=1)


def rows() -> dict[str, ViewInput]:
    return {"origin_weather": ViewInput(stored_rows(WEATHER, ("a.parquet",)), 5)}


def test_on_demand_inputs_join_the_reading_of_the_same_view_under_a_hidden_name() -> None:
    plan = build_historical_plan(select("flight_v1", flights()), flights(), rows(), "sched_dep")
    [join] = plan.joins
    assert isinstance(join, PointInTimeJoin)
    hidden = "__origin_weather(airport=origin)__temp"
    assert join.columns == (Projection("wind", "origin__wind", Float64), Projection("temp", hidden, Float64))
    assert plan.on_demand[0].inputs == (("distance", "distance", Float64), ("temp", hidden, Float64))
    assert plan.outputs == (("origin__wind", Float64), ("cold_haul", Bool))
    assert plan.request == (("distance", Float64),)


def test_one_view_under_two_aliases_is_two_joins() -> None:
    plan = build_historical_plan(select("both", flights()), flights(), rows(), "t")
    assert [(join.label, join.keys) for join in plan.joins] == [
        ("origin_weather(airport=origin)", (("airport", "origin"),)),
        ("origin_weather(airport=dest)", (("airport", "dest"),)),
    ]


def test_a_join_carries_the_views_delay_and_ttl() -> None:
    plan = build_historical_plan(select("both", flights()), flights(), rows(), "t")
    [join, _] = plan.joins
    assert isinstance(join, PointInTimeJoin)
    assert (join.delay_us, join.ttl_us) == (60_000_000, 3_600_000_000)


def test_a_lookup_reads_columns_by_their_place_among_the_stored_ones() -> None:
    plan = build_lookup_plan(select(["origin_weather:wind", "origin_weather:temp"], flights()), flights(), "p")
    [lookup] = plan.views
    assert [(column.index, column.name) for column in lookup.columns] == [(1, "wind"), (0, "temp")]
    assert lookup.keys == (("airport", String),)


def test_a_star_selects_all_features_of_a_view() -> None:
    [member] = select("origin_weather:*", flights()).members
    assert member == projected(WEATHER, "temp", "wind")


def test_the_views_behind_on_demand_features_are_read_too() -> None:
    assert view_members(select(["departure:cold_haul"], flights()), flights()) == ("origin_weather",)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("flight_v2", "There is no service 'flight_v2'. Available: flight_v1, both"),
        (["weather:temp"], "There is no view 'weather'. Available: origin_weather"),
        (["origin_weather:tmp"], "no feature 'tmp' in view 'origin_weather'. Available: temp, wind"),
    ],
)
def test_an_unknown_name_lists_what_exists_close_ones_first(asked: str | list[str], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        select(asked, flights())


@pytest.mark.parametrize("asked", [[], ["temp"], ["origin_weather:temp", "origin_weather:temp"]])
def test_a_reference_of_another_form_is_refused(asked: list[str]) -> None:
    with pytest.raises(InputError):
        select(asked, flights())


def test_two_features_of_one_name_are_refused() -> None:
    other = view("dest_weather", feature("temp"))
    both = catalog(WEATHER, other)
    with pytest.raises(InputError, match="named 'temp'"):
        build_lookup_plan(select(["origin_weather:temp", "dest_weather:temp"], both), both, "p")


def test_explain_says_what_is_joined_how_and_from_where() -> None:
    text = explain_historical(build_historical_plan(select("flight_v1", flights()), flights(), rows(), "sched_dep"))
    assert "join origin_weather(airport=origin) on airport = spine.origin" in text
    assert "latest event at least 1m old, at most 1h old" in text
    assert "from 1 stored files" in text
