"""Windowed views on the whole path: history, materialization, lookups, from source. Instants by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore import Status
from featurestore.errors import FeatureStoreError
from featurestore.store import FeatureStore
from tests.store.projects import make_project

DAILY = """
customer = Entity("customer", join_keys={"customer": String})
events = ParquetSource("events", path="data/events.parquet", event_timestamp="at")
sums = FeatureView(
    "sums",
    entities=[customer],
    source=events,
    every=timedelta(days=1),
    features=[Aggregation("amount", "sum", timedelta(days=n)) for n in (1, 7, 30)],
)
service = FeatureService("service", features=[sums])
"""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def amounts(*pairs: tuple[str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"customer": ["a"] * len(pairs), "at": [instant(at) for at, _ in pairs], "amount": [v for _, v in pairs]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


# instant: sums over 1, 7 and 30 days
EXPECTED = {
    "2024-01-02": (None, 10.0, 10.0),
    "2024-01-10": (20.0, 20.0, 30.0),
    "2024-01-15": (30.0, 50.0, 60.0),
    "2024-01-17": (None, 30.0, 60.0),
    "2024-01-31": (None, None, 50.0),
}
NAMES = ["amount_sum_1d", "amount_sum_7d", "amount_sum_30d"]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    events = amounts(("2023-12-31T12:00", 10.0), ("2024-01-09T12:00", 20.0), ("2024-01-14T12:00", 30.0))
    store = make_project(tmp_path, DAILY, events=events)
    store.apply()
    return store


def spine(*instants: str) -> pl.DataFrame:
    return pl.DataFrame({"customer": ["a"] * len(instants), "event_timestamp": [instant(at) for at in instants]})


@pytest.mark.parametrize("from_source", [False, True])
def test_daily_sums_are_those_of_the_table(store: FeatureStore, from_source: bool) -> None:
    store.materialize(end=instant("2024-02-01"))
    found = store.get_historical_features(spine(*EXPECTED), "service", from_source=from_source).to_polars()
    assert [tuple(row) for row in found.select(NAMES).iter_rows()] == list(EXPECTED.values())


def test_lookups_after_each_run_are_those_of_the_table(store: FeatureStore) -> None:
    for at, expected in EXPECTED.items():
        store.materialize(end=instant(at))
        found = store.get_online_features("service", [{"customer": "a"}], at=instant(at)).to_dict()
        assert tuple(found[name][0] for name in NAMES) == expected, at


def test_values_change_at_steps_only_and_stand_after_the_watermark(store: FeatureStore) -> None:
    store.materialize(end=instant("2024-01-15"))
    asked = ("2024-01-09T23:59", "2024-01-14T12:00", "2024-01-15T05:00", "2024-01-17")
    found = store.get_historical_features(spine(*asked), "service", statuses=True).to_polars()
    assert found["amount_sum_7d"].to_list() == [None, 20.0, 50.0, 50.0]
    online = store.get_online_features("service", [{"customer": "a"}], at=instant("2024-01-17"))
    assert online.to_dict()["amount_sum_7d"] == [50.0]
    assert online.event_timestamps["amount_sum_7d"] == [instant("2024-01-15")]


def test_a_key_without_events_is_not_found_and_one_with_an_empty_window_is_null(store: FeatureStore) -> None:
    store.materialize(end=instant("2024-02-01"))
    online = store.get_online_features("service", [{"customer": "a"}, {"customer": "b"}], at=instant("2024-02-01"))
    assert online.statuses["amount_sum_1d"] == [Status.NULL_VALUE, Status.NOT_FOUND]
    before = store.get_historical_features(spine("2023-12-31T23:00"), "service", statuses=True).to_polars()
    assert before["amount_sum_30d__status"].to_list() == ["NOT_FOUND"]


def test_a_new_window_on_the_same_column_needs_no_backfill(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=instant("2024-01-15"))
    path = tmp_path / "feature_defs" / "shop.py"
    path.write_text(path.read_text().replace("(1, 7, 30)", "(1, 2, 7, 30)"))
    plan = store.apply()
    [change] = [change for change in plan.changes if change.kind == "view"]
    assert (change.backfill, change.republish, change.details) == (False, True, ("+amount_sum_2d",))
    online = store.get_online_features("service", [{"customer": "a"}], at=instant("2024-01-15"))
    assert online.to_dict()["amount_sum_2d"] == [30.0]


def test_maxima_over_ten_minutes_in_steps_of_five(tmp_path: Path) -> None:
    pairs = [
        ("2024-01-01T00:01", 100.0),
        ("2024-01-01T00:06", 1.0),
        ("2024-01-01T00:11", 2.0),
        ("2024-01-01T00:16", 4.0),
    ]
    maxima = DAILY.replace('"sum", timedelta(days=n)) for n in (1, 7, 30)', '"max", timedelta(minutes=10))')
    maxima = maxima.replace("every=timedelta(days=1)", "every=timedelta(minutes=5)")
    store = make_project(tmp_path, maxima, events=amounts(*pairs))
    store.apply()
    store.materialize(end=instant("2024-01-01T01:00"))
    asked = spine(*(f"2024-01-01T00:{minute:02}" for minute in (5, 10, 15, 20)))
    assert store.get_historical_features(asked, "service").to_polars()["amount_max_10m"].to_list() == [100, 100, 2, 4]


def test_continuous_windows_end_at_the_asked_instant(tmp_path: Path) -> None:
    continuous = DAILY.replace("    every=timedelta(days=1),\n", "")
    events = amounts(("2024-01-01T12:00", 1.0), ("2024-01-02T12:00", 2.0))
    store = make_project(tmp_path, continuous, events=events)
    store.apply()
    store.materialize(end=instant("2024-01-03"))
    edge = instant("2024-01-02T12:00")
    asked = pl.DataFrame(
        {"customer": ["a"] * 3, "event_timestamp": [edge, edge + timedelta(microseconds=1), instant("2024-01-05")]}
    )
    found = store.get_historical_features(asked, "service").to_polars()
    assert found["amount_sum_1d"].to_list() == [1.0, 2.0, 2.0]
    online = store.get_online_features("service", [{"customer": "a"}], at=instant("2024-01-05"))
    assert online.to_dict()["amount_sum_1d"] == [2.0]
    assert online.event_timestamps["amount_sum_1d"] == [instant("2024-01-03")]


def test_a_delay_keeps_the_steps_that_become_visible_later(tmp_path: Path) -> None:
    late = DAILY.replace("every=timedelta(days=1)", "every=timedelta(days=1), delay=timedelta(hours=36)")
    events = amounts(("2024-01-01T12:00", 1.0), ("2024-01-02T12:00", 2.0), ("2024-01-03T12:00", 4.0))
    store = make_project(tmp_path, late, events=events)
    store.apply()
    store.materialize(end=instant("2024-01-04"))
    asked = ("2024-01-04T00:00", "2024-01-04T11:59", "2024-01-04T12:00", "2024-01-05T12:00", "2024-01-09")
    history = store.get_historical_features(spine(*asked), "service").to_polars()["amount_sum_7d"].to_list()
    assert history == [1.0, 1.0, 3.0, 7.0, 7.0]
    online = [
        store.get_online_features("service", [{"customer": "a"}], at=instant(at)).to_dict()["amount_sum_7d"][0]
        for at in asked
    ]
    assert online == history


def test_a_start_takes_the_events_in_the_windows_there(store: FeatureStore) -> None:
    store.materialize(start=instant("2024-01-10"), end=instant("2024-01-15"))
    found = store.get_historical_features(spine("2024-01-10", "2024-01-15"), "service").to_polars()
    assert [tuple(row) for row in found.select(NAMES).iter_rows()] == [(20.0, 20.0, 30.0), (30.0, 50.0, 60.0)]
    assert store.get_online_features("service", [{"customer": "a"}], at=instant("2024-01-15")).to_dict()[
        "amount_sum_30d"
    ] == [60.0]


def test_re_sent_events_count_once(tmp_path: Path) -> None:
    definitions = DAILY.replace('event_timestamp="at"', 'event_timestamp="at", created_timestamp="made", event_id="id"')
    events = amounts(("2024-01-01T12:00", 1.0), ("2024-01-01T12:00", 2.0), ("2024-01-01T12:00", 2.0)).with_columns(
        id=pl.Series([1, 2, 1]), made=pl.Series([instant("2024-01-02"), instant("2024-01-02"), instant("2024-01-03")])
    )
    store = make_project(tmp_path, definitions, events=events)
    store.apply()
    store.materialize(end=instant("2024-01-05"))
    for from_source in (False, True):
        found = store.get_historical_features(spine("2024-01-02"), "service", from_source=from_source).to_polars()
        assert found["amount_sum_1d"].to_list() == [4.0]


def test_an_event_sent_again_with_another_key_leaves_its_first_key_online_too(tmp_path: Path) -> None:
    definitions = DAILY.replace('event_timestamp="at"', 'event_timestamp="at", created_timestamp="made", event_id="id"')
    events = amounts(("2024-01-01T12:00", 1.0), ("2024-01-11T12:00", 2.0)).with_columns(
        customer=pl.Series(["a", "b"]), id=1, made=pl.Series([instant("2024-01-02"), instant("2024-01-12")])
    )
    store = make_project(tmp_path, definitions, events=events)
    store.apply()
    for end, expected in (("2024-01-10", [1.0, None]), ("2024-01-20", [None, 2.0])):
        store.materialize(end=instant(end))
        online = store.get_online_features("service", [{"customer": "a"}, {"customer": "b"}], at=instant(end))
        assert online.to_dict()["amount_sum_30d"] == expected
        found = [Status.NOT_FOUND if value is None else Status.PRESENT for value in expected]
        assert online.statuses["amount_sum_30d"] == found


def test_a_key_that_no_run_touched_answers_with_the_time_of_the_last_step(store: FeatureStore) -> None:
    store.materialize(end=instant("2024-02-20"))
    for end in ("2024-02-21", "2024-02-22"):
        assert store.materialize(end=instant(end)).views[0].published == 0
    at = instant("2024-02-22")
    online = store.get_online_features("service", [{"customer": "a"}], at=at)
    assert online.event_timestamps["amount_sum_1d"] == [at]


def test_an_event_that_leaves_the_window_changes_the_value_without_a_new_event(store: FeatureStore) -> None:
    store.materialize(end=instant("2024-01-16"))
    assert store.materialize(end=instant("2024-01-17")).views[0].published == 1
    online = store.get_online_features("service", [{"customer": "a"}], at=instant("2024-01-17"))
    assert tuple(online.to_dict()[name][0] for name in NAMES) == (None, 30.0, 60.0)


CHAIN = """
store_key = Entity("store", join_keys={"store": Int64, "region": String})
region_key = Entity("region", join_keys={"region": String})
visits = ParquetSource("visits", path="data/visits.parquet", event_timestamp="at")
daily = FeatureView(
    "daily",
    entities=[store_key],
    source=visits,
    every=timedelta(days=1),
    features=[Aggregation("*", "count", timedelta(days=1), name="visits")],
)
monthly = FeatureView(
    "monthly",
    entities=[region_key],
    source=daily,
    every=timedelta(days=1),
    features=[Aggregation("visits", "mean", timedelta(days=30), name="mean_visits")],
)
"""


def test_a_view_may_take_the_steps_of_another_as_its_source(tmp_path: Path) -> None:
    # steps of `daily`: store 1: 2 visits at Jan 2, 1 at Jan 4; store 2: 3 at Jan 2; all of region "n"
    times = ["01T05", "01T06", "03T07", "01T08", "01T09", "01T10"]
    visits = pl.DataFrame(
        {"store": [1, 1, 1, 2, 2, 2], "region": ["n"] * 6, "at": [instant(f"2024-01-{at}:00") for at in times]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    store = make_project(tmp_path, CHAIN, visits=visits)
    store.apply()
    store.materialize(end=instant("2024-01-11"))
    asked = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-10"]
    regions = pl.DataFrame({"region": ["n"] * 5, "event_timestamp": [instant(at) for at in asked]})
    # the steps at Jan 2 count from Jan 3 on, the one at Jan 4 from Jan 5 on: an event at v lies before v only later
    expected = [None, 2.5, 2.5, 2.0, 2.0]
    for from_source in (False, True):
        found = store.get_historical_features(regions, ["monthly:mean_visits"], from_source=from_source).to_polars()
        assert found["mean_visits"].to_list() == expected
    online = store.get_online_features(["monthly:mean_visits"], [{"region": "n"}], at=instant("2024-01-11"))
    assert online.to_dict()["mean_visits"] == [2.0]


def test_several_sources_count_together(tmp_path: Path) -> None:
    both = DAILY.replace(
        "sums = FeatureView(",
        'refunds = ParquetSource("refunds", path="data/refunds.parquet", event_timestamp="at")\nsums = FeatureView(',
    ).replace("source=events", "source=[events, refunds]")
    events, refunds = amounts(("2024-01-01T12:00", 10.0)), amounts(("2024-01-01T13:00", -4.0))
    store = make_project(tmp_path, both, events=events, refunds=refunds)
    store.apply()
    store.materialize(end=instant("2024-01-05"))
    found = store.get_historical_features(spine("2024-01-02"), "service").to_polars()
    assert found["amount_sum_1d"].to_list() == [6.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"sum"', '"summ"'), "There is no aggregate function 'summ'. Available: sum"),
        (('"amount", "sum"', '"customer", "sum"'), "sum does not take String"),
        (('"amount", "sum"', '"amunt", "sum"'), "`amunt` does not fit"),
        (('timedelta(days=n)) for n in (1, 7, 30)', 'timedelta(0))'), "window must be positive"),
        (('timedelta(days=n)) for n in (1, 7, 30)', 'timedelta(days=1), where="amount")'), "must be true or false"),
        (('"sum", timedelta(days=n)) for n in (1, 7, 30)', '"percentile", timedelta(1))'), "needs the parameter 'p'"),
        (('for n in (1, 7, 30)', 'for n in (1, 1)'), "feature 'amount_sum_1d' is declared 2 times"),
    ],
)  # fmt: skip
def test_a_wrong_aggregation_is_refused_when_planned(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    store = make_project(tmp_path, DAILY.replace(*change), events=amounts(("2024-01-01T12:00", 1.0)))
    with pytest.raises(FeatureStoreError, match=message):
        store.plan()
