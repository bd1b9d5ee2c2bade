"""Training data for the data gate: flights, one an hour, whose columns can be changed one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pandera.polars as pandera
import polars as pl

from featurestore.timeline import instant_us
from pipelines.definition.data_gate import DataCheck
from pipelines.gates.baseline import TrainingData, make_baseline
from pipelines.gates.data import DataVerdict, judge_data
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CARRIERS = ("UA", "AA", "DL", "B6")
INPUTS = ("temp", "carrier", "gusty")


class Flight(pandera.DataFrameModel):
    temp: float = pandera.Field(ge=-60, le=60, nullable=True)
    carrier: str = pandera.Field(isin=[*CARRIERS])


def flights(rows: int = 240, since: datetime = START, every: timedelta = HOUR, **columns: object) -> pl.DataFrame:
    """Temperatures 0 to 19, four carriers, gusty every third hour, late every fifth; a label an hour after its flight.

    `columns` replaces some: a list, or one value for all rows.
    """
    at = [since + every * row for row in range(rows)]
    frame = pl.DataFrame(
        {
            "sched_dep": at,
            "arrived_at": [instant + HOUR for instant in at],
            "temp": [float(row * 7 % 20) for row in range(rows)],
            "carrier": [CARRIERS[row % 4] for row in range(rows)],
            "gusty": [row % 3 == 0 for row in range(rows)],
            "late": [row % 5 == 0 for row in range(rows)],
        },
        schema={
            "sched_dep": pl.Datetime("us", "UTC"), "arrived_at": pl.Datetime("us", "UTC"), "temp": pl.Float64,
            "carrier": pl.String, "gusty": pl.Boolean, "late": pl.Boolean,
        },
    )  # fmt: skip
    return frame.with_columns(
        (pl.Series(name, value) if isinstance(value, list) else pl.lit(value)).alias(name)
        for name, value in columns.items()
    )


def training(
    frame: pl.DataFrame, watermarks: Mapping[str, int | None] | None = None, age: timedelta = HOUR
) -> TrainingData:
    """The frame as training data of a run that takes place `age` after the newest label."""
    newest = frame["arrived_at"].max() if "arrived_at" in frame.columns else None
    now = (newest if isinstance(newest, datetime) else START) + age
    return TrainingData(
        frame=frame, inputs=INPUTS, label="late", timestamp="sched_dep", known_at="arrived_at",
        as_of_us=instant_us(now, "now"), watermarks=watermarks or {},
    )  # fmt: skip


def judged(checks: Sequence[DataCheck], frame: pl.DataFrame, before: pl.DataFrame | None = None) -> DataVerdict:
    """The gate's verdict on a frame, beside an earlier one."""
    baseline = None if before is None else make_baseline(training(before))
    return judge_data(checks, training(frame), baseline)


def checked(check: DataCheck, frame: pl.DataFrame, before: pl.DataFrame | None = None) -> CheckResult:
    """What one check says; nothing else has anything against the frame."""
    schema, result = judged([check], frame, before).checks
    assert schema.verdict is Verdict.PASS
    return result
