"""Each run leaves a page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from featurestore.errors import FeatureStoreError, ModelFileError
from pipelines.ledger.records import RunState
from pipelines.pages.plots import model_plots
from pipelines.promotion import approve, roll_back
from pipelines.running import run_pipeline
from tests.pipelines.projects import Shop, served_here, write_definitions


def test_a_run_leaves_one_page_with_its_gates_plots_steps_and_dataset(shop: Shop) -> None:
    report = shop.run()
    text = report.page.read_text(encoding="utf-8")
    for title in ("ROC", "Precision and recall", "Calibration", "Feature importance", "Slices by shop", "Drift (psi)"):
        assert f"<figcaption>{title}</figcaption>" in text, title
    for told in ("Data gate", "Model gate", "Serving gate", "refused before: ", "extract", "returned@2"):
        assert told in text, told
    assert not re.search(r"<(script|link|img)|src=|url\(|href=", text)


def test_a_refused_and_a_failed_run_leave_pages_too(shop: Shop) -> None:
    write_definitions(shop.root, estimator="C=1e-6")
    refused = shop.run()
    assert refused.run.state is RunState.REFUSED
    assert "refused" in refused.page.read_text(encoding="utf-8")
    write_definitions(shop.root, estimator="no_such_thing=1")
    with pytest.raises((FeatureStoreError, TypeError)):
        shop.run()
    (failed, *_) = shop.rooms.ledger.runs()
    page = (shop.root / "data/pipelines/runs" / f"{failed.number}.html").read_text(encoding="utf-8")
    assert "no_such_thing" in page


def test_a_page_tells_what_became_of_the_model_after_its_run(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    waiting = shop.run()
    text = waiting.page.read_text(encoding="utf-8")
    assert "It was never the champion." in text
    assert "Serving gate" not in text
    approve(shop.rooms, "returned", 1, "looks <right>", server=served_here(shop.root))
    text = waiting.page.read_text(encoding="utf-8")
    for told in ("Serving gate", "returned@1 &ensp;", ">champion<", "became the champion", "looks &lt;right&gt;"):
        assert told in text, told


def test_the_pages_of_both_tell_who_took_whose_place(shop: Shop) -> None:
    second = shop.run()
    first = shop.root / "data/pipelines/runs/1.html"
    assert "became the champion in the place of v1" in second.page.read_text(encoding="utf-8")
    assert "v2 took its place" in first.read_text(encoding="utf-8")
    roll_back(shop.rooms, "returned", None, "the new one is odd")
    assert "became the champion in the place of v2, rolled back" in first.read_text(encoding="utf-8")
    text = second.page.read_text(encoding="utf-8")
    assert "v1 took its place" in text
    assert "the new one is odd" in text


def test_the_pages_tell_of_a_model_that_was_put_away_outside_of_a_run(shop: Shop) -> None:
    second = shop.run()
    assert second.model is not None
    (shop.root / str(second.model.document["path"])).write_bytes(b"other")
    with pytest.raises(ModelFileError):
        shop.rooms.models.load(second.model)
    text = second.page.read_text(encoding="utf-8")
    for told in (
        ">quarantined<",
        "Quarantined at 2024-01-22 12:00",
        "is not the one that was registered",
        "v1 took its",
    ):
        assert told in text, told
    first = (shop.root / "data/pipelines/runs/1.html").read_text(encoding="utf-8")
    assert "became the champion in the place of v2, rolled back" in first


def test_what_a_project_says_is_text_in_its_page(shop: Shop) -> None:
    report = run_pipeline(shop.store, "returned", trigger="<script>alert(1)</script>", server=served_here(shop.root))
    page = report.page.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_regressor_has_plots_of_its_fit() -> None:
    curves = {
        "fitted": [[1.0, 1.5], [2.0, 1.5]],
        "residuals": {"counts": [1, 1], "edges": [-0.5, 0.0, 0.5]},
        "importance": {"x": 0.2, "y": -0.1},
    }
    assert [title for title, _ in model_plots(curves)] == ["Predicted and actual", "Residuals", "Feature importance"]
