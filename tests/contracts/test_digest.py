"""The digest of a contract's meaning, and the names contracts are stored by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandera.polars as pandera
import pytest

from featurestore.contracts.digest import contract_digest
from featurestore.contracts.reference import contract_reference, load_contract
from featurestore.errors import InputError
from tests.contracts.models import NotFarAboveAverage, Weather

SOURCE = '''
from __future__ import annotations
import re
from typing import Annotated, Optional
import pandera.polars as pandera
import polars as pl

LIMIT = 5

def warm(values: pl.Expr) -> pl.Expr:
    return values > LIMIT

def closing_over(bound):
    def inside(cls, data):
        return data.lazyframe.select(pl.col(data.key) < bound)
    return pandera.check("temp")(classmethod(inside))

class Contract(pandera.DataFrameModel):
    """Said of weather."""
    airport: str = pandera.Field(isin=["JFK", "LGA", "EWR"], description="where")
    temp: float = pandera.Field(ge=-60, nullable=True)
    code: Optional[str] = pandera.Field(str_matches=re.compile("[a-z]+"))
    _floor = 3
    below = closing_over(100)

    @pandera.check("temp")
    @classmethod
    def is_warm(cls, data):
        return data.lazyframe.select(warm(pl.col(data.key)) & (pl.col(data.key) > cls._floor))

    class Config:
        strict = True
'''

Digest = Callable[[str], str]


@pytest.fixture
def digest(tmp_path: Path) -> Digest:
    """The digest of `Contract` in a module of the given text, computed in a process of its own."""
    count = iter(range(10))

    def compute(source: str) -> str:
        number = next(count)
        module = tmp_path / f"contract_{number}.py"
        module.write_text(source)
        program = (
            f"from contract_{number} import Contract; from featurestore.contracts.digest import contract_digest; "
            "print(contract_digest(Contract))"
        )
        environment = os.environ | {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{tmp_path}", "PYTHONHASHSEED": str(number)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return compute


def test_what_means_nothing_does_not_change_the_digest(digest: Digest) -> None:
    told_otherwise = SOURCE.replace("Said of weather.", "Another word.").replace('description="where"', 'title="x"')
    reordered = told_otherwise.replace('["JFK", "LGA", "EWR"]', '["EWR", "JFK", "LGA"]')
    assert digest(SOURCE) == digest(reordered)


def in_process_digest(tmp_path: Path, source: str, name: str) -> str:
    (tmp_path / f"{name}.py").write_text(source)
    return contract_digest(load_contract(f"{name}:Contract"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ge=-60", "ge=-59"),
        ("ge=-60", "gt=-60"),
        ("ge=-60, nullable=True", "ge=-60"),
        ('"EWR"]', '"EWR", "HPN"]'),
        ("Optional[str]", "str"),
        ("temp: float", "temp: pl.Float32"),
        ("[a-z]+", "[a-z]*"),
        ("re.compile", "str"),
        ("strict = True", "strict = False"),
        ("strict = True", 'strict = True; unique = ["airport"]'),
        ("strict = True", "strict = True; dtype = pl.String"),
        ('@pandera.check("temp")\n', '@pandera.check("temp", element_wise=True)\n'),
        ("values > LIMIT", "values >= LIMIT"),  # a helper of the check's module
        ("LIMIT = 5", "LIMIT = 6"),  # a constant that the helper reads
        ("closing_over(100)", "closing_over(101)"),  # a value that the check closes over
        ("_floor = 3", "_floor = 4"),  # an attribute of the model that the check reads
        ('code: Optional[str] = pandera.Field(str_matches=re.compile("[a-z]+"))', ""),
        ("[a-z]+\"))", "[a-z]+\"), unique=True)"),
        ("nullable=True", "nullable=True, ignore_na=False"),
    ],
)  # fmt: skip
def test_every_change_of_meaning_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    changed = SOURCE.replace(before, after)
    assert changed != SOURCE
    tag = abs(hash((before, after)))
    assert in_process_digest(tmp_path, SOURCE, f"old_{tag}") != in_process_digest(tmp_path, changed, f"new_{tag}")


def test_an_argument_without_a_written_form_is_refused() -> None:
    class Odd(pandera.DataFrameModel):
        temp: float

        @pandera.check("temp", bound=object())
        @classmethod
        def below(cls, data: object, bound: object) -> bool:
            return True

    with pytest.raises(InputError, match="check below uses a object, which has no written form"):
        contract_digest(Odd)


def test_a_reference_leads_back_to_the_contract() -> None:
    assert contract_reference(Weather) == "tests.contracts.models:Weather"
    assert load_contract("tests.contracts.models:Weather") is Weather


def test_a_contract_that_no_other_process_finds_has_no_reference() -> None:
    class Inside(pandera.DataFrameModel):
        temp: float

    with pytest.raises(InputError, match="defined inside a function; move it to the top of its module"):
        contract_reference(Inside)
    main = type("Main", (pandera.DataFrameModel,), {"__module__": "__main__"})
    with pytest.raises(InputError, match="Contract Main is defined in the program that is run"):
        contract_reference(main)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Weather", "'Weather' is no contract; write module:Class"),
        ("tests.contracts.models:Whether", "cannot be loaded: module .* has no attribute 'Whether'"),
        ("no.such.module:Weather", "cannot be loaded: No module named 'no'"),
        ("tests.contracts.models:row", "found a function"),
    ],
)
def test_a_reference_to_no_contract_is_refused(reference: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        load_contract(reference)


def test_decorated_methods_count_by_their_own_source() -> None:
    class Renamed(NotFarAboveAverage):
        pass

    assert contract_digest(Renamed) == contract_digest(NotFarAboveAverage)
