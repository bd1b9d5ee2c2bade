"""Models that were trained elsewhere, and what each learned from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import InputError, UnknownNameError
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, make_project, purchases

SPINE = pl.DataFrame({"customer": ["a"], "event_timestamp": [day(11)], "price": [1.0]})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = make_project(tmp_path, PURCHASES, purchases=purchases())
    store.apply()
    store.materialize(end=day(12))
    store.get_historical_features(SPINE, "buyer").save("train")
    return store


def test_a_model_knows_its_dataset_service_and_views(store: FeatureStore) -> None:
    model = store.record_model("again", dataset="train@1", notes="baseline")
    assert (model.dataset, model.dataset_version, model.service) == ("train", 1, "buyer")
    assert (model.version, model.revision, model.views, model.notes) == (1, 1, {"last": 1}, "baseline")
    assert store.record_model("again", dataset=store.datasets.get("train")).version == 2
    assert [m.version for m in store.registry.models("again")] == [2, 1]


def test_a_model_of_a_service_has_no_dataset(store: FeatureStore) -> None:
    model = store.record_model("again", service="buyer")
    assert (model.dataset, model.service, model.views) == (None, "buyer", {"last": 1})


def test_a_model_file_is_kept_relative_with_its_digest(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for uri in ("model.bin", str(tmp_path / "model.bin")):
        model = store.record_model("again", service="buyer", uri=uri)
        assert (model.uri, model.digest) == ("model.bin", digest)
    assert store.record_model("again", service="buyer", uri="s3://m/1", digest="ab").digest == "ab"
    with pytest.raises(InputError, match="it is another file"):
        store.record_model("again", service="buyer", uri="model.bin", digest="ab")


def test_a_model_that_learned_from_nothing_known_is_refused(store: FeatureStore) -> None:
    with pytest.raises(InputError, match="say what it learned from"):
        store.record_model("again")
    with pytest.raises(UnknownNameError, match=r"no version of dataset 'train@7'. Available: train@1"):
        store.record_model("again", dataset="train@7")
    with pytest.raises(UnknownNameError, match=r"no service 'bayer'. Available: buyer"):
        store.record_model("again", service="bayer")
    with pytest.raises(InputError, match="was made of service 'buyer'; leave service='other' out"):
        store.record_model("again", dataset="train", service="other")
    with pytest.raises(InputError, match="there is no file"):
        store.record_model("again", service="buyer", uri="lost.bin")
    with pytest.raises(InputError, match="no name for a model"):
        store.record_model("a b", service="buyer")
    with pytest.raises(InputError, match="names no one version"):
        store.record_model("again", dataset="train@newest")
