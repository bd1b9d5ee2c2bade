"""A run from labels to the champion: what it does, what it reuses, where it stops, and how it goes on after a crash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from featurestore.errors import (
    ConflictError,
    FeatureStoreError,
    GateRefused,
    InputError,
    ModelFileError,
    PipelineError,
    UnknownNameError,
)
from pipelines.frames import Signature
from pipelines.ledger.records import RunState, StepState, Verdict
from pipelines.models.document import ModelDocument
from pipelines.promotion import approve
from pipelines.running import add_run, exclusive, execute, run_experiment, run_pipeline
from pipelines.steps.train import train
from pipelines.triggers.decision import Ending
from pipelines.triggers.standing import read_known
from tests.pipelines.projects import Shop, day, served_here, write_definitions

NewShop = Callable[..., Shop]
STEPS = ["extract", "validate", "split", "train", "evaluate", "compare", "register"]


def states(report_steps: tuple[object, ...]) -> dict[str, str]:
    return {getattr(step, "name"): getattr(step, "state").value for step in report_steps}  # noqa: B009


def test_a_first_model_waits_for_a_person(new_shop: NewShop) -> None:
    shop = new_shop()
    report = shop.run()
    assert report.run.state is RunState.SUCCEEDED
    assert report.run.outcome.endswith(
        "a person must approve it: `featurestore pipeline approve returned 1 --reason ...`."
    )
    assert [step.name for step in report.steps] == STEPS
    assert shop.states() == {1: "CANDIDATE"}
    assert shop.rooms.models.champion("returned") is None
    with pytest.raises(PipelineError, match=r"no champion yet; approve one of its versions \(returned@1\) first"):
        shop.rooms.models.get("returned")


def test_an_approved_model_is_verified_and_goes_live(new_shop: NewShop) -> None:
    shop = new_shop()
    shop.run()
    approval = approve(shop.rooms, "returned", 1, "looks right", actor="ann", server=served_here(shop.root))
    assert approval.report.verdict is Verdict.PASS
    assert shop.states() == {1: "CHAMPION"}
    assert [(move.to_version, move.actor, move.reason) for move in shop.rooms.ledger.alias_log("returned")] == [
        (1, "ann", "looks right")
    ]
    told = [change.to_state.value for change in reversed(shop.rooms.ledger.state_log("returned", 1))]
    assert told == ["CANDIDATE", "APPROVED", "VERIFIED", "CHAMPION"]


def test_a_better_model_takes_the_champions_place(shop: Shop) -> None:
    report = shop.run()
    assert report.run.outcome == "returned@2 is the champion in the place of v1."
    assert [step.name for step in report.steps] == [*STEPS, "verify", "promote"]
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}
    assert [gate.gate for gate in report.gates] == ["data", "model", "serving"]


def test_what_a_version_was_made_of_is_kept(shop: Shop) -> None:
    model = shop.run().model
    assert model is not None
    document = ModelDocument.of(model)
    assert document.dataset == "returned@2"
    assert document.views == {"spend": 1}
    assert document.signature.names == ("spent", "visits", "share")
    assert document.signature.keys == ("customer",)
    assert document.signature.request == (("amount", "Float64"),)
    assert document.code.lock
    assert set(document.metrics) == {"validation", "test"}
    assert set(document.artifacts) == {
        "scores", "golden", "curves", "statistics", "plot_roc", "plot_precision_and_recall", "plot_calibration",
        "plot_feature_importance", "plot_slices_by_shop",
    }  # fmt: skip
    plot = shop.rooms.artifacts.read(shop.rooms.ledger.artifact(document.artifacts["plot_roc"]))
    assert plot.startswith(b"<svg ")
    (recorded, _) = shop.store.registry.models("returned")
    assert (recorded.version, recorded.dataset_version, recorded.digest) == (2, 2, model.digest)


def test_only_labels_known_at_the_run_are_learned_from(shop: Shop) -> None:
    report = shop.run()
    dataset = shop.store.datasets.get(str(report.steps[0].result["dataset"])).to_polars()
    assert dataset["known_at"].max() <= shop.clock.at  # type: ignore[operator]  # instants
    late = pl.read_parquet(shop.root / "data" / "orders.parquet").filter(pl.col("known_at") <= shop.clock.at)
    assert dataset.height == late.height


def test_a_row_trains_only_if_its_label_was_known_before_the_validation(shop: Shop) -> None:
    report = shop.run()
    parts = shop.store.datasets.get(str(report.steps[0].result["dataset"])).split()
    begins = parts["validation"]["ordered_at"].min()
    assert parts["train"]["known_at"].max() < begins  # type: ignore[operator]  # instants
    assert report.steps[2].result["rows"] == {**{part: rows.height for part, rows in parts.items()}, "left_out": 120}


def test_examples_beyond_what_is_committed_are_left_out(shop: Shop) -> None:
    shop.clock.at = day(24, 12)
    report = shop.run()
    assert report.steps[0].result["left_out"] == 61  # from the watermark to a day before the run, both included
    dataset = shop.store.datasets.get(str(report.steps[0].result["dataset"])).to_polars()
    assert dataset["ordered_at"].max() < day(22, 12)  # type: ignore[operator]  # instants


def test_the_same_inputs_are_not_computed_again(shop: Shop) -> None:
    shop.run()
    again = shop.run()
    assert states(again.steps) == {"extract": "REUSED", "validate": "DONE", "split": "REUSED", "train": "REUSED"}
    assert again.steps[0].reused_from == 2
    assert again.run.outcome == "Champion v2 learned from the same data with the same code."
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}


def test_changed_code_is_computed_again(shop: Shop) -> None:
    shop.run()
    write_definitions(shop.root, estimator="max_iter=200")
    assert states(shop.run().steps)["train"] == "DONE"


@pytest.mark.parametrize(
    ("source", "change", "verdict", "told"),
    [
        ("spending", pl.col("spent") * 100, Verdict.FAIL, "rows break Training"),
        ("spending", pl.lit("silver").alias("tier"), Verdict.FAIL, "tier: isin(['gold', 'plain'])"),
        ("spending", pl.lit(None, pl.Int64).alias("visits"), Verdict.FAIL, "'visits' from 0.0% by"),
        ("spending", (pl.col("visits") + 9).alias("visits"), Verdict.PASS_DRIFTED, "'visits' psi"),
    ],
    ids=["units", "categories", "nulls", "drift"],
)
def test_data_that_changed_is_judged(shop: Shop, source: str, change: pl.Expr, verdict: Verdict, told: str) -> None:
    since = pl.col("at") >= day(22)
    name = change.meta.output_name()
    shop.change(source, lambda rows: rows.with_columns(pl.when(since).then(change).otherwise(pl.col(name)).alias(name)))
    shop.go_to(day(27, 12))
    report = shop.run()
    assert report.gates[0].verdict is verdict
    assert told in report.gates[0].summary
    assert report.run.state is (RunState.SUCCEEDED if verdict.passed else RunState.REFUSED)
    assert len(report.steps) == (9 if verdict.passed else 2)
    champion = shop.rooms.models.champion("returned")
    assert champion is not None
    assert champion.version == (2 if verdict.passed else 1)


def test_rows_that_stay_away_are_refused(shop: Shop) -> None:
    kept = (pl.col("ordered_at") < day(21)) | (pl.col("ordered_at").dt.minute() < 10)
    shop.change("orders", lambda rows: rows.filter(kept))
    shop.go_to(day(27, 12))
    report = shop.run()
    assert (report.run.state, report.gates[0].verdict) == (RunState.REFUSED, Verdict.FAIL)
    assert "rows per day among new rows" in report.run.outcome


def test_old_data_is_refused(shop: Shop) -> None:
    shop.clock.at = day(25)
    assert shop.run().run.state is RunState.SUCCEEDED
    shop.clock.at = day(26)
    report = shop.run()
    assert report.run.state is RunState.REFUSED
    assert "View 'spend' is 3d old" in report.run.outcome


def test_refused_rows_are_kept_with_their_reasons(shop: Shop) -> None:
    shop.change("spending", lambda rows: rows.with_columns(spent=pl.col("spent") * 100))
    shop.go_to(day(24, 12))
    report = shop.run()
    refused = shop.rooms.ledger.artifact(report.steps[1].artifacts["refused"])
    rows = pl.read_parquet(shop.rooms.artifacts.path(refused))
    assert rows.height == report.gates[0].document["report"]["checks"][1]["failing_rows"]  # type: ignore[index]
    assert rows["__reasons"][0][0].startswith("spent: less_than_or_equal_to(1000) (found ")


def test_a_worse_estimator_is_refused_and_the_champion_stays(shop: Shop) -> None:
    write_definitions(shop.root, estimator="C=1e-6")
    report = shop.run()
    assert report.run.state is RunState.REFUSED
    assert "NoWorseThanChampion roc_auc: roc_auc is" in report.run.outcome
    assert shop.states() == {1: "CHAMPION", 2: "REJECTED"}
    with pytest.raises(InputError, match="REJECTED and cannot become APPROVED"):
        approve(shop.rooms, "returned", 2, "please")


def test_without_thresholds_nothing_is_approved(new_shop: NewShop) -> None:
    shop = new_shop(model_gate="[]")
    report = shop.run()
    assert (report.run.state, report.gates[1].verdict) == (RunState.REFUSED, Verdict.INCONCLUSIVE)
    assert shop.states() == {1: "CANDIDATE"}
    with pytest.raises(GateRefused, match="met no absolute bound"):
        approve(shop.rooms, "returned", 1, "please")


def test_a_tampered_champion_is_refused_and_put_away(shop: Shop) -> None:
    shop.run()
    model = shop.rooms.models.get("returned")
    path = shop.root / ModelDocument.of(model).path
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="It was not opened"):
        shop.rooms.models.load(model)
    assert shop.states() == {1: "CHAMPION", 2: "QUARANTINED"}
    move = shop.rooms.ledger.alias_log("returned")[0]
    assert (move.from_version, move.to_version, move.rollback) == (2, 1, True)


def test_an_experiment_registers_and_promotes_nothing(shop: Shop) -> None:
    report = run_experiment(shop.store, "returned", {"logisticregression__C": 0.5})
    assert report.run.state is RunState.SUCCEEDED
    assert [step.name for step in report.steps] == STEPS[:-1]
    assert shop.states() == {1: "CHAMPION"}
    assert report.evaluated is not None
    assert report.evaluated.champion == 1
    assert "C=0.5" in repr(report.estimator())


def test_an_experiment_and_a_run_share_their_steps(shop: Shop) -> None:
    run_experiment(shop.store, "returned")
    assert states(shop.run().steps) == {
        **dict.fromkeys(STEPS[:-1], "REUSED"), **dict.fromkeys(("register", "verify", "promote"), "DONE"),
    }  # fmt: skip


def test_a_parameter_that_is_not_there_is_told_before_anything_runs(shop: Shop) -> None:
    before = len(shop.rooms.ledger.runs())
    with pytest.raises(InputError, match=r"no parameter 'C'. Parameters: .*logisticregression__C"):
        run_experiment(shop.store, "returned", {"C": 1})
    assert len(shop.rooms.ledger.runs()) == before


def test_a_feature_that_is_null_wherever_it_is_learned_from_is_named() -> None:
    rows = pl.DataFrame({"a": [1.0, 2.0] * 20, "b": [None] * 40, "y": [0, 1] * 20}, schema_overrides={"b": pl.Float64})
    inputs = (("a", "Float64"), ("b", "Float64"))
    signature = Signature(service="s", inputs=inputs, keys=(), request=(), label="y", kind="classification")
    with pytest.raises(PipelineError, match=r"cannot be fitted: .*; no row that trains has a value of b\."):
        train(HistGradientBoostingClassifier(), rows, signature)


@pytest.mark.parametrize(
    ("first", "told"),
    [(None, "no example of source 'orders' has a label that was known at 2024-01-22"),
     (day(22, 12), "all 11 examples lie beyond what its views have committed"),
     (day(19), "leaves no row to train on: the first row stands at 2024-01-19")],
)  # fmt: skip
def test_too_few_rows_for_the_gate_to_judge_are_refused_in_a_sentence(
    shop: Shop, first: datetime | None, told: str
) -> None:
    """As data that a gate refused, so that triggers wait for more."""
    known = pl.lit(None, pl.Int64) if first is None else pl.col("returned")
    shop.change("orders", lambda rows: rows.with_columns(returned=known))
    if first is not None:
        shop.change("orders", lambda rows: rows.filter(pl.col("ordered_at") >= first))
    if first == day(22, 12):
        shop.clock.at = day(23, 16)  # its views are committed up to the 22nd
    report = shop.run()
    assert report.run.state is RunState.REFUSED
    assert report.run.outcome.startswith("Data: INCONCLUSIVE. Rows: ")
    assert told in report.run.outcome
    assert [(gate.gate, gate.verdict) for gate in report.gates] == [("data", Verdict.INCONCLUSIVE)]
    assert told in report.page.read_text(encoding="utf-8").replace("&#x27;", "'")
    with shop.rooms.ledger.reading() as connection:
        assert read_known(connection, "returned").standing.ended[0].ending is Ending.DATA_REFUSED


def test_an_unknown_pipeline_is_told(shop: Shop) -> None:
    with pytest.raises(UnknownNameError, match="training pipeline 'back'"):
        run_pipeline(shop.store, "back")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", ["extract", "train", "register", "verify"])
def test_a_broken_off_run_goes_on_after_its_last_step(shop: Shop, after: str) -> None:
    def killed(step: str, state: StepState | None) -> None:
        if (step, state) == (after, StepState.DONE):
            raise Killed

    with pytest.raises(Killed):
        run_pipeline(shop.store, "returned", progress=killed, server=served_here(shop.root))
    broken_off = shop.rooms.ledger.runs()[0]
    assert broken_off.state is RunState.RUNNING
    report = shop.run()
    assert report.run.number == broken_off.number
    names = [step.name for step in report.steps]
    assert sorted(names) == sorted({*STEPS, "verify", "promote"})  # each step once
    assert shop.states() == {1: "RETIRED", 2: "CHAMPION"}


def test_two_processes_do_not_run_one_pipeline(shop: Shop) -> None:
    with exclusive(shop.rooms, "returned"), pytest.raises(ConflictError, match="'returned' is running in another"):
        shop.run()


def test_a_run_that_was_taken_over_writes_no_more(shop: Shop) -> None:
    rooms, pipeline = shop.rooms, shop.rooms.pipeline("returned")
    run = add_run(rooms, "returned", "run", "by hand")

    def overtaken(step: str, state: StepState | None) -> None:
        if (step, state) == ("split", StepState.DONE):
            rooms.ledger.begin(run)

    with pytest.raises(ConflictError, match="has taken over"):
        execute(rooms, run, pipeline, overtaken)
    assert [step.name for step in rooms.ledger.steps(run.number)] == ["extract", "validate", "split"]


def test_another_champion_in_between_stops_the_promotion(shop: Shop) -> None:
    def other(step: str, state: StepState | None) -> None:
        if (step, state) == ("verify", StepState.DONE):
            shop.rooms.models.quarantine(shop.rooms.models.get("returned"), "found to be wrong")

    with pytest.raises(FeatureStoreError, match="champion of 'returned' is no version meanwhile, not version 1"):
        run_pipeline(shop.store, "returned", progress=other, server=served_here(shop.root))
    assert shop.states() == {1: "QUARANTINED", 2: "VERIFIED"}


def test_a_window_limits_how_far_back_examples_go(shop: Shop) -> None:
    text = (shop.root / "feature_defs" / "shop.py").read_text()
    (shop.root / "feature_defs" / "shop.py").write_text(
        text.replace("    inputs=", "    window=timedelta(days=9),\n    inputs=")
    )
    report = shop.run()
    dataset = shop.store.datasets.get(str(report.steps[0].result["dataset"])).to_polars()
    assert dataset["ordered_at"].min() >= shop.clock.at - timedelta(days=9)  # type: ignore[operator]  # instants
