"""What declarations refuse, and how they name what they hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from featurestore import (
    Aggregation,
    CsvSource,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Float64,
    FrameSource,
    Int64,
    List,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
    SqlSource,
    String,
)
from featurestore.definitions.faults import collecting
from featurestore.errors import DefinitionError

HOUR = timedelta(hours=1)
AIRPORT = Entity("airport", join_keys={"airport": String})
WEATHER = ParquetSource("weather", path="weather.parquet", event_timestamp="time_hour")
PLANES = ParquetSource("planes", path="planes.parquet", timeless=True)


def weather_view(**changes: Any) -> FeatureView:
    arguments: dict[str, Any] = {
        "entities": [AIRPORT],
        "source": WEATHER,
        "features": [Feature("temp", Float64), Feature("wind", Float64)],
    }
    return FeatureView(changes.pop("name", "origin_weather"), **(arguments | changes))


def on_demand(**changes: Any) -> OnDemandFeatureView:
    arguments: dict[str, Any] = {
        "inputs": [RequestSource("request", {"distance": Float64}), weather_view()],
        "features": {"cold": pl.col("temp") < 32},
    }
    return OnDemandFeatureView("departure", **(arguments | changes))


def marked(**changes: Any) -> ParquetSource:
    arguments: dict[str, Any] = {"event_timestamp": "t", "created_timestamp": "c", "event_id": "i", "deleted": "gone"}
    return ParquetSource("w", path="w", **(arguments | changes))


def sum_over(window: timedelta | None, **changes: Any) -> Aggregation:
    return Aggregation("delay", "sum", window, **changes)


FAULTY: list[tuple[str, Callable[[], object], str]] = [
    ("entity name", lambda: Entity("air port", join_keys={"a": String}), "'air port' is not allowed"),
    ("double underscore", lambda: Entity("a__b", join_keys={"a": String}), "single underscores"),
    ("no join key", lambda: Entity("airport", join_keys={}), "one or more names"),
    ("float key", lambda: Entity("airport", join_keys={"a": Float64}), "join key 'a' cannot be Float64"),
    ("reserved key", lambda: Entity("airport", join_keys={"event_timestamp": Int64}), "is reserved"),
    ("no time", lambda: ParquetSource("w", path="w"), "event_timestamp is missing"),
    ("two times", lambda: ParquetSource("w", path="w", event_timestamp=["a", "b"]), "the name of one column"),  # type: ignore[arg-type]  # the fault
    ("timeless with time", lambda: CsvSource("w", path="w", timeless=True, event_timestamp="t"), "has no event_t"),
    ("timeless with delay", lambda: CsvSource("w", path="w", timeless=True, delay=HOUR), "has no delay"),
    ("empty path", lambda: ParquetSource("w", path=" ", event_timestamp="t"), "path must be text"),
    ("negative delay", lambda: ParquetSource("w", path="w", event_timestamp="t", delay=-HOUR), "zero or positive"),
    ("created without", lambda: CsvSource("w", path="w", event_timestamp="t", visibility="created"), "created_time"),
    (
        "times alike",
        lambda: CsvSource("w", path="w", event_timestamp="t", created_timestamp="t"),
        "are both 't'",
    ),
    ("deleted is no name", lambda: marked(deleted=["gone"]), "deleted must be the name of one column"),
    ("deleted is the event time", lambda: marked(deleted="t"), "deleted and event_timestamp are both 't'"),
    ("deleted is the created time", lambda: marked(deleted="c"), "deleted and created_timestamp are both 'c'"),
    ("deleted is the event id", lambda: marked(deleted="i"), "deleted and event_id are both 'i'"),
    ("timeless with deleted", lambda: CsvSource("w", path="w", timeless=True, deleted="d"), "has no deleted"),
    (
        "windows without event id",
        lambda: weather_view(source=marked(event_id=None), features=[sum_over(HOUR)], every=HOUR),
        "has deleted and no event_id, by which alone a marker finds the event that it cancels; name the event_id.",
    ),
    ("deleted is a join key", lambda: weather_view(source=marked(deleted="airport")), "they must be two"),
    (
        "deleted of one source alone",
        lambda: weather_view(source=[marked(), ParquetSource("v", path="v", event_timestamp="t")]),
        "several sources must name the same time columns, event_id and deleted",
    ),
    ("no inputs", lambda: SqlSource("s", sql="SELECT 1", inputs=(), event_timestamp="t"), "list the sources"),
    (
        "undelayed",
        lambda: SqlSource("s", sql="FROM d", inputs=(delayed(),), event_timestamp="t"),
        "input 'd' has a delay, so this source must declare its own",
    ),
    (
        "service of a view without brackets",
        lambda: FeatureService("s", features=weather_view()),  # type: ignore[arg-type]  # the fault
        "features must be a list, found FeatureView 'origin_weather'",
    ),
    (
        "object store",
        lambda: ParquetSource("w", path="s3://b/w.parquet", event_timestamp="t"),
        "path 's3://b/w.parquet' must be one of this machine; object stores are not built yet",
    ),
    ("no type", lambda: Feature("temp", float), "needs a type such as"),  # type: ignore[arg-type]  # the fault
    ("expr and column", lambda: Feature("t", Int64, expr="a", column="a"), "not both"),
    ("was itself", lambda: Feature("t", Int64, was="t"), "the earlier name"),
    ("negative ttl", lambda: weather_view(ttl=-timedelta(days=1)), "ttl must be positive, got -1 day"),
    ("zero ttl", lambda: weather_view(ttl=timedelta(0)), "ttl must be positive"),
    ("number ttl", lambda: weather_view(ttl=3), "ttl must be a timedelta, found 3"),
    ("no features", lambda: weather_view(features=[]), "features is empty"),
    ("twice", lambda: weather_view(features=[Feature("a", Int64), Feature("a", Int64)]), "'a' is declared 2 times"),
    (
        "case",
        lambda: weather_view(features=[Feature("a", Int64), Feature("A", Int64)]),
        "differs from 'a' in case only",
    ),
    ("key in capitals", lambda: weather_view(features=[Feature("Airport", String)]), "the name of a join key"),
    ("key as feature", lambda: weather_view(features=[Feature("airport", String)]), "the name of a join key"),
    ("timeless ttl", lambda: weather_view(source=PLANES, ttl=HOUR), "leave ttl out"),
    ("every", lambda: weather_view(every=HOUR), "has no Aggregation"),
    ("contract", lambda: weather_view(contract=dict), "DataFrameModel"),
    ("schedule", lambda: weather_view(schedule="0 3 * *"), "no cron expression of five fields"),
    ("schedule zone", lambda: weather_view(schedule="0 3 * * *", schedule_zone="Mars"), "no time zone 'Mars'"),
    ("policy", lambda: weather_view(on_refusal="ignore"), '"refuse" or "drop"'),
    ("unknown feature", lambda: weather_view()["tmp"], "There is no feature 'tmp'. Available: temp, wind"),
    ("unknown key", lambda: weather_view().with_join_keys(airprt="origin"), "no join key 'airprt'"),
    ("bad prefix", lambda: weather_view().projection().with_prefix("a-b"), "prefix 'a-b' is not allowed"),
    ("mixed", lambda: weather_view(features=[Feature("a", Int64), sum_over(HOUR)], every=HOUR), "mixes"),
    ("unknown function", lambda: Aggregation("x", "summ", HOUR), "no aggregate function 'summ'. Available: sum"),
    ("missing parameter", lambda: Aggregation("x", "percentile", HOUR), "needs the parameter 'p'"),
    ("rows alone", lambda: Aggregation("*", "sum", HOUR), "sum needs a column, not '*'"),
    ("zero window", lambda: sum_over(timedelta(0)), "window must be positive"),
    ("negative offset", lambda: sum_over(HOUR, offset=-HOUR), "offset must be positive"),
    ("unnamed expr", lambda: Aggregation("a + b", "sum", HOUR), "a name is needed"),
    ("continuous delay", lambda: weather_view(features=[sum_over(HOUR)], delay=HOUR), "cannot have a delay"),
    ("on-demand name", lambda: on_demand(features={"temp": pl.col("wind")}), "has the name of an input column"),
    ("on-demand value", lambda: on_demand(features={"cold": 3}), "must be a polars expression, found 3"),
    ("input twice", lambda: on_demand(inputs=[weather_view(), weather_view()]), "comes from two inputs"),
    ("collision", lambda: FeatureService("s", features=[weather_view(), weather_view(name="b")]), "comes from"),
    ("spine column", lambda: FeatureService("s", features=[weather_view(), temp_keyed()]), "that the spine brings"),
    ("empty service", lambda: FeatureService("s", features=[]), "features is empty"),
]


def delayed() -> ParquetSource:
    return ParquetSource("d", path="d", event_timestamp="t", delay=HOUR)


def temp_keyed() -> FeatureView:
    keyed = Entity("degree", join_keys={"temp": Int64})
    return FeatureView("by_degree", entities=[keyed], source=WEATHER, features=[Feature("n", Int64)])


@pytest.mark.parametrize(("declare", "message"), [case[1:] for case in FAULTY], ids=[case[0] for case in FAULTY])
def test_a_faulty_declaration_is_refused_with_its_place(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        declare()
    faults = caught.value.faults
    assert message in str(faults[0])
    assert faults[0].file == __file__
    assert faults[0].line is not None


def test_all_faults_of_a_declaration_are_raised_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        weather_view(name="a b", ttl=-HOUR, features=[])
    assert len(caught.value.faults) == 3


def test_inside_collecting_faults_are_gathered_and_declaring_goes_on() -> None:
    with collecting() as faults:
        Entity("air port", join_keys={"a": String})
        CsvSource("w", path="")
    assert [fault.message.split(":")[0] for fault in faults] == [
        "Entity 'air port'",
        "CsvSource 'w'",
        "CsvSource 'w'",
    ]


def test_aliased_views_name_their_features_by_the_alias() -> None:
    origin = weather_view()[["wind", "temp"]].with_join_keys(airport="origin")
    assert [origin.output_name(feature) for feature in origin.features] == ["origin__wind", "origin__temp"]
    assert origin.keys == {"airport": "origin"}


def test_a_prefix_of_nothing_gives_plain_names() -> None:
    origin = weather_view().with_join_keys(airport="origin").with_prefix("")
    assert origin.output_name("temp") == "temp"


@pytest.mark.parametrize(
    ("window", "offset", "name"),
    [
        (timedelta(minutes=90), None, "delay_sum_90m"),
        (timedelta(hours=6), None, "delay_sum_6h"),
        (timedelta(days=7), None, "delay_sum_7d"),
        (timedelta(hours=36), None, "delay_sum_36h"),
        (None, None, "delay_sum_lifetime"),
        (timedelta(days=7), timedelta(days=7), "delay_sum_7d_7d_ago"),
    ],
)
def test_an_unnamed_aggregation_is_named_by_its_window(
    window: timedelta | None, offset: timedelta | None, name: str
) -> None:
    assert sum_over(window, offset=offset).name == name


def test_the_views_delay_replaces_the_sources() -> None:
    assert weather_view(source=delayed()).effective_delay == HOUR
    assert weather_view(source=delayed(), delay=timedelta(0)).effective_delay == timedelta(0)


def test_a_frame_source_takes_literal_rows() -> None:
    assert FrameSource("rows", frame=[{"a": 1}], timeless=True).frame == [{"a": 1}]


def test_types_have_a_text_form() -> None:
    assert str(List(String)) == "List(String)"
