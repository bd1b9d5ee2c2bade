"""Lookups with request-time features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from featurestore.dtypes import Date, DType, Float64, Int64, String, Timestamp, Vector
from featurestore.errors import ConfigurationError, InputError
from featurestore.online.lookup import Lookup
from featurestore.online.memory import MemoryOnlineStore
from featurestore.plan.lookup import LookupPlan
from featurestore.plan.on_demand import Expressions, OnDemandStep
from tests.online.lookups import (
    NOT_FOUND,
    NOW_US,
    NULL_VALUE,
    PRESENT,
    STATS,
    at,
    published,
)


class TestRequestTime:
    """Request-time features, with an evaluator that stands in for `on_demand`."""

    STEP = OnDemandStep(
        "trip",
        inputs=(("hour", "hour", Int64), ("spend", "spend", Float64)),
        outputs=(("late", "late", Float64),),
        computation=Expressions(()),
    )
    PLAN = LookupPlan(
        "svc", (STATS,), (STEP,), (("hour", Int64),), (("late", Float64), ("spend", Float64))
    )  # fmt: skip

    @staticmethod
    def evaluate(steps: Sequence[OnDemandStep], frame: pl.DataFrame) -> pl.DataFrame:
        assert frame.schema == {"spend": pl.Float64, "hour": pl.Int64}  # what is read, no join key
        return frame.with_columns(late=pl.col("hour") * pl.col("spend"))

    @pytest.fixture
    def lookup(self) -> Lookup:
        store = published(STATS, {1: [(10, None, 1.5)], 2: [(10, None, 2.0)]})
        return Lookup(self.PLAN, store, self.evaluate)

    def test_they_see_stored_features_and_the_request(self, lookup: Lookup) -> None:
        rows = [{"user": 1}, {"user": 2}, {"user": 3}]
        answer = lookup.answer(rows, [{"hour": 2}, {"hour": None, "extra": 1}, {"hour": 4}], at_us=NOW_US)
        assert answer.to_dict() == {"user": [1, 2, 3], "late": [3.0, None, None], "spend": [1.5, 2.0, None]}
        assert answer.statuses == {
            "late": [PRESENT, NULL_VALUE, NULL_VALUE],
            "spend": [PRESENT, PRESENT, NOT_FOUND],
        }
        assert answer.event_timestamps == {"late": [None] * 3, "spend": [at(10), at(10), None]}

    @pytest.mark.parametrize("request_rows", [None, [], [{"hour": 1}, {"hour": 2}]])
    def test_the_request_has_a_row_for_each_entity_row(self, lookup: Lookup, request_rows: Any) -> None:
        found = len(request_rows or ())
        with pytest.raises(InputError, match=rf"reads hour \(Int64\) from the request: .* found {found} for 1"):
            lookup.answer([{"user": 1}], request_rows)

    @pytest.mark.parametrize(
        ("dtype", "value", "message"),
        [
            (Int64, "7", "The request's column 'hour' must be Int64"),
            (Int64, 7.5, "The request's column 'hour' must be Int64"),
            (Int64, True, "must be Int64, found bool True"),
            (Int64, 2**63, "The request's column 'hour' must be Int64"),
            (String, 7, "The request's column 'hour' must be String"),
            (Date, datetime(2024, 1, 1, tzinfo=UTC), "must be Date, found datetime"),
            (Timestamp, date(2024, 1, 1), "must be Timestamp, found date"),
            (Timestamp, datetime(2024, 1, 1), "The request's column 'hour': 2024-01-01T00:00:00 has no time zone"),  # noqa: DTZ001
            (Vector(Float64, 2), [1.0], "The request's column 'hour' must be Vector(Float64, 2)"),
        ],
    )
    def test_a_request_value_of_another_type_is_refused(self, dtype: DType, value: object, message: str) -> None:
        plan = replace(self.PLAN, request=(("hour", dtype),))
        with pytest.raises(InputError) as refused:
            Lookup(plan, published(STATS, {}), self.evaluate).answer([{"user": 1}], [{"hour": value}])
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_a_missing_request_column_is_named(self, lookup: Lookup) -> None:
        with pytest.raises(
            InputError, match=r"The request lacks column 'hour' \(Int64\); where it is unknown, give None"
        ):
            lookup.answer([{"user": 1}], [{"our": 1}])

    def test_without_join_keys_the_request_says_how_many_rows(self) -> None:
        plan = replace(self.PLAN, views=(), outputs=(("late", Float64),))
        lookup = Lookup(plan, MemoryOnlineStore(), lambda steps, frame: frame.with_columns(late=pl.col("hour") * 1.0))
        assert lookup.answer([], [{"hour": 1}, {"hour": 2}]).to_dict() == {"late": [1.0, 2.0]}

    def test_what_reads_nothing_is_computed_for_each_row(self) -> None:
        step = replace(self.STEP, inputs=())
        plan = replace(self.PLAN, on_demand=(step,), request=())
        store = published(STATS, {1: [(10, None, 1.5)]})
        lookup = Lookup(plan, store, lambda steps, frame: frame.with_columns(late=pl.lit(7.0)))
        answer = lookup.answer([{"user": 1}, {"user": 2}], at_us=NOW_US)
        assert answer.to_dict() == {"user": [1, 2], "late": [7.0, 7.0], "spend": [1.5, None]}

    def test_a_plan_with_request_time_features_needs_an_evaluator(self) -> None:
        with pytest.raises(ConfigurationError, match="'svc' has request-time features"):
            Lookup(self.PLAN, MemoryOnlineStore())
