"""A tick materializes what is due, notes what triggers saw, and runs what is to run, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.ledger.records import Run, RunState
from pipelines.triggers.explaining import explain
from pipelines.triggers.labelling import Joined
from pipelines.triggers.leases import held
from pipelines.triggers.plans import current_plans
from pipelines.triggers.readings import JudgedWindow, Moved
from tests.pipelines.ticks import Shop, opened, told, us

NIGHTLY = '[Schedule("0 3 * * *")]'
ROWS = '[NewData("spend", min_rows=24)]'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as shop:
        shop.click("03-09 00:00")
        yield shop


def test_views_are_materialized_up_to_the_time_of_their_schedule(shop: Shop) -> None:
    shop.declare()
    (done,) = shop.tick("03-01 05:20").materialized
    assert (done.view, done.due_us, done.watermark_us, done.rows) == ("spend", us("03-01 05:00"), us("03-01 05:00"), 29)
    assert shop.tick("03-01 05:50").materialized == ()
    (done,) = shop.tick("03-01 09:10").materialized
    assert (done.due_us, done.rows) == (us("03-01 09:00"), 4)


def test_a_time_that_comes_due_starts_a_run_once(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    assert shop.told("03-01 02:30") == ["schedule 0 3 * * * UTC: IDLE: watched from 2013-03-01T02:30:00Z on"]
    assert shop.told("03-01 03:01") == ["schedule 0 3 * * * UTC: ACCEPTED 1: was due at 2013-03-01T03:00:00Z"]
    assert shop.told("03-01 03:02") == []
    assert shop.runs == [(1, "03-01T03:01")]
    run = shop.ledger.run(1)
    assert (run.state, run.trigger, run.as_of_us) == (RunState.SUCCEEDED, "schedule 0 3 * * * UTC", us("03-01 03:01"))


def test_times_that_were_missed_start_one_run(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.tick("03-01 02:30")
    (accepted,) = shop.told("03-05 08:00")
    assert accepted.endswith("ACCEPTED 1: was due at 2013-03-05T03:00:00Z, and 4 times before it")
    assert shop.told("03-05 08:01") == []
    assert len(shop.runs) == 1


def test_rows_are_counted_from_the_data_of_the_last_run_that_trained(shop: Shop) -> None:
    shop.declare(ROWS)
    assert shop.told("03-01 02:00") == [
        "new data spend 24: ACCEPTED 1: 26 of 24 rows in all, and no run has trained yet"
    ]
    assert shop.told("03-01 03:00") == ["new data spend 24: IDLE: 1 of 24 rows since run 1 began"]
    assert shop.told("03-01 03:30") == []
    assert shop.told("03-02 02:00") == ["new data spend 24: ACCEPTED 2: 24 of 24 rows since run 1 began"]


def test_a_run_by_hand_counts_although_no_trigger_noted_what_it_began_with(shop: Shop) -> None:
    shop.declare("[]")
    shop.tick("03-01 02:00")
    shop.declare('[NewData("spend", min_rows=24), Schedule("0 3 * * *")]')
    shop.now_us = us("03-01 02:30")
    run = shop.ledger.add_run(_by_hand(shop))
    shop.run(run)
    assert shop.told("03-01 03:00")[0] == "new data spend 24: IDLE: 1 of 24 rows since run 1 began"


def test_a_view_that_is_late_holds_its_pipelines_back_with_the_reason(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.tick("03-01 02:30")
    (shop.root / "clicks.parquet").rename(shop.root / "away")
    report = shop.tick("03-01 03:00")
    (failed,) = report.materialized
    assert failed.state == "FAILED"
    (pipeline,) = report.pipelines
    assert pipeline.run is not None
    assert pipeline.run.state is RunState.PENDING
    assert pipeline.waits is not None
    assert pipeline.waits.startswith("view 'spend' was due at 2013-03-01T03:00:00Z and failed: ")
    assert pipeline.waits.endswith("; it is tried again at 2013-03-01T03:01:00Z")
    assert [(o.trigger, o.decision.value, o.run) for o in pipeline.observations] == [
        ("schedule 0 3 * * * UTC", "ACCEPTED", 1), ("start", "SUPPRESSED", 1),
    ]  # fmt: skip
    (shop.root / "away").rename(shop.root / "clicks.parquet")
    assert shop.tick("03-01 03:00").materialized == ()
    assert shop.runs == []
    assert [done.state.value for done in shop.tick("03-01 03:01").materialized] == ["DONE"]
    assert shop.runs == [(1, "03-01T03:01")]


def test_a_run_that_waits_too_long_for_its_features_expires(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.tick("03-01 02:30")
    (shop.root / "clicks.parquet").unlink()
    shop.tick("03-01 03:00")
    told = shop.told("03-02 03:30")
    assert told[0].startswith("start: EXPIRED 1: it waited longer than 1d: view 'spend' was due at")
    assert told[1].startswith("schedule 0 3 * * * UTC: ACCEPTED 2")
    assert shop.ledger.run(1).state is RunState.EXPIRED


def test_a_view_that_does_not_serve_yet_holds_back(shop: Shop) -> None:
    shop.declare(NIGHTLY, schedule="None")
    shop.tick("03-01 02:30")
    (pipeline,) = shop.tick("03-01 03:00").pipelines
    assert pipeline.waits == "view 'spend' has committed nothing yet"


def test_a_failed_run_is_tried_again_and_a_person_is_called_in_the_end(shop: Shop) -> None:
    shop.declare(NIGHTLY, policy="max_failures=2")
    shop.endings = [RunState.FAILED, RunState.FAILED]
    shop.tick("03-01 02:30")
    shop.tick("03-01 03:00")
    assert shop.told("03-01 03:01")[0] == (
        "retry: ACCEPTED 2: run 1 failed: the disk is full; tried again at 2013-03-01T03:05:00Z"
    )
    assert shop.told("03-01 03:04") == []
    shop.tick("03-01 03:05")
    shop.deaf = True
    (called,) = shop.told("03-01 03:06")
    assert called.endswith("open until a run by hand does; nobody could be called: nobody is there")
    shop.deaf = False
    (called,) = shop.told("03-01 03:07")
    assert called.startswith("circuit breaker: SUPPRESSED 2: the last 2 runs did not end well (2: failed)")
    assert called.endswith("; the webhook was called")
    (suppressed,) = shop.told("03-02 03:00")
    assert suppressed.startswith("schedule 0 3 * * * UTC: SUPPRESSED: was due at 2013-03-02T03:00:00Z; the last 2 runs")
    assert [event["pipeline"] for event in shop.calls] == ["risk"]
    assert shop.runs == [(1, "03-01T03:00"), (2, "03-01T03:05")]


def test_refused_data_waits_for_new_data(shop: Shop) -> None:
    shop.declare(ROWS, schedule='"0 0 * * *"')
    shop.endings = ["data"]
    shop.tick("03-01 02:00")
    assert shop.told("03-01 02:01") == [
        "new data spend 24: SUPPRESSED: 24 of 24 rows in all, and no run has trained yet; the data of run 1 was "
        "refused, and no new data has come since"
    ]
    assert shop.told("03-01 23:00") == []
    assert shop.told("03-02 00:00") == [
        "new data spend 24: ACCEPTED 2: 48 of 24 rows in all, and no run has trained yet"
    ]


def test_a_label_file_that_was_written_anew_is_new_data(shop: Shop) -> None:
    shop.declare(ROWS, schedule='"0 0 * * *"')
    shop.endings = ["data"]
    shop.tick("03-01 02:00")
    shop.click("03-09 00:00", per_hour=2)
    (accepted,) = shop.told("03-01 02:01")
    assert "ACCEPTED 2" in accepted


def test_a_refused_model_waits_for_data_or_definitions_to_change(shop: Shop) -> None:
    shop.declare("[DataDrift(window=timedelta(days=7))]")
    shop.endings = [RunState.SUCCEEDED, "model"]
    shop.moved = [Moved("spend", "amount", "psi", 0.4, 0.2, 900, 800)]
    shop.tick("03-01 02:00")
    shop.run(shop.ledger.add_run(_by_hand(shop)))
    assert shop.told("03-01 02:30") == ["drift 7d: ACCEPTED 2: amount of spend: psi 0.400, above 0.2 over the last 7d"]
    assert (
        "SUPPRESSED: amount of spend: psi 0.400, above 0.2 over the last 7d; the model of run 2 was refused"
        in (shop.told("03-01 02:31")[0])
    )
    shop.declare('[DataDrift(window=timedelta(days=7)), Schedule("0 3 * * *")]')
    assert "ACCEPTED 3" in shop.told("03-01 02:32")[0]


def test_without_a_model_nothing_has_drifted(shop: Shop) -> None:
    shop.declare("[DataDrift(window=timedelta(days=7))]")
    assert shop.told("03-01 02:00") == [
        "drift 7d: IDLE: no run has trained yet, so there is nothing to have drifted from"
    ]


def test_worse_performance_in_each_window_starts_a_run(shop: Shop) -> None:
    shop.declare('[PerformanceDrop("roc_auc", below=0.62, windows=2)]')
    days = [JudgedWindow(us(f"03-0{d} 00:00"), us(f"03-0{d + 1} 00:00"), value, 500) for d, value in
            ((1, 0.70), (2, 0.61), (3, 0.60))]  # fmt: skip
    name = "performance roc_auc 0.62"
    assert shop.told("03-01 01:00") == [f"{name}: IDLE: 0 of 2 windows are judged"]
    shop.judged = days[:2]
    until = "up to 2013-03-03T00:00:00Z"
    assert shop.told("03-03 01:00") == [f"{name}: IDLE: roc_auc 0.700, 0.610 {until}, below 0.62 in 1 of 2 windows"]
    shop.judged = days
    until = "up to 2013-03-04T00:00:00Z"
    assert shop.told("03-04 01:00") == [f"{name}: ACCEPTED 1: roc_auc 0.610, 0.600 {until}, below 0.62 in each window"]
    assert shop.told("03-04 02:00") == [f"{name}: IDLE: 0 of 2 windows are judged since run 1 began"]


def test_labels_are_joined_when_something_has_changed_or_another_becomes_known(shop: Shop) -> None:
    """At most once a minute; `shop.labels` holds what comes of each joining, and one too many would raise."""
    shop.declare('[PerformanceDrop("roc_auc", below=0.62)]', schedule="None")

    def labels(at: str) -> str | None:
        (pipeline,) = shop.tick(at).pipelines
        return None if pipeline.labels is None else told(pipeline.labels)

    assert labels("03-01 01:00:00") is None  # nothing was predicted
    shop.asked, shop.labels = 1, [Joined(31, None)]
    assert labels("03-01 01:00:30") == "labels: RECORDED: 31 new labels of predictions"
    assert labels("03-01 02:00") is None
    shop.asked, shop.labels = 2, [Joined(0, us("03-01 05:00"))]  # more was predicted
    assert labels("03-01 03:00:00") == "labels: IDLE: no prediction has a label that was not recorded yet"
    shop.asked, shop.labels = 3, [Joined(2, us("03-01 05:00"))]
    assert labels("03-01 03:00:59") is None  # too soon
    assert labels("03-01 03:01:00") == "labels: RECORDED: 2 new labels of predictions"
    shop.labels = [Joined(2, None)]
    assert labels("03-01 04:59") is None
    assert labels("03-01 05:00") == "labels: RECORDED: 2 new labels of predictions"
    shop.click("03-09 00:00", per_hour=2)  # the labels' file is another one
    shop.labels = [Joined(7, None)]
    assert labels("03-01 06:00") == "labels: RECORDED: 7 new labels of predictions"
    kept = shop.ledger.observations("risk", trigger="labels")
    assert [one.reason.partition(" ")[0] for one in kept] == ["7", "2", "2", "no", "31"]


def test_labels_that_cannot_be_joined_are_told_and_keep_nothing_from_running(shop: Shop) -> None:
    shop.declare('[PerformanceDrop("roc_auc", below=0.62), Schedule("0 3 * * *")]')
    shop.tick("03-01 02:30")
    shop.asked, shop.labels = 1, [OSError("the disk is away")] * 4
    (pipeline,) = shop.tick("03-01 03:00").pipelines
    assert pipeline.labels is not None
    assert told(pipeline.labels) == (
        "labels: FAILED: labels cannot be joined to predictions: OSError: the disk is away"
    )
    assert shop.runs == [(1, "03-01T03:00")]
    tried = [at for at in range(1, 9) if shop.tick(f"03-01 03:0{at}").pipelines[0].labels is not None]
    assert tried == [1, 3, 7]  # after pauses that grow
    plan = current_plans(shop.root, "defs", shop.ledger).plan("risk")
    events = explain(shop.ledger, plan, shop.now_us, None, 50).events
    (failed,) = [event for event in events if event.whom == "labels"]
    assert failed.why.endswith("the disk is away (4 times, at last at 2013-03-01T03:07:00Z)")
    shop.labels = [Joined(1, None)]
    (pipeline,) = shop.tick("03-01 03:15").pipelines
    assert pipeline.labels is not None
    assert told(pipeline.labels) == "labels: RECORDED: 1 new labels of predictions"


def test_labels_are_joined_only_for_pipelines_that_go_by_them(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.asked = 1
    assert shop.tick("03-01 02:30").pipelines[0].labels is None


def test_triggers_that_fire_within_the_debounce_join_one_run(shop: Shop) -> None:
    shop.declare('[Schedule("0 3 * * *"), Schedule("5 3 * * *")]', policy="debounce=timedelta(minutes=10)")
    shop.tick("03-01 02:30")
    assert shop.told("03-01 03:00") == [
        "schedule 0 3 * * * UTC: ACCEPTED 1: was due at 2013-03-01T03:00:00Z",
        "start: SUPPRESSED 1: it starts at 2013-03-01T03:10:00Z: other triggers may join it until then",
    ]
    assert shop.told("03-01 03:05") == ["schedule 5 3 * * * UTC: COALESCED 1: was due at 2013-03-01T03:05:00Z"]
    shop.tick("03-01 03:10")
    assert shop.runs == [(1, "03-01T03:10")]


def test_a_pipeline_that_another_process_is_at_is_left_to_it(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.tick("03-01 02:30")
    with held(shop.root / "leases", "risk"):
        (pipeline,) = shop.tick("03-01 03:00").pipelines
    assert (pipeline.busy, shop.runs) == (True, [])
    shop.tick("03-01 03:01")
    assert shop.runs == [(1, "03-01T03:01")]


def test_a_run_that_was_left_goes_on_under_its_number(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.endings = ["killed", "killed"]
    shop.tick("03-01 02:30")
    for minute in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            shop.tick(f"03-01 03:0{minute}")
    shop.tick("03-01 03:02")
    assert [run for run, _ in shop.runs] == [1, 1, 1]
    assert shop.ledger.run(1).state is RunState.SUCCEEDED


def test_a_run_that_is_left_three_times_has_failed(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    shop.endings = ["killed"] * 3
    shop.tick("03-01 02:30")
    for minute in (0, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            shop.tick(f"03-01 03:0{minute}")
    shop.tick("03-01 03:03")
    assert (shop.ledger.run(1).state, shop.ledger.run(1).outcome) == (
        RunState.FAILED, "its process ended 3 times before it did",
    )  # fmt: skip
    assert shop.told("03-01 03:04")[0].startswith("retry: ACCEPTED 2: run 1 failed: its process ended 3 times")


def test_definitions_are_loaded_again_only_when_they_have_changed(shop: Shop) -> None:
    shop.declare(NIGHTLY)
    marker = shop.root / "loaded"
    with (shop.root / "defs" / "shop.py").open("a", encoding="utf-8") as file:
        file.write(f"import os\nos.mkdir({str(marker)!r})\n")  # which fails the second time
    shop.tick("03-01 02:30")
    shop.tick("03-01 02:31")
    assert marker.is_dir()
    shop.declare(ROWS)
    assert [o.trigger for o in shop.tick("03-01 02:32").pipelines[0].observations] == ["new data spend 24"]


def _by_hand(shop: Shop) -> Run:
    now = shop.now_us
    return Run(0, "risk", "run", RunState.PENDING, "by hand", "ann", now, now, None, {}, shop.code())
