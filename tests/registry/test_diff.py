"""What a plan says would change."""

from __future__ import annotations

from typing import Any

import msgspec

from featurestore.plan.catalog import Catalog, FeatureRecord, Metadata, ParquetPlace, ScheduleRecord
from featurestore.registry.diff import CatalogDiff, Change, diff
from tests.plan.catalogs import WEATHER, catalog, feature, projected, service, view

VIEW = view()
SERVICE = service("flight_v1", projected(VIEW))


def declared(name: str, **changes: Any) -> FeatureRecord:
    return feature(name, **({"stored": ""} | changes))


def planned(before: Catalog, after: Catalog) -> CatalogDiff:
    return diff(7, before, after)


def only(plan: CatalogDiff, kind: str = "view") -> Change:
    [change] = [change for change in plan.changes if change.kind == kind]
    return change


def test_equal_catalogs_change_nothing() -> None:
    assert planned(catalog(VIEW, origin_weather=3), catalog(VIEW)).changes == ()


def test_a_first_view_is_added_as_version_one_and_needs_a_backfill() -> None:
    change = only(planned(catalog(), catalog(VIEW)))
    assert (change.action, change.version, change.backfill) == ("added", 1, True)


def test_a_new_schedule_is_metadata_only_and_no_new_version() -> None:
    often = msgspec.structs.replace(VIEW, schedule=ScheduleRecord(cron="0 * * * *", zone="Europe/Berlin"))
    plan = planned(catalog(VIEW, origin_weather=1), catalog(often))
    assert only(plan) == Change("view", "origin_weather", "metadata", ("schedule",), version=1, from_version=1)


def test_a_new_description_is_metadata_only_and_no_new_version() -> None:
    told = msgspec.structs.replace(VIEW, metadata=Metadata(description="Weather."))
    plan = planned(catalog(VIEW, origin_weather=1), catalog(told))
    assert only(plan) == Change("view", "origin_weather", "metadata", ("description",), version=1, from_version=1)
    assert plan.target.versions == {"origin_weather": 1}


def test_a_new_ttl_is_a_new_version_that_rebuilds_nothing_and_touches_services() -> None:
    short = msgspec.structs.replace(VIEW, ttl_us=1)
    change = only(planned(catalog(VIEW, SERVICE, origin_weather=1), catalog(short, SERVICE)))
    assert change == Change("view", "origin_weather", "changed", ("ttl",), ("flight_v1",), version=2, from_version=1)


def test_a_new_delay_only_publishes_anew() -> None:
    late = msgspec.structs.replace(VIEW, delay_us=1)
    change = only(planned(catalog(VIEW, origin_weather=1), catalog(late)))
    assert (change.backfill, change.republish) == (False, True)


def test_a_new_path_must_be_backfilled() -> None:
    moved = msgspec.structs.replace(VIEW, source=msgspec.structs.replace(WEATHER, place=ParquetPlace(path="b")))
    change = only(planned(catalog(VIEW, origin_weather=1), catalog(moved)))
    assert (change.details, change.version, change.backfill) == (("source",), 2, True)


def test_features_that_come_and_go_are_named() -> None:
    other = view("origin_weather", feature("temp", "Float32"), feature("humid"))
    change = only(planned(catalog(VIEW, origin_weather=1), catalog(other)))
    assert change.details == ("~temp", "+humid", "-wind")


def test_a_rename_keeps_the_stored_column_and_rebuilds_nothing() -> None:
    renamed = view("origin_weather", declared("warmth", column="", was="temp"), declared("wind"))
    plan = planned(catalog(VIEW, origin_weather=1), catalog(renamed))
    assert only(plan).details == ("temp -> warmth",)
    assert only(plan).backfill is False
    assert plan.target.views["origin_weather"].features[0] == feature(
        "warmth", stored="temp", column="temp", was="temp"
    )


def test_a_rename_that_is_applied_already_changes_nothing_when_planned_again() -> None:
    renamed = view("origin_weather", declared("warmth", column="", was="temp"), declared("wind"))
    first = planned(catalog(VIEW, origin_weather=1), catalog(renamed))
    assert planned(first.target, catalog(renamed)).changes == ()


def test_a_new_feature_never_takes_the_stored_column_of_a_renamed_one() -> None:
    swapped = view("origin_weather", declared("warmth", column="", was="temp"), declared("temp", column="t2"))
    plan = planned(catalog(VIEW, origin_weather=1), catalog(swapped))
    assert [f.stored for f in plan.target.views["origin_weather"].features] == ["temp", "temp_2"]


def test_what_is_gone_is_removed_and_its_version_number_is_not_used_again() -> None:
    gone = planned(catalog(VIEW, SERVICE, origin_weather=4), catalog())
    assert {(c.kind, c.action) for c in gone.changes} == {("view", "removed"), ("service", "removed")}
    assert only(gone).services == ("flight_v1",)
    assert only(planned(gone.target, catalog(VIEW))).version == 5


def test_a_meaning_that_comes_back_is_a_new_version() -> None:
    short = msgspec.structs.replace(VIEW, ttl_us=1)
    there = planned(catalog(VIEW, origin_weather=1), catalog(short))
    back = planned(there.target, catalog(VIEW))
    assert only(back).version == 3
