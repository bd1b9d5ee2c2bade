"""Declare, plan, apply, materialize, train, look up: the whole path through the public API."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore import Status
from featurestore.errors import (
    DefinitionError,
    GateRefused,
    InputError,
    MaterializationError,
    NotPublishedError,
    SourceError,
    UnknownNameError,
)
from featurestore.store import FeatureStore
from tests.store.projects import DAY, PURCHASES, day, define, make_project, open_project, purchases

SPINE = pl.DataFrame(
    {
        "customer": ["a", "b", "a", "a", None],
        "event_timestamp": [day(3), day(5), day(10), day(3), day(9)],
        "price": [1.0] * 5,
    },
    schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    return store


def test_the_training_set_and_the_lookup_answer_alike(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    training = store.get_historical_features(SPINE, "buyer", statuses=True).to_polars()
    assert training.columns == [
        "customer", "event_timestamp", "price",
        "amount", "amount__status", "items", "items__status", "relative", "relative__status",
    ]  # fmt: skip
    assert training["amount"].to_list() == [2.0, 5.0, None, 2.0, None]
    assert training["items"].to_list() == [1, 3, 2, 1, None]
    assert training["relative"].to_list() == [0.5, 0.2, None, 0.5, None]
    assert training["amount__status"].to_list() == ["PRESENT", "PRESENT", "NULL_VALUE", "PRESENT", "NOT_FOUND"]
    vector = store.get_online_features(
        "buyer", [{"customer": "a"}, {"customer": "b"}, {"customer": None}], [{"price": 1.0}] * 3, at=day(15, 1)
    )
    assert vector.to_dict()["items"] == [2, None, None]
    assert vector.statuses["items"] == [Status.PRESENT, Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND]
    assert vector.statuses["amount"][0] == Status.NULL_VALUE
    assert vector.event_timestamps["items"][0] == day(10)


def test_both_ends_of_the_ttl_are_included(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    edge = day(5) + timedelta(days=10)
    for at, expected in ((edge, 3), (edge + timedelta(microseconds=1), None)):
        spine = pl.DataFrame({"customer": ["b"], "event_timestamp": [at]})
        training = store.get_historical_features(spine, ["last:items"]).to_polars()
        online = store.get_online_features(["last:items"], [{"customer": "b"}], at=at)
        assert training["items"].to_list() == [expected]
        assert online.to_dict()["items"] == [expected]


def test_from_source_gives_the_same_rows_and_warns_beyond_the_watermark(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    stored = store.get_historical_features(SPINE, "buyer").to_polars()
    assert store.get_historical_features(SPINE, "buyer", from_source=True).to_polars().equals(stored)
    late = SPINE.with_columns(event_timestamp=pl.lit(day(20)).dt.cast_time_unit("us"))
    training = store.get_historical_features(late, "buyer", from_source=True)
    with pytest.warns(UserWarning, match="5 at or beyond the watermark"):
        training.to_polars()
    assert "last: 0 spine rows before the committed start, 5 at or beyond the watermark" in training.explain()


def test_materialize_goes_on_from_the_watermark_and_does_nothing_twice(store: FeatureStore) -> None:
    assert store.materialize(end=day(6)).rows == 2
    assert store.materialize(end=day(12)).rows == 1
    again = store.materialize(end=day(12))
    assert (again.rows, again.views[0].chunks) == (0, ())
    assert "nothing to do" in again.views[0].remarks[0]
    assert store.sql("SELECT count(*) AS n FROM last").item() == 3


def test_chunks_are_commits_and_progress_tells_of_each(store: FeatureStore) -> None:
    seen: list[tuple[str, int, int]] = []
    report = store.materialize(
        end=day(12), start=day(1), step=5 * DAY, progress=lambda s: seen.append((s.stage, s.done, s.total))
    )
    assert [chunk.table_version for chunk in report.views[0].chunks] == [0, 1, 2]
    assert [step for step in seen if step[0] == "committed"] == [("committed", n, 3) for n in (1, 2, 3)]


def test_zero_rows_are_said_aloud(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    report = store.materialize(end=day(20))
    assert report.views[0].remarks == ("0 rows: the source has none in this interval",)


def test_a_start_commits_what_is_in_force_there_and_nothing_further_back(store: FeatureStore) -> None:
    store.materialize(start=day(8), end=day(12))
    assert store.sql("SELECT customer, items FROM last ORDER BY ALL").rows() == [("a", 1), ("a", 2), ("b", 3)]
    spine = pl.DataFrame({"customer": ["a", "b"], "event_timestamp": [day(9), day(9)]})
    assert store.get_historical_features(spine, ["last:items"]).to_polars()["items"].to_list() == [1, 3]


def test_a_backfill_replaces_its_interval_offline_and_online(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    purchases().with_columns(items=pl.col("items") * 10).filter(pl.col("customer") == "a").write_parquet(
        tmp_path / "data" / "purchases.parquet"
    )
    store.materialize(start=day(4), end=day(12))
    assert store.sql("SELECT customer, items FROM last ORDER BY ALL").rows() == [("a", 1), ("a", 20)]
    found = store.get_online_features(["last:items"], [{"customer": "a"}, {"customer": "b"}], at=day(12))
    assert found.to_dict()["items"] == [20, None]


def test_apply_never_moves_a_watermark(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    before = store.status()
    define(tmp_path, PURCHASES.replace("days=10", "days=11"))
    store.apply()
    after = store.status()
    assert [(v.watermark_us, v.rows, v.keys) for v in after] == [(v.watermark_us, v.rows, v.keys) for v in before]
    assert after[0].version == 2


def test_a_new_ttl_holds_at_once_for_lookups_of_an_open_store(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    at = day(5) + 10 * DAY + timedelta(hours=1)
    assert store.get_online_features(["last:items"], [{"customer": "b"}], at=at).to_dict()["items"] == [None]
    define(tmp_path, PURCHASES.replace("days=10", "days=11"))
    open_project(tmp_path).apply()
    assert store.get_online_features(["last:items"], [{"customer": "b"}], at=at).to_dict()["items"] == [3]


def test_a_new_delay_is_published_by_apply(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    define(tmp_path, PURCHASES.replace("ttl=timedelta(days=10)", "delay=timedelta(days=4)"))
    store.apply()
    found = [
        store.get_online_features(["last:items"], [{"customer": "a"}], at=at).to_dict()["items"]
        for at in (day(12), day(13, 23), day(14))
    ]
    assert found == [[1], [1], [2]]


def test_a_rename_rebuilds_nothing(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    define(tmp_path, PURCHASES.replace('Feature("items", Int64)', 'Feature("pieces", Int64, was="items")'))
    store.apply()
    assert store.get_online_features(["last:pieces"], [{"customer": "a"}], at=day(12)).to_dict()["pieces"] == [2]
    assert store.sql("SELECT max(pieces) FROM last").item() == 3


def test_a_project_can_be_copied(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    copy = tmp_path.parent / f"{tmp_path.name}_copy"
    store.close()
    shutil.copytree(tmp_path, copy)
    shutil.rmtree(tmp_path)
    moved = open_project(copy)
    assert moved.get_online_features(["last:items"], [{"customer": "a"}], at=day(12)).to_dict()["items"] == [2]
    assert moved.get_historical_features(SPINE, "buyer").to_polars().height == 5


def test_a_dataset_is_versioned_and_can_be_asked_in_sql(store: FeatureStore) -> None:
    store.materialize(end=day(12))
    training = store.get_historical_features(SPINE, "buyer")
    first, second = training.save("train"), training.save("train")
    assert (first.version, second.version, first.rows) == (1, 2, 5)
    assert first.manifest.sha256 == second.manifest.sha256
    assert store.sql("SELECT count(*) FROM train_v1 JOIN train USING (price)").item() == 25
    made = first.manifest.views["last"]
    assert (made.version, made.watermark) == (1, "2024-01-12T00:00:00Z")


def test_spines_may_be_files_and_queries(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(12))
    SPINE.write_parquet(tmp_path / "spine.parquet")
    expected = store.get_historical_features(SPINE, ["last:items"]).to_polars()["items"].to_list()
    of_file = store.get_historical_features(tmp_path / "spine.parquet", ["last:items"]).to_polars()
    assert of_file["items"].to_list() == expected
    query = 'SELECT customer, "at" AS event_timestamp FROM purchases ORDER BY "at"'
    assert store.get_historical_features(query, ["last:amount"]).to_polars()["amount"].to_list() == [2.0, 5.0, None]
    categories = store.get_historical_features(SPINE.cast({"customer": pl.Categorical}), ["last:items"]).to_polars()
    assert categories["items"].to_list() == expected
    assert categories["customer"].dtype == pl.Categorical
    pandas = store.get_historical_features(SPINE.to_pandas(), ["last:items"]).to_pandas()
    assert pandas["items"].dtype == "int64[pyarrow]"


@pytest.mark.parametrize(
    ("spine", "features", "message"),
    [
        (
            SPINE.drop("event_timestamp"),
            ["last:items"],
            "'event_timestamp'.* Or name the one that holds the instants, as",
        ),
        (
            [{"customer": "a", "event_timestamp": 2**70}],
            ["last:items"],
            "The spine: its columns cannot be read .*large",
        ),
        (["a"], ["last:items"], "The spine: its columns cannot be read"),
        (SPINE, None, "The features are a NoneType; name a service, or list references"),
        (SPINE, "last", r"'last' is a view, not a service; write 'last:\*'"),
    ],
)
def test_what_cannot_be_asked_is_told_with_the_remedy(
    store: FeatureStore, spine: object, features: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        store.get_historical_features(spine, features, from_source=True).to_polars()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "What to push has no rows"),
        ([{"customer": "a", "items": 2**70}], "What to push: its columns cannot be read"),
    ],
)
def test_what_cannot_be_pushed_is_told(store: FeatureStore, rows: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.push("last", rows)


def test_sql_is_read_only(store: FeatureStore) -> None:
    with pytest.raises(InputError):
        store.sql("CREATE TABLE x AS SELECT 1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('"items", Int64', '"itms", Int64'),
            r"feature_defs/shop.py:11: FeatureView 'last': .*'itms' is no column of source 'purchases'. It has items",
        ),
        (('event_timestamp="at"', 'event_timestamp="items"'), "must hold timestamps with a time zone"),
        (
            ('event_timestamp="at"', 'event_timestamp="local"'),
            r"'local' of source 'purchases' holds TIMESTAMP, and must .* REPLACE \(local AT TIME ZONE 'UTC' AS local\)",
        ),
        (
            ('"items", Int64', '"items", String'),
            "shop.py:11: .*column 'items' is declared String, found Int64. Declare",
        ),
        (('{"customer": String}', '{"customer": Int64}'), "column 'customer' is declared Int64, found String"),
        (("data/purchases.parquet", "data/nothing.parquet"), "nothing.parquet"),
        (('Feature("items", Int64)', 'Feature("items", Int64, expr="item + 1")'), "`item \\+ 1` does not fit"),
        (('pl.col("amount")}', 'pl.col("amount").mean()}'), "relative"),
    ],
)
def test_a_definition_that_does_not_fit_the_data_is_refused_when_planned(
    store: FeatureStore, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    local = pl.col("at").dt.replace_time_zone(None).alias("local")
    purchases().with_columns(local).write_parquet(tmp_path / "data" / "purchases.parquet")
    define(tmp_path, PURCHASES.replace(*change))
    with pytest.raises(DefinitionError, match=message):
        store.plan()
    assert store.registry.revision() == 1


def test_an_empty_source_is_no_success(store: FeatureStore, tmp_path: Path) -> None:
    purchases().clear().write_parquet(tmp_path / "data" / "purchases.parquet")
    with pytest.raises(MaterializationError, match="source 'purchases' has no rows"):
        store.materialize(end=day(12))
    assert store.status()[0].watermark_us is None


def test_a_source_that_was_emptied_moves_no_watermark(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(6))
    purchases().clear().write_parquet(tmp_path / "data" / "purchases.parquet")
    before = store.status()
    with pytest.raises(MaterializationError, match="source 'purchases' has no rows"):
        store.materialize(end=day(12))
    assert store.status() == before


def test_a_corrupt_file_stops_the_run_and_leaves_what_was_committed(store: FeatureStore, tmp_path: Path) -> None:
    store.materialize(end=day(6))
    (tmp_path / "data" / "purchases.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(SourceError, match="purchases"):
        store.materialize(end=day(12))
    assert store.get_online_features(["last:items"], [{"customer": "a"}], at=day(7)).to_dict()["items"] == [1]


def test_wrong_questions_get_typed_answers(store: FeatureStore) -> None:
    with pytest.raises(MaterializationError, match="never materialized"):
        store.get_historical_features(SPINE, "buyer")
    with pytest.raises(NotPublishedError, match="featurestore materialize"):
        store.get_online_features("buyer", [{"customer": "a"}], [{"price": 1.0}])
    store.materialize(end=day(12))
    with pytest.raises(NotPublishedError):
        store.get_online_features(["last:items"], [{"customer": "a"}], at=day(11))
    with pytest.raises(UnknownNameError, match=r"There is no service 'buyers'. Available: buyer"):
        store.get_historical_features(SPINE, "buyers")
    with pytest.raises(InputError, match="customer"):
        store.get_online_features(["last:items"], [{"costumer": "a"}])
    with pytest.raises(InputError, match="customer"):
        store.get_historical_features(SPINE.drop("customer"), "buyer").to_polars()
    with pytest.raises(InputError, match="price"):
        store.get_historical_features(SPINE.drop("price"), "buyer").to_polars()
    naive = SPINE.with_columns(pl.col("event_timestamp").dt.replace_time_zone(None))
    with pytest.raises(InputError, match="without a time zone"):
        store.get_historical_features(naive, "buyer").to_polars()
    with pytest.raises(UnknownNameError, match="view 'lost'"):
        store.materialize(end=day(12), views="lost")
    with pytest.raises(InputError, match="end is a date, not a datetime"):
        store.materialize(end=day(12).date())  # type: ignore[arg-type]  # the point
    stated = SPINE.with_columns(items__status=pl.lit("good"))
    assert store.get_historical_features(stated, ["last:items"]).to_polars().height == 5
    with pytest.raises(InputError, match="'items__status', which is the status of a feature"):
        store.get_historical_features(stated, ["last:items"], statuses=True).to_polars()


def test_rows_that_tie_are_decided_by_their_place_even_when_the_source_was_replaced(
    store: FeatureStore, tmp_path: Path
) -> None:
    store.materialize(end=day(6))
    tied = pl.DataFrame(
        {"customer": ["a"] * 3, "at": [day(8)] * 3, "amount": [1.0, 2.0, 3.0], "items": [7, 8, 9]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    tied.write_parquet(tmp_path / "data" / "purchases.parquet")
    store.materialize(end=day(12))
    entities = [{"customer": "a"}, {"customer": "b"}]
    assert store.get_online_features(["last:items"], entities, at=day(12)).to_dict()["items"] == [9, 3]
    spine = pl.DataFrame({"customer": ["a", "b"], "event_timestamp": [day(9), day(9)]})
    assert store.get_historical_features(spine, ["last:items"]).to_polars()["items"].to_list() == [9, 3]
    define(tmp_path, PURCHASES.replace("days=10", "days=11").replace("ttl=", "delay=timedelta(days=1), ttl="))
    store.apply()
    assert store.get_online_features(["last:items"], entities, at=day(12)).to_dict()["items"] == [9, 3]


def test_rows_without_event_time_are_refused_unless_the_view_drops_rows(store: FeatureStore, tmp_path: Path) -> None:
    untimed = purchases().with_columns(at=pl.when(pl.col("customer") != "b").then("at"))
    untimed.write_parquet(tmp_path / "data" / "purchases.parquet")
    with pytest.raises(GateRefused, match="1 row of source 'purchases' without event time"):
        store.materialize(end=day(12))
    define(tmp_path, PURCHASES.replace("ttl=", 'on_refusal="drop", ttl='))
    store.apply()
    assert store.materialize(end=day(12)).rows == 2
