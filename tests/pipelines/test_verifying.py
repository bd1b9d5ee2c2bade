"""A version is tried in a process of its own, by the server's code, from its file; other answers are refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from featurestore.store import FeatureStore
from pipelines.definition.model_gate import Behaves
from pipelines.ledger.records import ModelVersion, Verdict
from pipelines.models.document import ModelDocument
from pipelines.models.fresh import Order, Served
from pipelines.rooms import PipelineRooms
from pipelines.steps.evaluate import SCORE
from pipelines.steps.verify import fresh_server, verify
from serving.trial import answer
from tests.pipelines.projects import Shop

ANY = Behaves(golden_requests=50, latency_ms=None)


@pytest.fixture
def version(shop: Shop) -> ModelVersion:
    """The champion of a project that no store has open: the server opens it itself."""
    shop.store.close()
    with FeatureStore(shop.root) as store:
        return PipelineRooms(store).models.get("returned", 1)


def golden(shop: Shop, version: ModelVersion) -> Path:
    with FeatureStore(shop.root) as store:
        rooms = PipelineRooms(store)
        return rooms.artifacts.path(rooms.ledger.artifact(ModelDocument.of(version).artifacts["golden"]))


def order(shop: Shop, version: ModelVersion) -> Order:
    names = ModelDocument.of(version).signature.names
    path = str(golden(shop, version))
    return Order(root=str(shop.root), model="returned", version=version.version, inputs=names, golden=path)


def test_the_server_answers_from_the_stored_file_as_in_training(shop: Shop, version: ModelVersion) -> None:
    path = golden(shop, version)
    served = fresh_server(shop.root)(version, path)
    trained = pl.read_parquet(path)[SCORE]
    assert len(served.scores) == trained.len() == 50
    assert max(abs(a - b) for a, b in zip(served.scores, trained, strict=True)) <= 1e-9
    assert 0 < served.latency_ms < 1_000
    assert served.memory_mb > 50


def test_nulls_and_nan_reach_the_model_as_in_training(shop: Shop, version: ModelVersion, tmp_path: Path) -> None:
    """The model is a linear one and takes none: the server says so, in its words."""
    rows = pl.read_parquet(golden(shop, version)).with_columns(spent=pl.lit(None, pl.Float64))
    rows.write_parquet(tmp_path / "golden.parquet")
    report = verify(version, tmp_path / "golden.parquet", ANY, fresh_server(shop.root))
    assert report.verdict is Verdict.FAIL
    assert "NaN" in report.summary


def test_an_altered_file_is_refused_by_the_server(shop: Shop, version: ModelVersion) -> None:
    path = shop.root / ModelDocument.of(version).path
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\0")
    report = verify(version, golden(shop, version), ANY, fresh_server(shop.root))
    assert report.verdict is Verdict.FAIL
    assert "is not the one that was registered" in report.summary


def test_other_predictions_than_in_training_are_refused(shop: Shop, version: ModelVersion, tmp_path: Path) -> None:
    rows = pl.read_parquet(golden(shop, version)).with_columns(pl.col(SCORE) + 1e-6)
    rows.write_parquet(tmp_path / "golden.parquet")
    report = verify(version, tmp_path / "golden.parquet", ANY, lambda *_: answer(order(shop, version)))
    assert report.verdict is Verdict.FAIL


@pytest.mark.parametrize("budget", [Behaves(latency_ms=0.001), Behaves(latency_ms=None, memory_mb=1.0)])
def test_a_server_outside_its_budget_is_refused(shop: Shop, version: ModelVersion, budget: Behaves) -> None:
    def once(*_: object) -> Served:
        return answer(order(shop, version))

    assert verify(version, golden(shop, version), budget, once).verdict is Verdict.FAIL
