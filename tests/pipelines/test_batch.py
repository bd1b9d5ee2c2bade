"""Batch predictions: equal to the server's, and to those on history at the same instants."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.audit.records import LogFiles
from featurestore.errors import InputError
from featurestore.store import FeatureStore
from pipelines.prediction.batch import BatchPredictor
from pipelines.prediction.labels import logged_predictions
from pipelines.promotion import approve
from pipelines.rooms import predictions_folder
from serving.app import create_app
from tests.pipelines.projects import Shop, day, make_project, opened, served_here
from tests.pipelines.test_labels import orders_of
from tests.serving.servers import Asker, command


def test_server_batch_and_history_agree_at_one_instant(tmp_path: Path) -> None:
    make_project(tmp_path, 30)
    store, clock = opened(tmp_path, day(24))
    with store:
        shop = Shop(tmp_path, store, clock)
        shop.run()
        approve(shop.rooms, "returned", 1, "the first", server=served_here(tmp_path))
        orders = orders_of(tmp_path, 23).select("customer", "amount", now=pl.lit(day(24)))
        question = {
            "entities": orders.select("customer").to_dicts(),
            "request": orders.select("amount").to_dicts(),
            "features": True,
        }
        app = create_app(FeatureStore(tmp_path, now_us=clock))
        told = Asker(app)("POST", "/v1/models/returned/predict", json=question).json()
        history = store.get_historical_features(orders, "returns_v1", timestamp="now").to_polars()
        for name, feature in told["features"].items():
            assert feature["values"] == history[name].to_list(), name
        batch = BatchPredictor(store, "returned")
        online, at = batch.online(orders), batch.at(orders, "now")
        assert online["score"].to_list() == pytest.approx(told["predictions"]["scores"], abs=1e-9)
        assert at["score"].to_list() == pytest.approx(told["predictions"]["scores"], abs=1e-9)
        assert at.select("model", "version", "feature_versions").unique().rows() == [("returned", 1, '{"spend":1}')]
        logged = logged_predictions(predictions_folder(store), "returned")
        assert set(online["prediction_id"]) <= set(logged["prediction_id"])
        with pytest.raises(InputError, match="the rows lack amount"):
            batch.online(orders.drop("amount"))
    orders.write_parquet(tmp_path / "rows.parquet")
    out = tmp_path / "out.parquet"
    said = command(
        tmp_path, "pipeline", "predict", "returned", str(tmp_path / "rows.parquet"), "--out", str(out),
        "--timestamp", "now",
    )  # fmt: skip
    assert "60 predictions of returned@1" in said
    assert pl.read_parquet(out)["score"].to_list() == at["score"].to_list()


def test_an_entity_is_erased_from_logged_predictions(shop: Shop) -> None:
    asked = pl.DataFrame({"customer": [3, 4, 3], "amount": [10.0, 20.0, 30.0]})
    BatchPredictor(shop.store, "returned").online(asked)
    logged = LogFiles(shop.root / "data" / "predictions")

    def customers() -> list[int]:
        (service,) = logged.services()
        return sorted(
            row["customer"] for path, _ in logged.files(service) for row in logged.read(path)["keys"].to_pylist()
        )

    assert customers() == [3, 3, 4]
    report = shop.store.erase({"customer": 3})
    assert [(place.where, place.rows) for place in report.erased if place.kind == "prediction log"] == [("returned", 2)]
    assert customers() == [4]


def test_what_runs_keep_of_an_entity_is_reported(shop: Shop) -> None:
    golden = pl.read_parquet(shop.rooms.artifacts.path(shop.rooms.ledger.artifact(
        str(shop.rooms.models.get("returned", 1).document["artifacts"]["golden"])  # type: ignore[index]  # JSON
    )))  # fmt: skip
    customer = golden["customer"][0]
    report = shop.store.erase({"customer": customer}, dry_run=True)
    held = {place.where: place.rows for place in report.held if place.kind == "run artifact"}
    assert list(held.values()) == [golden.filter(pl.col("customer") == customer).height]
