"""The delay model on made-up flights."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from demo.model import schedule_features, train, train_all

COLUMNS = ("carrier", "news")


@pytest.fixture
def rows() -> pl.DataFrame:
    """400 flights: those of AA are late when `news` is above 200, those of UA never are."""
    count = 400
    return pl.DataFrame({"carrier": ["AA", "UA"] * (count // 2), "news": range(count)}).with_columns(
        late=(pl.col("carrier") == "AA") & (pl.col("news") > 200)
    )


def test_the_model_learns_what_the_columns_say(rows: pl.DataFrame) -> None:
    assert train(rows, COLUMNS).roc_auc(rows) == 1.0


def test_the_model_reads_only_its_columns(rows: pl.DataFrame) -> None:
    model = train(rows, ("carrier",))
    changed = model.probabilities(rows.with_columns(news=pl.lit(0)))
    assert np.array_equal(model.probabilities(rows), changed)
    assert model.roc_auc(rows) < 0.9


def test_a_carrier_never_seen_counts_as_missing(rows: pl.DataFrame) -> None:
    model = train(rows, COLUMNS)
    unseen = pl.DataFrame({"carrier": ["ZZ", None], "news": [300, 300]}, schema_overrides={"carrier": pl.String})
    probabilities = model.probabilities(unseen)
    assert probabilities[0] == probabilities[1]


def test_nulls_are_taken(rows: pl.DataFrame) -> None:
    holes = rows.with_columns(news=pl.when(pl.col("news") % 5 != 0).then("news"))
    assert np.isfinite(train(holes, COLUMNS).probabilities(holes)).all()


def test_models_trained_side_by_side_are_the_same_as_alone(rows: pl.DataFrame) -> None:
    both, carrier = train_all([(rows, COLUMNS), (rows, ("carrier",))])
    assert (both.columns, carrier.columns) == (COLUMNS, ("carrier",))
    assert np.array_equal(both.probabilities(rows), train(rows, COLUMNS).probabilities(rows))


@pytest.mark.parametrize(
    ("sched_dep", "minute_of_day", "weekday"),
    [
        pytest.param(datetime(2013, 3, 10, 6, 59, tzinfo=UTC), 119, 7, id="Sunday 1:59 EST"),
        pytest.param(datetime(2013, 3, 10, 7, 0, tzinfo=UTC), 180, 7, id="Sunday 3:00 EDT"),
        pytest.param(datetime(2013, 11, 4, 4, 59, tzinfo=UTC), 1_439, 7, id="Sunday 23:59 EST"),
        pytest.param(datetime(2013, 11, 4, 5, 0, tzinfo=UTC), 0, 1, id="Monday 0:00 EST"),
    ],
)
def test_the_schedule_is_read_in_new_york(sched_dep: datetime, minute_of_day: int, weekday: int) -> None:
    spine = pl.DataFrame({"sched_dep": [sched_dep], "sched_arr": [sched_dep.replace(hour=23, minute=59)]})
    features = schedule_features(spine)
    assert features.select("minute_of_day", "weekday").row(0) == (minute_of_day, weekday)


def test_block_time_is_from_gate_to_gate() -> None:
    spine = pl.DataFrame(
        {
            "sched_dep": [datetime(2013, 3, 9, 14, 0, tzinfo=UTC)],
            "sched_arr": [datetime(2013, 3, 10, 1, 40, tzinfo=UTC)],
        }
    )
    assert schedule_features(spine)["block_min"].to_list() == [700]
