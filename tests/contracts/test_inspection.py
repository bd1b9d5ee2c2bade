"""Which pandera models can stand as contracts."""

from __future__ import annotations

import pandera.polars as pandera
import polars as pl
import pytest
from pandera.api.polars.types import PolarsData
from pandera.pandas import DataFrameModel as PandasModel
from pandera.pandas import parser

from featurestore.contracts.inspection import ContractColumn, contract_columns, inspect_contract
from featurestore.contracts.model import ContractModel
from featurestore.errors import InputError
from tests.contracts.models import OptionalColumns, Weather, gate


class NoColumns(pandera.DataFrameModel):
    @pandera.dataframe_check
    @classmethod
    def never(cls, data: object) -> bool:
        return False


class CoercesAll(Weather):
    class Config:
        coerce = True


class CoercesOne(pandera.DataFrameModel):
    temp: float = pandera.Field(coerce=True)


class HasDefault(pandera.DataFrameModel):
    temp: float = pandera.Field(default=0.0)


class Filters(Weather):
    class Config:
        strict = "filter"


class AddsColumns(Weather):
    class Config:
        add_missing_columns = True


class DropsRows(Weather):
    class Config:
        drop_invalid_rows = True


class Ordered(Weather):
    class Config:
        ordered = True


class UniqueElsewhere(Weather):
    class Config:
        unique = ["airport", "station"]  # noqa: RUF012  # pandera's configuration


class Grouped(pandera.DataFrameModel):
    temp: float
    airport: str

    @pandera.check("temp", groupby="airport")
    @classmethod
    def warmer_in_la(cls, groups: object) -> bool:
        return False


class OnlyWarns(pandera.DataFrameModel):
    temp: float = pandera.Field(ge=0, raise_warning=True)


class ReadsNoSource(pandera.DataFrameModel):
    temp: float

    compiled = pandera.check("temp")(eval("lambda cls, data: False", {}))


class Parses(pandera.DataFrameModel):
    temp: float

    @parser("temp")
    @classmethod
    def absolute(cls, data: object) -> object:
        return data


class OfPandas(PandasModel):
    temp: float


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (NoColumns, "it declares no columns, so it would let everything pass"),
        (CoercesAll, "coerce=True checks other data than is published"),
        (CoercesOne, "column 'temp': coerce=True"),
        (HasDefault, "column 'temp': a default replaces nulls"),
        (Filters, "strict='filter' removes columns"),
        (AddsColumns, "add_missing_columns=True adds columns"),
        (DropsRows, 'declare on_refusal="drop" on the view'),
        (Ordered, "ordered=True"),
        (UniqueElsewhere, "unique names 'station', which it does not declare"),
        (Grouped, "column 'temp': check warmer_in_la has a groupby, which pandera ignores on polars"),
        (OnlyWarns, r"check greater_than_or_equal_to\(0\) only warns"),
        (ReadsNoSource, "the source of check <lambda> cannot be read"),
        (Parses, "pandera cannot build its schema: user-defined parsers are not supported"),
        (OfPandas, r"subclass of pandera.polars.DataFrameModel, found tests.contracts.test_inspection.OfPandas"),
        (Weather.to_schema(), "found a DataFrameSchema"),
    ],
)
def test_a_contract_that_is_no_gate_is_refused_when_declared(model: ContractModel, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        inspect_contract(model)
    with pytest.raises(InputError, match=fault):
        gate(model)


def test_pandera_itself_ignores_a_groupby() -> None:
    seen: list[object] = []

    class Watching(pandera.DataFrameModel):
        temp: float
        airport: str

        @pandera.check("temp", groupby="airport")
        @classmethod
        def watch(cls, groups: object) -> bool:
            seen.append(groups)
            return True

    frame = pl.DataFrame({"temp": [1.0, 2.0], "airport": ["LAX", "JFK"]})
    Watching.to_schema().validate(frame, lazy=True)
    assert [type(groups) for groups in seen] == [PolarsData]  # the whole column, where pandas gets a dict of groups


def test_all_faults_are_told_at_once() -> None:
    class Many(Weather):
        temp: float = pandera.Field(coerce=True, default=1.0)

        class Config:
            ordered = True

    with pytest.raises(InputError) as refused:
        inspect_contract(Many)
    assert all(fault in str(refused.value) for fault in ("ordered=True", "coerce=True", "a default replaces nulls"))


@pytest.mark.parametrize("model", [Weather, OptionalColumns])
def test_a_contract_that_only_checks_is_fine(model: ContractModel) -> None:
    inspect_contract(model)


def test_the_columns_of_a_contract_are_told_with_what_they_ask_for() -> None:
    class Mixed(OptionalColumns):
        airport: str
        temps: float = pandera.Field(alias="temp.*", regex=True)

    assert contract_columns(Mixed) == (
        ContractColumn("missing", required=False),
        ContractColumn("airport", required=True),
        ContractColumn("temp.*", required=True, pattern=True),
    )
