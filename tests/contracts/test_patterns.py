"""Contracts whose columns are named by a pattern."""

from __future__ import annotations

import math

import pandera.polars as pandera
import pyarrow as pa

from featurestore.contracts.verdict import Outcome
from tests.contracts.models import chunk, gate, reasons, row


def test_a_pattern_rules_over_every_column_that_it_matches() -> None:
    class Temps(pandera.DataFrameModel):
        temps: float = pandera.Field(alias="temp.*", regex=True, ge=0, nullable=True)

    rows = chunk(row(temp=math.nan), row(temp=1.0)).append_column("temp_max", pa.array([2.0, -3.0]))
    assert reasons(gate(Temps).check(rows).refused) == [
        ["temp: not NaN (found NaN)"],
        ["temp_max: greater_than_or_equal_to(0) (found -3.0)"],
    ]


def test_a_pattern_without_a_column_refuses_the_chunk() -> None:
    class Winds(pandera.DataFrameModel):
        winds: float = pandera.Field(alias="wind.*", regex=True)

    verdict = gate(Winds).check(chunk(row()))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.reasons[0].name == "wind.*: no_regex_column_match('^wind.*$')"


def test_a_pattern_does_not_rule_over_columns_with_a_rule_of_their_own() -> None:
    class TempAndTemps(pandera.DataFrameModel):
        temp: float = pandera.Field(nullable=True)
        temps: float = pandera.Field(alias="temp.*", regex=True, ge=0, nullable=True)

    rows = chunk(row(temp=math.nan), row(temp=-1.0)).append_column("temp_max", pa.array([math.nan, 3.0]))
    assert reasons(gate(TempAndTemps).check(rows).refused) == [["temp_max: not NaN (found NaN)"]]


def test_a_pattern_left_without_a_column_refuses_the_chunk() -> None:
    class TempAndTemps(pandera.DataFrameModel):
        temp: float = pandera.Field(nullable=True)
        temps: float = pandera.Field(alias="temp.*", regex=True)

    verdict = gate(TempAndTemps).check(chunk(row()))
    assert verdict.outcome is Outcome.REFUSED
    assert [reason.name for reason in verdict.reasons] == ["temp.*: no_regex_column_match('temp.*')"]
