"""The comparison of models on made-up flights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from demo.learning import Comparison, Score, compare

ROWS = 600


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    """Hourly flights of one carrier and route, each two hours long, some of them 60 minutes late."""
    late = [number * number % 7 in (1, 2) and number % 3 > 0 for number in range(ROWS)]
    departs = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(ROWS)]
    return pl.DataFrame(
        {"flight_id": [str(number) for number in range(ROWS)], "sched_dep": departs, "late": late}
    ).with_columns(
        carrier=pl.lit("UA"),
        flight=pl.lit(1),
        tailnum=pl.lit("N1"),
        origin=pl.lit("EWR"),
        dest=pl.lit("ORD"),
        distance=pl.lit(719),
        sched_arr=pl.col("sched_dep") + timedelta(hours=2),
        arrived_at=pl.col("sched_dep") + timedelta(hours=2),
        arr_delay=pl.col("late") * 60,
    )


@pytest.fixture(scope="module")
def comparison(flights: pl.DataFrame) -> Comparison:
    """The plain feature says nothing, the windowed one the label."""
    spine = flights.drop("arrived_at", "arr_delay").with_columns(plain=pl.lit(1), window=pl.col("late").cast(pl.Int64))
    half = ROWS // 2
    return compare(spine.head(half), spine.tail(half), ["plain"], flights)


def test_each_model_reads_what_the_one_before_reads_and_more(comparison: Comparison) -> None:
    scores = (comparison.schedule, comparison.plain, comparison.windows, comparison.leaky)
    assert [score.added for score in scores] == [7, 1, 1, 3]
    assert comparison.plain.promised == comparison.schedule.promised


def test_the_gain_of_a_feature_is_that_of_its_model(comparison: Comparison) -> None:
    assert comparison.windows == Score(added=1, promised=1.0, live=1.0)
    assert comparison.schedule.promised < 0.9
    assert {"window", "plain"} <= set(comparison.model.columns)
