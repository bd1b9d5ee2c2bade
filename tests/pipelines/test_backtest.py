"""A backtest says when a policy would have retrained; drift is measured from what commits counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import InputError
from pipelines import DataDrift, PerformanceDrop
from pipelines.ledger.triggers import RunBase, TableState
from pipelines.triggers.backtest import BacktestReport, backtest
from pipelines.triggers.drifting import history_of, measured_drift
from pipelines.triggers.plans import TriggerPlan, current_plans
from pipelines.triggers.readings import JudgedWindow
from tests.pipelines.ticks import Shop, opened, us

DAY = 86_400_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as shop:
        shop.now_us = us("06-01 00:00")
        yield shop


def replayed(shop: Shop, since: str, until: str, every_us: int = DAY) -> BacktestReport:
    plans = current_plans(shop.store.root, "defs", shop.ledger)

    def ended(plan: TriggerPlan, trigger: PerformanceDrop, at_us: int) -> list[JudgedWindow]:
        return [window for window in shop.windows(plan, trigger) if window.end_us <= at_us]

    return backtest(shop.store, plans.plan("risk"), (us(since), us(until)), every_us, ended)


def days(report: BacktestReport) -> list[tuple[str, str]]:
    at = datetime.fromtimestamp
    return [(f"{at(run.at_us / 1e6, UTC):%m-%d %H:%M}", run.reason) for run in report.runs]


def committed(shop: Shop, until: str = "05-01 00:00", *, step: timedelta = timedelta(days=30)) -> None:
    shop.store.materialize(datetime.fromisoformat(f"2013-{until}").replace(tzinfo=UTC), step=step)


def test_schedules_would_have_run_at_their_times(shop: Shop) -> None:
    shop.click("05-01 00:00")
    shop.declare('[Schedule("0 3 * * MON", zone="America/New_York")]', schedule="None")
    committed(shop)
    report = replayed(shop, "03-01 00:00", "03-20 00:00")
    assert [day for day, _ in days(report)] == ["03-04 08:00", "03-11 07:00", "03-18 07:00"]
    assert report.looks == 20 + 3


def test_new_rows_would_have_started_runs_as_they_came(shop: Shop) -> None:
    shop.click("05-01 00:00")  # 24 a day from 02-28 on
    shop.declare('[NewData("spend", min_rows=72)]', schedule="None")
    committed(shop)
    assert days(replayed(shop, "03-01 00:00", "03-12 00:00")) == [
        ("03-03 00:00", "72 of 72 rows in all, and no run has trained yet"),
        ("03-06 00:00", "72 of 72 rows since run 1 began"),
        ("03-09 00:00", "72 of 72 rows since run 2 began"),
        ("03-12 00:00", "72 of 72 rows since run 3 began"),
    ]


def test_a_view_with_a_schedule_is_pretended_to_be_filled_by_it(shop: Shop) -> None:
    shop.click("05-01 00:00")
    shop.declare('[NewData("spend", min_rows=72)]', schedule='"0 12 * * *"')
    committed(shop)
    assert [day for day, _ in days(replayed(shop, "03-01 00:00", "03-08 00:00", DAY // 4))] == [
        "03-03 12:00",
        "03-06 12:00",
    ]


def test_a_policy_is_kept_in_the_past_too(shop: Shop) -> None:
    shop.click("05-01 00:00")
    shop.declare('[NewData("spend", min_rows=24)]', schedule="None", policy="cool_down=timedelta(days=3)")
    committed(shop)
    report = replayed(shop, "03-01 00:00", "03-08 00:00")
    assert [day for day, _ in days(report)] == ["03-01 00:00", "03-04 00:00", "03-07 00:00"]
    assert report.suppressed == 5


def test_judged_windows_count_from_when_they_ended(shop: Shop) -> None:
    shop.click("05-01 00:00")
    shop.declare('[PerformanceDrop("roc_auc", below=0.62)]', schedule="None")
    committed(shop)
    shop.judged = [JudgedWindow(us("03-01 00:00") + day * DAY, us("03-01 00:00") + (day + 1) * DAY, value, 500)
                   for day, value in enumerate((0.7, 0.6, 0.7, 0.6, 0.6))]  # fmt: skip
    assert [day for day, _ in days(replayed(shop, "03-01 00:00", "03-08 00:00"))] == [
        "03-03 00:00",
        "03-05 00:00",
        "03-06 00:00",
    ]


def shifting(shop: Shop, step: timedelta) -> None:
    """Amounts below ten in March, above twenty in April, 24 a day."""
    first = datetime(2013, 3, 1, tzinfo=UTC)
    rows = [
        (hour % 7, first + timedelta(hours=hour), float(hour % 10) + (20.0 if hour >= 31 * 24 else 0.0))
        for hour in range(61 * 24)
    ]
    schema = {"user": pl.Int64(), "at": pl.Datetime("us", "UTC"), "amount": pl.Float64()}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(shop.root / "clicks.parquet")
    shop.declare('[NewData("spend", min_rows=500), DataDrift(window=timedelta(days=7), min_rows=100)]', schedule="None")
    committed(shop, step=step)


def test_a_shift_would_have_started_a_run(shop: Shop) -> None:
    shifting(shop, timedelta(days=1))
    shop.declare('[DataDrift(window=timedelta(days=7), min_rows=100), Schedule("0 0 20 3 *")]', schedule="None")
    report = replayed(shop, "03-15 00:00", "05-01 00:00")
    assert [(day, reason.partition(":")[0]) for day, reason in days(report)][:2] == [
        ("03-20 00:00", "was due at 2013-03-20T00"),
        ("04-02 00:00", "amount of spend"),
    ]


def test_drift_is_that_of_the_counts_on_either_side(shop: Shop) -> None:
    shifting(shop, timedelta(days=1))
    plan = current_plans(shop.store.root, "defs", shop.ledger).plan("risk")
    trigger = plan.triggers["drift 7d"]
    history = history_of(shop.store)
    counts = history("spend")
    assert len(counts.intervals) == 61
    assert {sum(interval.counts["amount"]) for interval in counts.intervals} == {24}
    assert isinstance(trigger, DataDrift)

    def state(until: str) -> TableState:
        return TableState(table="t", version=1, rows=1, watermark_us=us(until))

    def drift(then: str, now: str) -> list[tuple[str, bool, int, int]]:
        base = RunBase(1, 0, "", "", {"spend": state(then)})
        moved = measured_drift(history, plan, trigger, base, {"spend": state(now)})
        return [(one.feature, one.drifted, one.rows_then, one.rows_now) for one in moved]

    assert drift("03-20 00:00", "03-30 00:00") == [("amount", False, 19 * 24, 7 * 24)]
    assert drift("03-20 00:00", "04-10 00:00") == [("amount", True, 19 * 24, 7 * 24)]
    assert drift("03-02 00:00", "04-10 00:00") == [("amount", False, 24, 7 * 24)]


def test_what_has_no_past_is_told(shop: Shop) -> None:
    shop.click("05-01 00:00")
    shop.declare('[NewData("spend", min_rows=72)]')
    with pytest.raises(InputError, match="View 'spend' has committed nothing, so it has no past; materialize it first"):
        replayed(shop, "03-01 00:00", "03-12 00:00")
    committed(shop)
    with pytest.raises(InputError, match="is not after the start"):
        replayed(shop, "03-02 00:00", "03-01 00:00")
