"""The model gate: whether a model may take the champion's place.

What decides:

- A model must give each test row a finite score. Every declared check must pass; what cannot be judged is no pass.
- A first model has nothing to be compared with: it needs a bound of its own (`AtLeast`), and a person's approval.
  Without thresholds nothing is approved.
- Before it is asked, each check must refuse scores that are as wrong as can be, and the gate as a whole scores that
  know nothing, shuffled and constant ones (`model_proof`); a check or a gate that lets them pass is an ERROR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.errors import FeatureStoreError
from pipelines.definition.model_gate import (
    AtLeast,
    Behaves,
    Calibration,
    Fairness,
    ModelCheck,
    NoWorseThanChampion,
    Slices,
)
from pipelines.gates.behaviour import Behaviour, judge_behaviour
from pipelines.gates.model_checks import (
    judge_bound,
    judge_calibration,
    judge_champion,
    judge_fairness,
    judge_scores,
    judge_slices,
)
from pipelines.gates.model_proof import SHUFFLES, ignorant_copies, worse_copy
from pipelines.gates.policy import policy_digest
from pipelines.gates.scored import ScoredRows
from pipelines.gates.verdict import CheckResult, gravest, told
from pipelines.ledger.records import Verdict

Judged = AtLeast | NoWorseThanChampion | Slices | Fairness | Calibration

_CHEAPEST_FIRST = (AtLeast, Calibration, Slices, Fairness, NoWorseThanChampion)


@dataclass(frozen=True, slots=True, eq=False)
class ModelVerdict:
    """What the model gate says. `policy` is the digest of the declared checks.

    `needs_approval`: there is no champion, so a model that passes waits for a person. `groups` are the values of each
    column that the model was judged on, which the next model is judged on too (`ScoredRows.known`).
    """

    verdict: Verdict
    checks: tuple[CheckResult, ...]
    policy: str
    needs_approval: bool
    groups: dict[str, tuple[str, ...]]

    @property
    def summary(self) -> str:
        """The verdict in one line, with the reasons."""
        said = told("Model", self.verdict, self.checks)
        return f"{said} A first model waits for approval." if self.needs_approval and self.verdict.passed else said

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "verdict": self.verdict.value,
            "policy": self.policy,
            "needs_approval": self.needs_approval,
            "checks": [check.to_json() for check in self.checks],
            "groups": {column: list(values) for column, values in self.groups.items()},
        }


def judge_model(checks: Sequence[ModelCheck], rows: ScoredRows, behaviour: Behaviour | None = None) -> ModelVerdict:
    """The verdict on a model by its scores of test rows, beside the champion's of the same rows.

    `behaviour` is what it did in a real server; a declared `Behaves` without it is INCONCLUSIVE. To judge the scores
    before the server is tried, leave `Behaves` out of the checks, and judge it later with `judge_behaviour`. The order
    of the rows means nothing but to the bootstrap.
    """
    results, unbound = [judge_scores(rows)], _unbound(checks, rows)
    if results[0].verdict is Verdict.PASS:
        asked = [check for check in checks if not isinstance(check, Behaves)]
        results += [_proven(check, rows) for check in asked]
        results.append(unbound or _prove_whole(asked, rows))
    results += [judge_behaviour(check, behaviour) for check in checks if isinstance(check, Behaves)]
    groups: dict[str, tuple[str, ...]] = {}
    for result in results:
        for column, values in result.details.get("slices", {}).items():  # type: ignore[attr-defined]  # by column
            groups[column] = tuple(sorted({*groups.get(column, ()), *values}))
    return ModelVerdict(gravest(results), tuple(results), policy_digest(checks), rows.champion is None, groups)


def _unbound(checks: Sequence[ModelCheck], rows: ScoredRows) -> CheckResult | None:
    """An INCONCLUSIVE result when the gate declares nothing that could approve this model."""
    if all(isinstance(check, Behaves) for check in checks):
        reason = "The gate declares no threshold, so nothing can be approved; add AtLeast."
    elif rows.champion is None and not any(isinstance(check, AtLeast) for check in checks):
        reason = "There is no champion to compare with, and the gate declares no bound of its own; add AtLeast."
    else:
        return None
    return CheckResult("Thresholds", Verdict.INCONCLUSIVE, reason)


def _proven(check: Judged, rows: ScoredRows) -> CheckResult:
    """The result of a check that has refused a worse copy; ERROR when it let the copy pass or cannot judge."""
    name = type(check).__name__
    try:
        copy = worse_copy(check, rows)
        proved: tuple[str, ...] = ()
        # without a champion nothing can be worse than it
        if copy is not None and not (isinstance(check, NoWorseThanChampion) and rows.champion is None):
            how, worse = copy
            if _judged(check, worse).verdict is Verdict.PASS:
                reason = f"It let a deliberately worse copy of the scores pass ({how}), so it has no verdict."
                return CheckResult(name, Verdict.ERROR, reason)
            proved = (how,)
        return _judged(check, rows).proven(proved)
    except FeatureStoreError as error:
        return CheckResult(name, Verdict.ERROR, str(error))


def _judged(check: Judged, rows: ScoredRows) -> CheckResult:
    match check:
        case AtLeast():
            return judge_bound(check, rows)
        case NoWorseThanChampion():
            return judge_champion(check, rows)
        case Slices():
            return judge_slices(check, rows)
        case Fairness():
            return judge_fairness(check, rows)
        case Calibration():
            return judge_calibration(check, rows)


def _prove_whole(checks: Sequence[Judged], rows: ScoredRows) -> CheckResult:
    """PASS when all checks together refuse scores that know nothing."""
    passed: dict[str, int] = {}
    ordered = sorted(checks, key=lambda check: _CHEAPEST_FIRST.index(type(check)))
    try:
        for how, copy in ignorant_copies(rows):
            if all(_judged(check, copy).verdict is Verdict.PASS for check in ordered):
                passed[how] = passed.get(how, 0) + 1
    except FeatureStoreError as error:
        return CheckResult("Proof", Verdict.ERROR, str(error))
    for how, times in passed.items():
        if how == "constant scores" or 2 * times > SHUFFLES:
            reason = f"The gate let {how} pass, which know nothing of the rows; give AtLeast a bound that they miss."
            return CheckResult("Proof", Verdict.ERROR, reason)
    return CheckResult("Proof", Verdict.PASS, "The gate refuses scores that are shuffled or constant.")
