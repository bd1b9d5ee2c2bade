"""The model gate: every declared check, and no approval without a bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featurestore.errors import UnknownNameError
from pipelines.definition.model_gate import AtLeast, Behaves, Fairness, ModelCheck, Slices
from pipelines.gates.policy import policy_digest
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict
from pipelines.model_gate.checks import SlicesKnown, Trial, judge, slice_values
from pipelines.reports import GateReport


def judge_model(checks: Sequence[ModelCheck], trial: Trial) -> GateReport:
    """The verdict on a model's scores; without any check INCONCLUSIVE, and a first model needs a bound."""
    results = [result for check in checks if (result := judge(check, trial)) is not None]
    if not results:
        results = [_no_bound("The pipeline declares no threshold for its model, so none is ever approved.")]
    elif trial.champion is None and not any(isinstance(check, AtLeast) for check in checks):
        results.append(
            _no_bound("A first model needs an absolute bound (AtLeast), for there is nothing to compare it with.")
        )
    policy = policy_digest([check for check in checks if not isinstance(check, Behaves)])
    return GateReport.of("model", policy, results)


def sliced_columns(checks: Iterable[ModelCheck], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that slices and groups are made by; raises UnknownNameError for one that the rows do not have."""
    found: dict[str, None] = {}
    for check in checks:
        match check:
            case Slices(by=by):
                found |= dict.fromkeys(by)
            case Fairness(group=group):
                found[group] = None
    for name in found:
        if name not in columns:
            raise UnknownNameError("column", name, columns, "the training set; list it in the keys of the labels")
    return tuple(found)


def judged_slices(checks: Iterable[ModelCheck], trial: Trial) -> SlicesKnown:
    """The slices that have rows enough, by column: what the next model is expected to be judged in."""
    return {
        column: tuple(value for value, _ in slice_values(trial, column, check.metric, check.min_rows))
        for check in checks
        if isinstance(check, Slices)
        for column in check.by
    }


def bounded(report: GateReport) -> bool:
    """Whether the model met every absolute bound (AtLeast), and there is one."""
    bounds = [check for check in report.checks if str(check["check"]).startswith(AtLeast.__name__)]
    return bool(bounds) and all(check["verdict"] == Verdict.PASS for check in bounds)


def _no_bound(message: str) -> CheckResult:
    return CheckResult("Thresholds", Verdict.INCONCLUSIVE, message)
