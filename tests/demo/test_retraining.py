"""The training pipeline of the example, with smaller numbers, on three days of real flights."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from demo.retraining import ask_champion, first_model, look_again, tell_why
from demo.serving import serving
from featurestore import FeatureStore

THREE_DAYS = (
    ("% 10 = 0", "% 1 = 0"),
    ("estimator=make_model,", 'estimator=make_model, inputs=["origin__temp", "origin__visib", "carrier_arr_delay"],'),
    ("validation=timedelta(days=7), test=timedelta(days=21), gap=timedelta(days=1)",
     "validation=timedelta(hours=6), test=timedelta(hours=24), gap=timedelta(0)"),
    ("min_rows=10_000", "min_rows=1_000"),
    ('AtLeast("roc_auc", 0.65)', 'AtLeast("roc_auc", 0.51)'),
    ("min_rows=300, max_gap=0.1", "min_rows=50, max_gap=0.3"),
    ("max_ece=0.1", "max_ece=0.4"),
    ("golden_requests=20", "golden_requests=2"),
)  # fmt: skip


@pytest.fixture
def project(store: FeatureStore, tmp_path: Path) -> Path:
    """A copy of the example project, whose pipeline asks for less."""
    root = tmp_path / "flights"
    shutil.copytree(store.root, root)
    file = root / "feature_defs" / "training.py"
    text = file.read_text()
    for declared, smaller in THREE_DAYS:
        assert declared in text
        text = text.replace(declared, smaller)
    file.write_text(text)
    return root


def test_a_model_is_trained_approved_asked_over_http_and_explained(
    project: Path, flights: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    noon = datetime(2013, 1, 3, 17, tzinfo=UTC)
    with FeatureStore(project) as store:
        store.materialize(noon)
        first_model(store)
        with serving(project) as url:
            ask_champion(store, url, flights, noon)
        look_again(store)
        tell_why(store)
    said = " ".join(capsys.readouterr().out.split())
    assert "model gate PASS" in said
    assert "late_flight@1 is the champion" in said
    assert "answered by v1" in said
    assert "0 of 2,000 rows since run 1 began" in said
    assert "It last ran as run 1, by hand: SUCCEEDED" in said
    assert "v1 is the champion since" in said
