"""A gate proves that it can refuse, and gives no verdict when it cannot."""

from __future__ import annotations

import pandera.polars as pandera
import polars as pl
import pytest
from pandera.api.polars.container import DataFrameSchema

from featurestore.contracts import gate as gate_module
from featurestore.errors import GateRefused
from tests.contracts.models import OptionalColumns, Weather, chunk, gate, row


def test_a_contract_that_cannot_refuse_gives_no_verdict() -> None:
    class Blind(DataFrameSchema):
        def validate(self, check_obj: object, *args: object, **options: object) -> object:  # type: ignore[override]
            return check_obj

    class LetsAllPass(Weather):
        @classmethod
        def to_schema(cls) -> DataFrameSchema:
            schema = super().to_schema()
            return Blind(schema.columns, name="LetsAllPass")

    with pytest.raises(GateRefused, match="LetsAllPass let a deliberately broken chunk pass: column 'airport'"):
        gate(LetsAllPass).check(chunk(row()))


def test_a_contract_that_changes_data_gives_no_verdict() -> None:
    class Generous(DataFrameSchema):
        def validate(self, check_obj: pl.DataFrame, *args: object, **options: object) -> pl.DataFrame:  # type: ignore[override]
            return Weather.to_schema().validate(check_obj, lazy=True).with_columns(temp=pl.lit(20.0))

    class ChangesTemp(Weather):
        @classmethod
        def to_schema(cls) -> DataFrameSchema:
            return Generous(super().to_schema().columns, name="ChangesTemp")

    with pytest.raises(GateRefused, match="Contract ChangesTemp changes the data that it checks"):
        gate(ChangesTemp).check(chunk(row()))


def test_a_contract_that_sees_none_of_its_columns_gives_no_verdict() -> None:
    with pytest.raises(GateRefused, match="OptionalColumns looks at no column of this chunk"):
        gate(OptionalColumns).check(chunk(row()))


def test_declared_rules_that_cannot_refuse_give_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "row_failures", lambda chunk, shape: ())
    with pytest.raises(GateRefused, match=r"let a deliberately broken chunk pass \(__event_timestamp, airport\)"):
        gate().check(chunk(row()))


def test_a_pattern_that_polars_cannot_read_gives_no_verdict() -> None:
    class NoLookAhead(pandera.DataFrameModel):
        temps: float = pandera.Field(alias="(?!dew)temp", regex=True)

    with pytest.raises(GateRefused, match="Contract NoLookAhead cannot be evaluated: invalid regex"):
        gate(NoLookAhead).check(chunk(row()))
