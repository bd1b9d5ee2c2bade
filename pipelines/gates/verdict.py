"""What a gate says: of each check, and of all together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from pipelines.ledger.records import Verdict

_GRAVEST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS_DRIFTED, Verdict.PASS)


@dataclass(frozen=True, slots=True, eq=False)
class CheckResult:
    """What one check says, in one sentence, with what it found as JSON values.

    `failing` has the rows that fail, with their reasons in `__reasons`, where single rows can fail. `proved` names the
    broken copies that the check refused before it was asked; a check that let one pass is an ERROR.
    """

    name: str
    verdict: Verdict
    reason: str
    details: Mapping[str, object] = field(default_factory=dict)
    failing: pl.DataFrame | None = None
    proved: tuple[str, ...] = ()

    def proven(self, breakages: Iterable[str]) -> CheckResult:
        """The same, with the breakages that the check refused."""
        return replace(self, proved=tuple(breakages))

    def to_json(self) -> dict[str, object]:
        """All of it but the failing rows, of which the number, as JSON values."""
        return {
            "check": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "details": dict(self.details),
            "failing_rows": 0 if self.failing is None else self.failing.height,
            "proved": list(self.proved),
        }


def gravest(checks: Iterable[CheckResult]) -> Verdict:
    """The verdict of a gate: that of its gravest check; PASS of none."""
    found = {check.verdict for check in checks}
    return next((verdict for verdict in _GRAVEST_FIRST if verdict in found), Verdict.PASS)


def told(what: str, verdict: Verdict, checks: Iterable[CheckResult]) -> str:
    """The verdict in one line: the reasons of the checks that decided it."""
    reasons = [f"{check.name}: {check.reason}" for check in checks if check.verdict == verdict]
    if verdict is Verdict.PASS:
        return f"{what}: PASS, {len(reasons)} {'check' if len(reasons) == 1 else 'checks'}."
    return f"{what}: {verdict.value}. {' '.join(reasons)}"
