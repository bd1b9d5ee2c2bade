"""The meaning of a gate's checks as a digest: another threshold, contract or order of checks is another policy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta

from featurestore.contracts.digest import contract_digest
from featurestore.timeline import duration_us
from pipelines.definition.data_gate import Contract, DataCheck
from pipelines.definition.model_gate import ModelCheck


def policy_digest(checks: Sequence[DataCheck | ModelCheck]) -> str:
    """SHA-256 over the checks as declared, in hexadecimal; a contract counts by its meaning.

    Raises InputError when the meaning of a contract cannot be written down.
    """
    meaning = [[type(check).__name__, _fields(check)] for check in checks]
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _fields(check: DataCheck | ModelCheck) -> dict[str, object]:
    if isinstance(check, Contract):
        return {"contract": contract_digest(check.model)}
    return {field.name: _written(getattr(check, field.name)) for field in dataclasses.fields(check)}


def _written(value: object) -> object:
    match value:
        case timedelta():
            return f"{duration_us(value)}us"
        case int() | float():
            return float(value)
        case list() | tuple():
            return list(value)
        case _:
            return value
