"""`why` tells one story of triggers, runs, gates and views; a person is called by webhook or command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.project.configuration import Alerts
from pipelines.calling import call_person
from pipelines.ledger.records import RunState
from pipelines.telling import without_login
from pipelines.triggers.explaining import Explanation, explain
from pipelines.triggers.plans import current_plans
from tests.pipelines.ticks import Shop, opened
from tests.pipelines.webhooks import Webhook, listening

NIGHTLY = '[Schedule("0 3 * * *"), NewData("spend", min_rows=1_000)]'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as shop:
        shop.click("03-09 00:00")
        shop.declare(NIGHTLY)
        yield shop


def why(shop: Shop, limit: int = 20) -> Explanation:
    plan = current_plans(shop.store.root, "defs", shop.ledger).plan("risk")
    return explain(shop.ledger, plan, shop.now_us, None, limit)


def test_before_the_first_look_nobody_has_looked(shop: Shop) -> None:
    assert why(shop).answer == (
        "It has not run yet.",
        "Nothing fires: schedule 0 3 * * * UTC: no tick has looked at it yet; new data spend 1000: no tick has "
        "looked at it yet.",
    )


def test_a_run_is_told_with_what_started_it(shop: Shop) -> None:
    shop.tick("03-01 02:30")
    shop.tick("03-01 03:00")
    shop.tick("03-01 03:20")
    shop.tick("03-01 03:40")
    story = why(shop)
    assert story.answer == (
        "It last ran as run 1, for schedule 0 3 * * * UTC: SUCCEEDED at 2013-03-01T03:00:00Z. well",
        "schedule 0 3 * * * UTC started run 1: was due at 2013-03-01T03:00:00Z; due next at 2013-03-02T03:00:00Z.",
        "Nothing else fires: new data spend 1000: 0 of 1,000 rows since run 1 began.",
    )
    assert [(event.whom, event.what, event.run) for event in story.events] == [
        ("schedule 0 3 * * * UTC", "IDLE", None),
        ("new data spend 1000", "IDLE", None),
        ("schedule 0 3 * * * UTC", "ACCEPTED", 1),
        ("new data spend 1000", "IDLE", None),
        ("run", "ADDED", 1),
        ("run", "SUCCEEDED", 1),
        ("new data spend 1000", "IDLE", None),
    ]
    assert story.events[-1].why == "0 of 1,000 rows since run 1 began (2 times, at last at 2013-03-01T03:40:00Z)"


def test_what_a_schedule_did_is_told_until_another_run_comes(shop: Shop) -> None:
    shop.declare('[Schedule("0 3 * * *"), NewData("spend", min_rows=26)]', policy="cool_down=timedelta(hours=2)")
    shop.tick("03-01 02:00")  # 26 rows start run 1
    shop.tick("03-01 03:00")
    refused = (
        "schedule 0 3 * * * UTC fired and was refused: was due at 2013-03-01T03:00:00Z; run 1 has ended, and it cools "
        "down until 2013-03-01T04:00:00Z; due next at 2013-03-02T03:00:00Z."
    )
    assert why(shop).answer[1] == refused
    shop.tick("03-02 02:00")
    assert why(shop).answer[1] == refused
    shop.declare('[Schedule("0 3 * * *"), NewData("spend", min_rows=24)]')
    shop.tick("03-02 02:30")
    assert why(shop).answer[1:] == (
        "new data spend 24 started run 2: 24 of 24 rows since run 1 began.",
        "Nothing else fires: schedule 0 3 * * * UTC: due next at 2013-03-02T03:00:00Z.",
    )


def test_labels_that_cannot_be_joined_are_part_of_the_answer(shop: Shop) -> None:
    shop.declare('[PerformanceDrop("roc_auc", below=0.62)]')
    shop.asked, shop.labels = 1, [OSError("the disk is away")]
    shop.tick("03-01 02:30")
    assert why(shop).answer[-1] == "labels cannot be joined to predictions: OSError: the disk is away."


def test_a_run_that_is_held_back_is_told_with_the_reason(shop: Shop) -> None:
    shop.tick("03-01 02:30")
    (shop.root / "clicks.parquet").unlink()
    shop.tick("03-01 03:00")
    story = why(shop)
    assert story.answer[0] == "It has not run yet."
    assert story.answer[1].startswith("Run 1 waits: view 'spend' was due at 2013-03-01T03:00:00Z and failed: ")
    assert ("view spend", "FAILED") in [(event.whom, event.what) for event in story.events]


def test_a_refusal_is_told_with_the_gate(shop: Shop) -> None:
    shop.endings = ["data"]
    shop.tick("03-01 02:30")
    shop.tick("03-01 03:00")
    shop.declare('[Schedule("0 3 * * *"), NewData("spend", min_rows=1)]')
    shop.tick("03-01 03:10")
    story = why(shop)
    assert story.answer[0].startswith(
        "It last ran as run 1, for schedule 0 3 * * * UTC: REFUSED at 2013-03-01T03:00:00Z"
    )
    assert (
        "new data spend 1 fired and was refused: 27 of 1 rows in all, and no run has trained yet; the data of run 1"
        in (story.answer[2])
    )
    assert [event.why for event in story.events if event.whom == "data gate"] == ["no"]


def test_an_open_circuit_is_told_until_a_run_ends_well(shop: Shop) -> None:
    shop.declare(NIGHTLY, policy="max_failures=1")
    shop.endings = [RunState.FAILED]
    shop.tick("03-01 02:30")
    shop.tick("03-01 03:00")
    shop.tick("03-01 03:10")
    assert "so the circuit is open until a run by hand does; the webhook was called" in why(shop).answer[-1]


def test_the_newest_events_are_told(shop: Shop) -> None:
    for day in range(1, 6):
        shop.tick(f"03-0{day} 03:00")
    assert [event.run for event in why(shop, 3).events] == [None, 4, 4]


@pytest.fixture
def webhook() -> Iterator[str]:
    with listening() as address:
        yield address


def test_a_webhook_and_a_command_get_the_event(tmp_path: Path, webhook: str) -> None:
    alerts = Alerts(webhook=webhook, command="tee told.json")
    assert call_person(alerts, tmp_path, {"run": 3}) == "the webhook was told and 'tee' was run"
    assert Webhook.bodies == [{"run": 3}]
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8")) == {"run": 3}


@pytest.mark.parametrize("program", ["false", "no-such-command", "sleep 5"])
def test_no_error_tells_what_a_webhook_or_a_command_is_called_with(tmp_path: Path, webhook: str, program: str) -> None:
    Webhook.status = 404
    for alerts in (
        Alerts(webhook=f"{webhook}/s3cret?key=s3cret"),
        Alerts(command=f"{program} s3cret" if program != "sleep 5" else "sh -c 'sleep 5; s3cret'", timeout_seconds=0.1),
    ):
        with pytest.raises(OSError, match=r"the (webhook|command)") as told:
            call_person(alerts, tmp_path, {})
        assert "s3cret" not in str(told.value)


def test_who_cannot_be_told_is_an_error(tmp_path: Path, webhook: str) -> None:
    Webhook.status = 500
    with pytest.raises(OSError, match=r"the webhook at 127\.0\.0\.1 answered 500 Internal Server Error"):
        call_person(Alerts(webhook=webhook), tmp_path, {})
    with pytest.raises(OSError, match="the command 'false' ended with 1: it said nothing"):
        call_person(Alerts(command="false"), tmp_path, {})
    with pytest.raises(OSError, match="the command 'no-such-command' cannot be run: No such file"):
        call_person(Alerts(command="no-such-command"), tmp_path, {})
    with pytest.raises(OSError, match="the command 'sleep' did not end within"):
        call_person(Alerts(command="sleep 9", timeout_seconds=0.01), tmp_path, {})


def test_without_alerts_nobody_is_told(tmp_path: Path) -> None:
    assert call_person(Alerts(), tmp_path, {}).startswith("nobody is told")


def test_what_mlflow_says_is_told_without_the_login_to_it() -> None:
    told = without_login("API request to http://ann:s3cret@mlflow:5000/api failed: see https://mlflow.org/a@b.")
    assert told == "API request to http://mlflow:5000/api failed: see https://mlflow.org/a@b."
