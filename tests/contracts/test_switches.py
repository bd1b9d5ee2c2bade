"""What pandera's switches do to a gate, and what loading the room costs: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

JUDGE = """
from tests.contracts.models import Weather, chunk, gate, row
try:
    print(gate(Weather).check(chunk(row(temp=-273.0))).outcome)
except Exception as error:
    print(type(error).__name__, error)
"""


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_gate_refuses_the_row_when_nothing_is_switched() -> None:
    assert run(JUDGE) == "refused"


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("PANDERA_VALIDATION_ENABLED", "false"),
        ("PANDERA_VALIDATION_ENABLED", "no"),  # pandera takes every word but true for false
        ("PANDERA_VALIDATION_DEPTH", "SCHEMA_ONLY"),
        ("PANDERA_VALIDATION_DEPTH", "DATA_ONLY"),
        ("PANDERA_USE_NARWHALS_BACKEND", "true"),
    ],
)
def test_switched_off_validation_is_refused_and_not_skipped(switch: str, value: str) -> None:
    answer = run(JUDGE, **{switch: value})
    assert answer.startswith("GateRefused Contracts ")
    assert f"Unset {switch}" in answer


def test_validation_switched_off_in_the_program_is_refused() -> None:
    inside = "with __import__('pandera').config.config_context(validation_enabled=False):\n"
    body = "".join(f"    {line}\n" for line in JUDGE.strip().splitlines())
    assert run(inside + body).startswith("GateRefused Contracts cannot be checked: pandera's validation is disabled")


def test_a_gate_without_a_contract_works_without_pandera() -> None:
    program = """
import sys
import pyarrow as pa
import featurestore.contracts, featurestore.contracts.quarantine
from featurestore.contracts.gate import Gate
from featurestore.dtypes import String
from featurestore.plan.nodes import Column
gate = Gate(view="names", keys=(Column("id", String),), columns=(), event_timestamp=None)
print(gate.check(pa.table({"id": ["a", None]})).outcome, "pandera" in sys.modules)
"""
    assert run(program, PANDERA_VALIDATION_ENABLED="false") == "refused False"


def test_the_room_itself_loads_nothing_heavy() -> None:
    heavy = ["polars", "pandera", "pyarrow"]
    program = f"import sys, featurestore.contracts; print([m for m in {heavy} if m in sys.modules])"
    assert run(program) == "[]"
