"""Labels that come later, live metrics, and the trigger that goes by them: on predictions of the real server code."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import InputError
from featurestore.store import FeatureStore
from pipelines.prediction.labels import LabelColumns, logged_predictions, record_labels
from pipelines.prediction.monitoring import WindowState, live_windows, rule_of
from pipelines.promotion import approve
from pipelines.rooms import PipelineRooms, predictions_folder
from pipelines.triggers.starting import open_ticker
from pipelines.triggers.ticking import PipelineTick
from serving.app import create_app
from tests.pipelines.projects import MODEL_GATE, Clock, Shop, day, make_project, opened, served_here
from tests.serving.servers import PROGRAM, Asker, command
from tests.serving.test_predict import ended

TRIGGER = ', triggers=[PerformanceDrop("roc_auc", below=0.55, windows=2, min_rows=50, label_delay=timedelta(days=1))]'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A champion that was trained on January 24, and predicted the orders of January 24 and 25 at each midnight."""
    root = tmp_path_factory.mktemp("labels")
    make_project(root, 30, model_gate=MODEL_GATE + TRIGGER)
    store, clock = opened(root, day(24))
    with store:
        shop = Shop(root, store, clock)
        shop.run()
        approve(shop.rooms, "returned", 1, "the first", server=served_here(root))
        for number in (24, 25):
            shop.go_to(day(number))
            app = create_app(FeatureStore(root, now_us=clock))  # which the server closes
            orders = orders_of(root, number)
            question = {
                "entities": orders.select("customer").to_dicts(),
                "request": orders.select("amount").to_dicts(),
            }
            answer = Asker(app)("POST", "/v1/models/returned/predict", json=question)
            assert answer.status_code == 200, answer.text
            asyncio.run(ended(app))
        yield shop


def orders_of(root: Path, number: int) -> pl.DataFrame:
    at = pl.col("ordered_at")
    orders = pl.read_parquet(root / "data" / "orders.parquet")
    return orders.filter(at >= day(number), at < day(number + 1))


def test_labels_are_joined_to_the_last_prediction_of_their_entity_and_trigger_a_run_when_they_tell_of_worse(
    shop: Shop,
) -> None:
    rooms, rule = shop.rooms, rule_of(shop.rooms.pipeline("returned"), None)
    shop.clock.at = day(25)
    assert [window.state for window in live_windows(rooms, "returned", rule)] == [WindowState.YOUNG, WindowState.YOUNG]
    shop.clock.at = day(25, 12)  # labels are known a day after their orders: half of one day's
    found = record_labels(shop.store, "returned")
    assert (found.joined, found.new) == (31, 31)  # an order each 24 minutes, both ends included
    shop.clock.at = day(27)
    assert [window.state.value for window in live_windows(rooms, "returned", rule)] == ["FEW_LABELS", "FEW_LABELS"]
    (pipeline,) = open_ticker(shop.store).tick().pipelines  # which joins what became known, and then judges
    assert pipeline.labels is not None
    assert (pipeline.labels.reason, pipeline.labels.document["next_us"]) == (
        "89 new labels of predictions", shop_us(27) + 24 * 60_000_000,
    )  # fmt: skip
    assert "of 2 windows" in " ".join(observation.reason for observation in pipeline.observations)
    again = open_ticker(shop.store, lambda *_: pytest.fail("judged again")).tick()
    assert again.pipelines == (PipelineTick("returned"),)  # neither is done again
    found = record_labels(shop.store, "returned")
    assert (found.joined, found.new) == (120, 0)
    first, second = live_windows(rooms, "returned", rule)
    assert (first.start_us, first.predictions, first.labels, first.version) == (shop_us(24), 60, 60, 1)
    for window in (first, second):
        assert window.state is WindowState.JUDGED
        assert window.low is not None
        assert window.value is not None
        assert window.high is not None
        assert 0.3 < window.low < window.value < window.high <= 1
    logged = logged_predictions(predictions_folder(shop.store), "returned")
    wrong = logged.select("prediction_id", came_back=(pl.col("score") < pl.col("score").median()).cast(pl.Int64))
    assert record_labels(shop.store, "returned", wrong).joined == 120
    assert record_labels(shop.store, "returned").new == 0  # those of the source were known before
    told = json.loads(command(shop.root, "pipeline", "monitor", "returned", "--json"))
    assert [window["value"] < 0.2 for window in told["windows"]] == [True, True]
    shown = command(shop.root, "pipeline", "monitor", "returned")
    assert "returned@1" in shown
    assert "JUDGED" in shown

    done = subprocess.run([PROGRAM, "-C", str(shop.root), "tick"], capture_output=True, text=True, check=False)
    assert "performance" in done.stdout, done.stdout + done.stderr
    assert "below 0.55 in each window" in done.stdout
    assert "ACCEPTED, run 2" in done.stdout
    assert "Traceback" not in done.stderr


def shop_us(number: int) -> int:
    return int(day(number).timestamp()) * 1_000_000


def test_wrong_labels_are_refused_in_a_sentence(shop: Shop) -> None:
    for frame, said in (
        (pl.DataFrame({"x": [1]}), "lack the column 'came_back'"),
        (pl.DataFrame({"came_back": [1]}), "lack the column 'ordered_at'"),
        (pl.DataFrame({"prediction_id": ["a-0"], "came_back": [3]}), "has the value 3"),
        (pl.DataFrame({"came_back": [1], "customer": [1], "ordered_at": ["x"]}), "must be an instant with zone"),
    ):
        with pytest.raises(InputError, match=said):
            record_labels(shop.store, "returned", frame)


def test_labels_too_late_after_a_prediction_and_of_others_belong_to_none(shop: Shop) -> None:
    first = orders_of(shop.root, 24).head(1)
    columns = LabelColumns(within=timedelta(hours=1))
    late = first.select("customer", "amount", ordered_at=pl.lit(day(24, 2)), came_back=pl.lit(1))
    other = first.select("customer", amount=pl.col("amount") + 1, ordered_at=pl.lit(day(24)), came_back=pl.lit(1))
    null = first.select("customer", "amount", "ordered_at", came_back=pl.lit(None, pl.Int64))
    for frame in (late, other, null):
        assert record_labels(shop.store, "returned", frame, columns).joined == 0


def test_maintain_removes_predictions_and_labels_past_their_retention_and_windows_are_read_as_far_as_asked(
    shop: Shop, tmp_path: Path
) -> None:
    root = shutil.copytree(shop.root, tmp_path / "shop")
    clock = Clock(day(27))
    with FeatureStore(root, now_us=clock) as store:
        rooms, rule = PipelineRooms(store), rule_of(shop.rooms.pipeline("returned"), None)
        folder = predictions_folder(store)
        shutil.rmtree(folder / "labels", ignore_errors=True)
        record_labels(store, "returned")
        both = live_windows(rooms, "returned", rule, samples=0)
        assert [window.start_us for window in both] == [shop_us(24), shop_us(25)]
        assert live_windows(rooms, "returned", rule, newest=1, samples=0) == both[1:]
        assert live_windows(rooms, "returned", rule, version=2) == []
        first, _ = sorted((folder / "vectors" / "returned").glob("*.parquet"))
        whole = first.read_bytes()
        first.write_bytes(whole[:4] + bytes(1_000) + whole[1_004:])  # its rows are broken, its footer is not
        assert live_windows(rooms, "returned", rule, newest=1, samples=0) == both[1:]
        first.write_bytes(whole)

        def swept(at: datetime) -> list[str]:
            clock.at = at
            return sorted(f.kind for f in store.maintain().swept if f.kind in ("predictions", "labels"))

        retention = timedelta(days=90)  # the default
        assert swept(day(24) + retention) == []
        assert swept(day(24, 1) + retention) == ["predictions"]
        assert live_windows(rooms, "returned", rule, samples=0) == both[1:]
        assert swept(day(27, 1) + retention) == ["labels", "predictions"]
        assert live_windows(rooms, "returned", rule) == []
        assert list(folder.rglob("*.parquet")) == []
