"""A dataset is made again to the same bytes, or it is said what changed."""

from __future__ import annotations

import shutil
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from featurestore import EntitySplit, FeatureStore, TimeSplit
from featurestore.dataset import Dataset
from featurestore.datasets import making
from featurestore.errors import InputError, OfflineStoreError
from featurestore.on_demand.functions import find_function
from tests.store.projects import DAY, PURCHASES, day, define, make_project, open_project, purchases

WINDOWS = """
totals = FeatureView(
    "totals", entities=[customer], source=purchases, every=timedelta(days=1),
    features=[Aggregation("amount", "mean", window=timedelta(days=30), name="usual")],
)
both = FeatureService("both", features=[last, ratio, totals])
"""
SPINE = pl.DataFrame(
    {
        "customer": ["a", "b", "a", "a", None, "nobody"],
        "event_timestamp": [day(11), day(6), day(3), day(3), day(9), day(9)],
        "price": [1.0, float("nan"), 3.0, 3.0, None, -0.0],
    },
    schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES + WINDOWS, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    return store


def _saved(store: FeatureStore, features: str = "both", statuses: bool = False) -> Dataset:
    return store.get_historical_features(SPINE, features, statuses=statuses).save("train")


def test_later_data_corrections_and_definitions_do_not_disturb_a_rebuild(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store, statuses=True)
    saved = dataset.path.read_bytes()
    changed = purchases().with_columns(amount=pl.lit(9.0), items=pl.lit(7))
    changed.write_parquet(tmp_path / "data" / "purchases.parquet")
    store.materialize(start=day(1), end=day(12))
    store.materialize(end=day(20))
    pushed = pl.DataFrame({"customer": ["a"], "at": [day(3)], "amount": [8.0], "items": [6]})
    store.push("last", pushed)
    define(tmp_path, (PURCHASES + WINDOWS).replace("days=10", "hours=1").replace('"mean"', '"max"'))
    store.apply()
    answer = store.datasets.rebuild(dataset, tmp_path / "again.parquet")
    assert answer.identical, answer
    assert (answer.rows, answer.changes, answer.obstacles, answer.restored) == (6, (), (), False)
    assert (tmp_path / "again.parquet").read_bytes() == saved
    assert _saved(store).path.read_bytes() != saved


def test_a_process_with_other_threads_makes_the_same_bytes(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine = pl.concat([SPINE] * 40_000).with_columns(row=pl.int_range(pl.len()))
    store.get_historical_features(spine, "both").save("train")
    store.close()
    monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", "1")
    with open_project(tmp_path) as other:
        answer = other.datasets.rebuild("train")
    assert (answer.identical, answer.rows, answer.changes) == (True, 240_000, ())


def test_spines_of_all_kinds_are_kept_and_equal_ones_shared(store: FeatureStore, tmp_path: Path) -> None:
    SPINE.write_parquet(tmp_path / "spine.parquet")
    frame = store.get_historical_features(SPINE, "both").save("train")
    file = store.get_historical_features(tmp_path / "spine.parquet", "both").save("train")
    asked = store.get_historical_features("SELECT customer, event_timestamp FROM train", ["last:amount"])
    queried = asked.save("asked")
    assert frame.manifest.spine.path == file.manifest.spine.path
    assert (file.manifest.spine.read, file.manifest.spine.origin) == ("file", "spine.parquet")
    assert queried.manifest.spine.origin == "SELECT customer, event_timestamp FROM train"
    assert len(list((tmp_path / "data" / "offline" / "spines").iterdir())) == 2
    (tmp_path / "spine.parquet").unlink()
    assert all(store.datasets.rebuild(dataset).identical for dataset in (frame, file, queried))
    assert not list((tmp_path / "data" / "offline" / "datasets").glob(".*"))


def test_a_spine_that_cannot_be_kept_is_refused_and_leaves_nothing_behind(store: FeatureStore, tmp_path: Path) -> None:
    query = 'SELECT customer, "at" AS event_timestamp, INTERVAL 1 MONTH AS term FROM purchases'
    with pytest.raises(InputError, match="The rows do not fit a Parquet file"):
        store.get_historical_features(query, ["last:items"]).save("train")
    twice = pa.Table.from_arrays([SPINE["customer"].to_arrow()] * 2 + [SPINE["event_timestamp"].to_arrow()],
                                 ["customer", "customer", "event_timestamp"])  # fmt: skip
    with pytest.raises(InputError, match="two columns are named 'customer'"):
        store.get_historical_features(twice, ["last:items"]).save("train")
    with pytest.raises(InputError, match="is no name for a dataset"):
        store.get_historical_features(SPINE, ["last:items"]).save("a b")
    assert store.registry.datasets() == ()
    assert not [path for path in (tmp_path / "data" / "offline").rglob("*.parquet") if "views" not in path.parts]


def test_a_lost_or_altered_dataset_is_restored(store: FeatureStore) -> None:
    dataset = _saved(store)
    saved = dataset.path.read_bytes()
    dataset.path.unlink()
    with pytest.raises(OfflineStoreError, match=r"is gone; `featurestore dataset rebuild train@1` makes it again"):
        dataset.to_polars()
    answer = store.datasets.rebuild("train")
    assert (answer.identical, answer.restored) == (True, True)
    assert "is missing" in answer.changes[0]
    dataset.path.write_bytes(saved[:-20])
    answer = store.datasets.rebuild("train@1")
    assert (answer.identical, answer.restored) == (True, True)
    assert "was altered: its SHA-256 is" in answer.changes[0]
    assert dataset.path.read_bytes() == saved


def test_a_version_that_is_gone_is_named(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store)
    table = dataset.manifest.views["last"].table
    folder = tmp_path / "data" / "offline" / "views" / table
    for file in folder.glob("*.parquet"):
        file.unlink()
    [obstacle] = store.datasets.rebuild(dataset).obstacles
    assert obstacle.startswith(f"view 'last': version 0 of its table {table} is gone: 1 of its 1 data files")
    shutil.rmtree(folder)
    [obstacle] = store.datasets.rebuild(dataset).obstacles
    assert obstacle.endswith("is gone, and so is the whole table")


def test_a_version_whose_log_was_cut_is_named(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store, "buyer")
    log = tmp_path / "data" / "offline" / "views" / dataset.manifest.views["last"].table / "_delta_log"
    store.materialize(end=day(20))
    (log / f"{0:020}.json").unlink()
    [obstacle] = store.datasets.rebuild(dataset).obstacles
    assert obstacle.endswith("is gone: its log was cut")


def test_a_spine_that_is_gone_or_altered_is_named(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store)
    spine = tmp_path / dataset.manifest.spine.path
    content = spine.read_bytes()
    spine.write_bytes(content + b"x")
    [altered] = store.datasets.rebuild(dataset).obstacles
    assert "was altered: its SHA-256 is" in altered
    spine.unlink()
    [missing] = store.datasets.rebuild(dataset).obstacles
    assert missing == f"the spine's file {dataset.manifest.spine.path} is missing"
    spine.write_bytes(content)
    assert store.datasets.rebuild(dataset).identical


def test_another_engine_is_told_even_when_the_bytes_agree(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _saved(store)
    monkeypatch.setattr(making, "version", lambda name: "9.9" if name == "duckdb" else version(name))
    answer = store.datasets.rebuild(dataset)
    assert answer.identical
    assert answer.changes == (f"duckdb was {version('duckdb')} and is 9.9",)


FUNCTION = """
def relative(rows):
    return rows.select(relative=pl.col("price") / pl.col("amount"))
"""
BY_FUNCTION = PURCHASES.replace(
    '{"relative": pl.col("price") / pl.col("amount")}', '{"relative": Float64}, function=relative'
)


def test_an_on_demand_function_that_changed_is_named(tmp_path: Path) -> None:
    store = make_project(tmp_path, FUNCTION + BY_FUNCTION, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    dataset = _saved(store, "buyer")
    define(tmp_path, FUNCTION.replace("/", "*") + BY_FUNCTION)
    find_function.cache_clear()  # as in another process
    [obstacle] = store.datasets.rebuild(dataset).obstacles
    assert obstacle.startswith("The function 'feature_defs.shop.relative' here is not the registered one")


def test_what_was_computed_from_sources_says_which_cells_changed(store: FeatureStore, tmp_path: Path) -> None:
    dataset = store.get_historical_features(SPINE[:4], "buyer", from_source=True).save("train")
    assert store.datasets.rebuild(dataset).identical
    changed = purchases().with_columns(items=pl.when(pl.col("customer") == "b").then(None).otherwise(pl.col("items")))
    changed.write_parquet(tmp_path / "data" / "purchases.parquet")
    answer = store.datasets.rebuild(dataset)
    assert not answer.identical
    assert answer.changes == ("it was computed from sources, of which no versions are kept",)
    [column] = answer.columns
    assert (column.name, column.differ, column.nulls) == ("items", 1, (0, 1))
    assert dataset.to_polars()["items"].to_list() == [2, 3, 1, 1]
    dataset.path.unlink()
    assert "so its cells cannot be compared" in store.datasets.rebuild(dataset).changes


def test_a_registry_that_forgot_a_record_is_told(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store)
    foreign = make_project(tmp_path / "other", PURCHASES, purchases=purchases())
    foreign.apply()
    datasets = making.recall(dataset.manifest, foreign.registry, store.tables)
    assert datasets.pins is None
    [lost] = datasets.obstacles
    assert lost.startswith("view 'totals': the registry holds no record of the meaning")


def test_a_split_is_recorded_and_made_again(store: FeatureStore) -> None:
    training = store.get_historical_features(SPINE, "both")
    split = TimeSplit(validation=3 * DAY, test=DAY, gap=timedelta(hours=1))
    dataset = training.save("train", split)
    division = dataset.manifest.division
    assert division is not None
    assert division.split == "time:3d,1d,gap=1h"
    assert division.rows == {"train": 3, "validation": 2, "test": 1, "left_out": 0}
    parts = dataset.split()
    assert {part: frame.height for part, frame in parts.items()} == {"train": 3, "validation": 2, "test": 1}
    assert parts["test"]["customer"].to_list() == ["a"]
    assert all(frame.equals(training.split(split)[part]) for part, frame in parts.items())
    assert store.datasets.rebuild(dataset).changes == ()


def test_a_split_can_be_chosen_later(store: FeatureStore, tmp_path: Path) -> None:
    dataset = _saved(store)
    with pytest.raises(InputError, match="train@1 was saved without a split"):
        dataset.split()
    rows = dataset.split_to_parquet(tmp_path / "parts", EntitySplit("customer", seed=3))
    assert sum(rows.values()) == 6
    assert pl.read_parquet(tmp_path / "parts" / "train.parquet").height == rows["train"]
    with pytest.raises(InputError, match=r"Split: there is no column 'custmer'. Columns: customer"):
        dataset.split(EntitySplit("custmer"))


def test_a_version_that_was_asked_for_is_asked_for_again(store: FeatureStore, tmp_path: Path) -> None:
    define(tmp_path, (PURCHASES + WINDOWS).replace("days=10", "days=1"))
    store.apply()
    training = store.get_historical_features(SPINE, ["last@1:items", "last:amount"])
    dataset = training.save("train")
    assert {name: view.version for name, view in dataset.manifest.views.items()} == {"last@1": 1, "last": 2}
    define(tmp_path, (PURCHASES + WINDOWS).replace("days=10", "days=3"))
    store.apply()
    assert store.datasets.rebuild(dataset).identical
