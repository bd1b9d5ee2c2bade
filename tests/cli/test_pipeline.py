"""Training pipelines on the command line: run, look, decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.models.document import ModelDocument
from pipelines.rooms import PipelineRooms
from tests.cli.test_commands import answer, run
from tests.pipelines.projects import DATA_GATE, day, make_project, opened, write_definitions

UNTIMED = DATA_GATE.replace("Freshness(timedelta(days=3)),", "")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first model was trained and approved by commands."""
    root = tmp_path_factory.mktemp("shop")
    make_project(root, data_gate=UNTIMED)
    store, _ = opened(root, day(25))
    store.close()
    said = run(root, "pipeline", "run", "returned")
    assert "SUCCEEDED: returned@1 met its bounds, and a person must approve it" in said
    said = run(root, "pipeline", "approve", "returned", "1", "--reason", "looks right")
    assert "Serving: PASS" in said
    assert "returned@1 is the champion." in said
    return root


@pytest.fixture
def shop(live: Path, tmp_path: Path) -> Path:
    shutil.copytree(live, tmp_path / "shop")
    return tmp_path / "shop"


def test_what_is_declared_and_live_is_listed(live: Path) -> None:
    [found] = answer(live, "pipeline", "list")
    assert (found["pipeline"], found["service"], found["champion"]) == ("returned", "returns_v1", 1)
    assert found["last_run"]["state"] == "SUCCEEDED"
    assert "returns_v1" in run(live, "pipeline", "list")


def test_a_run_is_shown_with_its_steps_gates_and_metrics(live: Path) -> None:
    shown = answer(live, "pipeline", "show", "1")
    assert [step["step"] for step in shown["steps"]][:4] == ["extract", "validate", "split", "train"]
    assert [gate["gate"] for gate in shown["gates"]] == ["data", "model", "serving"]
    assert shown["model"]["state"] == "CHAMPION"
    assert 0.6 < shown["evaluated"]["metrics"]["test"]["roc_auc"] < 1
    said = run(live, "pipeline", "show", "1")
    assert all(word in said for word in ("extract", "Contract", "roc_auc", "SUCCEEDED"))


def test_a_refused_run_ends_with_exit_code_1(shop: Path) -> None:
    write_definitions(shop, data_gate="[Volume(min_rows=1_000_000)]")
    said = run(shop, "pipeline", "run", "returned", code=1)
    assert "REFUSED: Data: FAIL. Volume: There are" in said
    assert answer(shop, "pipeline", "gates", "returned")[0]["verdict"] == "FAIL"
    assert "at least 1,000,000 are needed" in run(shop, "pipeline", "gates")


def test_rows_that_broke_the_contract_are_shown_the_way_to(shop: Path) -> None:
    file = shop / "feature_defs" / "shop.py"
    file.write_text(file.read_text().replace("ge=0", "ge=20"))
    number = answer(shop, "pipeline", "run", "returned", code=1)["number"]
    told = answer(shop, "pipeline", "show", str(number))
    refused = pl.read_parquet(shop / told["refused_rows"])
    [checked] = [check for check in told["gates"][0]["report"]["checks"] if check["check"] == "Contract"]
    assert refused.height == checked["failing_rows"] > 0
    assert f"Refused rows: {told['refused_rows']}" in run(shop, "pipeline", "show", str(number))


def test_experiments_are_compared(shop: Path) -> None:
    for strength, code in (("0.5", 0), ("1e-7", 1)):
        setting = f"logisticregression__C={strength}"
        answer(shop, "pipeline", "experiment", "returned", "--set", setting, code=code)
    compared = answer(shop, "pipeline", "compare", "2", "3")
    assert compared["2"]["parameters"] == {"logisticregression__C": 0.5}
    assert compared["2"]["metrics"]["roc_auc"] > compared["3"]["metrics"]["roc_auc"]
    assert "logisticregression__C" in run(shop, "pipeline", "compare", "2", "3")
    kinds = [found["kind"] for found in answer(shop, "pipeline", "runs", "returned")]
    assert kinds == ["experiment", "experiment", "run"]
    assert "experiment" in run(shop, "pipeline", "runs")


def test_a_champion_is_replaced_and_rolled_back(shop: Path) -> None:
    write_definitions(shop, data_gate=UNTIMED, estimator="C=2.0")
    assert "returned@2 is the champion in the place of v1." in run(shop, "pipeline", "run", "returned")
    moved = answer(shop, "pipeline", "rollback", "returned", "--reason", "too slow")
    assert (moved["from_version"], moved["to_version"], moved["rollback"]) == (2, 1, True)
    assert not moved["broken_off"]
    with PipelineStore(shop) as rooms:
        rooms.models.rollback("returned", 2, reason="it was fine")  # and no further: as if it was killed there
    said = " ".join(run(shop, "pipeline", "rollback", "returned", "--reason", "x").split())
    assert "returned@2 is the champion in the place of v1. That rollback was begun" in said
    assert "(it was fine) and broken off; it is finished now, and nothing else was moved." in said
    assert "The same command again goes back one more; --to VERSION names the version" in said
    said = run(shop, "pipeline", "rollback", "returned", "--to", "1", "--reason", "too slow")
    assert said == "returned@1 is the champion in the place of v2.\n"
    listed = answer(shop, "pipeline", "models", "returned")
    assert [(model["version"], model["state"]) for model in listed["models"]] == [(2, "RETIRED"), (1, "CHAMPION")]
    said = run(shop, "pipeline", "models")
    assert "v1 in the place of v2, rolled back" in " ".join(said.split())


def test_a_tampered_model_is_refused(shop: Path) -> None:
    with PipelineStore(shop) as rooms:
        path = shop / ModelDocument.of(rooms.models.get("returned")).path
    path.write_bytes(b"something else")
    write_definitions(shop, data_gate=UNTIMED, estimator="C=2.0")
    assert "is not the one that was registered" in run(shop, "pipeline", "run", "returned", code=2)
    assert answer(shop, "pipeline", "models", "returned")["models"][0]["state"] == "QUARANTINED"


class PipelineStore:
    """The pipelines of a project for a block."""

    def __init__(self, root: Path) -> None:
        self.store, _ = opened(root, day(25))

    def __enter__(self) -> PipelineRooms:
        return PipelineRooms(self.store)

    def __exit__(self, *_: object) -> None:
        self.store.close()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("run", "return"), "There is no training pipeline 'return'. Available: returned."),
        (("experiment", "returned", "--set", "C"), "--set 'C' is no setting; write NAME=VALUE"),
        (("experiment", "returned", "--set", "C=1"), "The estimator has no parameter 'C'."),
        (("show", "99"), "The ledger has no run 99"),
        (("runs", "return"), "There is no training pipeline 'return'. Available: returned."),
        (("models", "return"), "There is no training pipeline 'return'. Available: returned."),
        (("gates", "return"), "There is no training pipeline 'return'. Available: returned."),
        (("monitor", "returned", "--metric", "auc"), "There is no metric 'auc'. Available: roc_auc, "),
        (("monitor", "returned"), "Pipeline 'returned' has no PerformanceDrop; say which metric with --metric."),
        (("compare", "1"), "Give two runs or more to compare"),
        (("compare", "1", "1"), "Give two runs or more to compare"),
        (("compare", "1", "99"), "The ledger has no run 99"),
        (("approve", "returned", "1", "--reason", "again"), "is the champion already"),
        (("promote", "returned", "1", "--reason", "again"), "is the champion already"),
        (("promote", "returned", "7", "--reason", "x"), "There is no model version 'returned@7'."),
        (("rollback", "returned", "--reason", "x"), "has no champion before version 1 to roll back to"),
        (("rollback", "returned", "--reason", " "), "The reason is empty"),
    ],
)
def test_wrong_input_is_one_sentence(shop: Path, command: tuple[str, ...], told: str) -> None:
    assert told in run(shop, "pipeline", *command, code=2)


def test_a_run_that_measured_nothing_is_not_compared(shop: Path) -> None:
    run(shop, "pipeline", "experiment", "returned", "--set", "logisticregression__C=-1", code=2)
    told = run(shop, "pipeline", "compare", "1", "2", code=2)
    assert told.startswith("Run 2 has no metrics to compare: it is FAILED and has not come to `evaluate`.")


def test_a_pipeline_that_is_declared_no_more_is_still_listed(shop: Path) -> None:
    (shop / "feature_defs" / "shop.py").write_text("from featurestore import *\n")
    assert [found["number"] for found in answer(shop, "pipeline", "runs", "returned")] == [1]


def test_a_project_without_pipelines_says_so(tmp_path: Path) -> None:
    make_project(tmp_path)
    (tmp_path / "feature_defs" / "shop.py").write_text("from featurestore import *\n")
    assert "No training pipeline is declared." in run(tmp_path, "pipeline", "list")
    for listing in ("runs", "gates"):
        assert "No pipeline was run yet." in run(tmp_path, "pipeline", listing)
    assert "No model is registered yet." in run(tmp_path, "pipeline", "models")
    empty: list[Any] = answer(tmp_path, "pipeline", "runs")
    assert empty == []


def test_predictions_that_cannot_be_written_are_not_made(shop: Path) -> None:
    pl.DataFrame({"customer": [1]}).write_parquet(shop / "ask.parquet")
    asked = ("pipeline", "predict", "returned", "ask.parquet", "--out", "nowhere/out.parquet")
    assert "there is no folder nowhere; make it, or name another" in run(shop, *asked, code=2)
    assert not (shop / "data" / "predictions").exists()
    unknown = ("pipeline", "predict", "return", "ask.parquet", "--out", "out.parquet")
    assert "There is no training pipeline 'return'. Available: returned." in run(shop, *unknown, code=2)


def test_an_estimator_that_fails_is_told_in_one_sentence_and_the_run_has_failed(shop: Path) -> None:
    file = shop / "feature_defs" / "shop.py"
    file.write_text(
        file.read_text().replace("def make_model():\n", 'def make_model():\n    raise OSError("no luck")\n')
    )
    told = run(shop, "pipeline", "run", "returned", code=2)
    assert told.strip() == "The estimator function 'make_model' failed: OSError: no luck"
    assert answer(shop, "pipeline", "runs", "returned")[0]["state"] == "FAILED"


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('"returned",\n', '"returned",\n    triggers=[NewData("spnd", min_rows=1)],\n', "NewData names 'spnd', which"),
        (
            "service=returns_v1",
            'service=FeatureService("returns_v2", features=[spend, basket])',
            "service 'returns_v2' is not",
        ),
    ],
)
def test_definitions_that_leave_a_pipeline_without_what_it_names_are_neither_planned_nor_applied(
    shop: Path, was: str, now: str, told: str
) -> None:
    file = shop / "feature_defs" / "shop.py"
    file.write_text(file.read_text().replace(was, now))
    for command in ("plan", "apply"):
        [said] = run(shop, command, code=2).splitlines()
        assert f"TrainingPipeline 'returned': {told}" in said
    assert [fault["file"] for fault in answer(shop, "apply", code=2)["error"]["faults"]] == ["feature_defs/shop.py"]


def test_a_label_that_the_source_has_not_is_told_with_its_pipeline(shop: Path) -> None:
    file = shop / "feature_defs" / "shop.py"
    file.write_text(file.read_text().replace('label="returned = 1"', 'label="retuned = 1"'))
    told = run(shop, "pipeline", "run", "returned", code=2)
    assert told.startswith(
        "Pipeline 'returned', label source 'orders': there is no column 'retuned'. Columns: returned, "
    )
