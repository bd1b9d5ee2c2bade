"""The data gate: whether a model may be trained on this data.

What decides:

- Columns that are gone or have another type stop, whatever is declared; so does everything that a declared check finds
  broken: rows against the contract, too few rows, old labels, more nulls.
- Values that moved (`Drift`) let train or stop, as declared.
- The first data of a pipeline has nothing to be compared with; it passes what compares, and becomes the reference.
- Before a check is asked it must refuse copies of the data that are broken in what it is about (`data_proof`); one that
  lets such a copy pass, or cannot judge, is an ERROR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from featurestore.errors import FeatureStoreError
from pipelines.definition.data_gate import Contract, DataCheck, Drift, Freshness, NullRate, Volume
from pipelines.gates.baseline import Baseline, TrainingData, make_baseline
from pipelines.gates.data_checks import judge_contract, judge_freshness, judge_nulls, judge_schema, judge_volume
from pipelines.gates.data_proof import Proof, prove, prove_schema
from pipelines.gates.drift import judge_drift
from pipelines.gates.policy import policy_digest
from pipelines.gates.verdict import CheckResult, gravest, told
from pipelines.ledger.records import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class DataVerdict:
    """What the data gate says. `policy` is the digest of the declared checks.

    `statistics` are those of the judged data, the baseline of later data once a model that learned from it is accepted;
    None when columns are missing.
    """

    verdict: Verdict
    checks: tuple[CheckResult, ...]
    policy: str
    rows: int
    statistics: Baseline | None

    @property
    def summary(self) -> str:
        """The verdict in one line, with the reasons."""
        return told("Data", self.verdict, self.checks)

    def to_json(self) -> dict[str, object]:
        """All of it but the failing rows as JSON values."""
        return {
            "verdict": self.verdict.value,
            "policy": self.policy,
            "rows": self.rows,
            "checks": [check.to_json() for check in self.checks],
            "statistics": None if self.statistics is None else self.statistics.to_json(),
        }


def judge_data(checks: Sequence[DataCheck], data: TrainingData, baseline: Baseline | None) -> DataVerdict:
    """The verdict on training data; `baseline` is the data of the champion, or None when there is none.

    Looks at the frame only. The order of its rows means nothing.
    """
    schema, statistics = judge_schema(data, baseline), None
    results = [schema]
    if schema.verdict is Verdict.PASS:
        statistics = make_baseline(data)
        reference = baseline or statistics
        results = [_judged("Schema", prove_schema(data, reference), lambda: schema)]
        results += [_result(check, data, baseline, reference) for check in checks]
    return DataVerdict(gravest(results), tuple(results), policy_digest(checks), data.frame.height, statistics)


def _result(check: DataCheck, data: TrainingData, baseline: Baseline | None, reference: Baseline) -> CheckResult:
    def judge() -> CheckResult:
        match check:
            case Contract():
                return judge_contract(check, data)
            case Volume():
                return judge_volume(check, data, baseline)
            case Freshness():
                return judge_freshness(check, data)
            case NullRate():
                return judge_nulls(check, data, baseline)
            case Drift():
                return judge_drift(check, data, baseline)

    return _judged(type(check).__name__, prove(check, data, reference), judge)


def _judged(name: str, proofs: Iterable[Proof], judge: Callable[[], CheckResult]) -> CheckResult:
    """The result of a check that has refused every broken copy; ERROR when it let one pass or cannot judge."""
    proved: list[str] = []
    try:
        for how, refused in proofs:
            if not refused:
                reason = f"It let a deliberately broken copy of the data pass ({how}), so it has no verdict."
                return CheckResult(name, Verdict.ERROR, reason, proved=tuple(proved))
            proved.append(how)
        return judge().proven(proved)
    except (FeatureStoreError, duckdb.Error, pl.exceptions.PolarsError) as error:
        return CheckResult(name, Verdict.ERROR, str(error).partition("\n")[0], proved=tuple(proved))
