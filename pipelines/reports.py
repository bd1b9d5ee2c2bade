"""What a gate said, as JSON values: what steps hand on and the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from pipelines.gates.verdict import CheckResult, gravest, told
from pipelines.ledger.records import Verdict


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """A gate's verdict with what each check found (`CheckResult.to_json`); `policy` is the digest of the checks."""

    gate: str
    verdict: Verdict
    policy: str
    summary: str
    checks: tuple[dict[str, object], ...]

    @staticmethod
    def of(gate: str, policy: str, checks: Iterable[CheckResult], verdict: Verdict | None = None) -> GateReport:
        """The report of checks; by default the gravest verdict is that of all."""
        results = tuple(checks)
        found = gravest(results) if verdict is None else verdict
        summary = told(gate.capitalize(), found, results)
        return GateReport(
            gate=gate,
            verdict=found,
            policy=policy,
            summary=summary,
            checks=tuple(msgspec.to_builtins(result.to_json(), enc_hook=_plain) for result in results),
        )


def _plain(value: object) -> object:
    """A number of numpy's as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} is no JSON value")
