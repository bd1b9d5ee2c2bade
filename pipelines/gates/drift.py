"""How far the values of training data moved from those of the data before, judged against the number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.definition.data_gate import Drift
from pipelines.gates.baseline import Baseline, TrainingData
from pipelines.gates.counting import Counts, count_columns
from pipelines.gates.data_checks import unknown
from pipelines.gates.distances import DISTANCE, noise, shares_of
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict

State = Literal["stable", "drifted", "unclear", "too few rows"]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """A column beside its baseline: each distance, and `noise`, what it stays below by chance at these sizes.

    `ks` has no value for texts, which have no order. `state` is "unclear" when a distance is above its threshold, but
    within what chance gives at this size; `beyond` names the distances that are above their thresholds.
    """

    column: str
    rows: int
    before_rows: int
    distances: Mapping[str, float]
    noise: Mapping[str, float]
    state: State
    beyond: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "column": self.column,
            "state": self.state,
            "rows": self.rows,
            "before_rows": self.before_rows,
            "distances": dict(self.distances),
            "noise": dict(self.noise),
            "beyond": list(self.beyond),
        }


def measure_drift(check: Drift, data: TrainingData, baseline: Baseline) -> tuple[ColumnDrift, ...]:
    """The columns that both have and a threshold is for, those that moved farthest first.

    Each is counted in the baseline's bins; ks alone is for no column of texts.
    """
    names = [name for name in check.columns or data.judged if name in baseline.columns]
    names = [n for n in names if set(check.thresholds) != {"ks"} or not _is_text(baseline.columns[n].dtype)]
    counts = count_columns(data.frame, {name: baseline.columns[name].bins for name in names})
    found = [_column(check, name, baseline, counts[name]) for name in names]
    return tuple(sorted(found, key=lambda drift: _excess(check, drift), reverse=True))


def _column(check: Drift, name: str, baseline: Baseline, counts: Counts) -> ColumnDrift:
    was = baseline.columns[name]
    before, after = was.counts.in_order, counts.in_order
    if not was.counts.rows or not counts.rows:
        return ColumnDrift(name, counts.rows, was.counts.rows, {}, {}, "too few rows", ())
    wanted = [what for what in DISTANCE if what != "ks" or not _is_text(was.dtype)]
    distances = {what: DISTANCE[what](shares_of(before), shares_of(after)) for what in wanted}
    chance = noise(before, after)
    beyond = tuple(w for w, threshold in check.thresholds.items() if distances.get(w, 0.0) > threshold)
    state: State = "stable"
    if min(counts.rows, was.counts.rows) < check.min_rows:
        state = "too few rows"
    elif beyond:
        state = "drifted" if any(distances[what] > chance[what] for what in beyond) else "unclear"
    return ColumnDrift(name, counts.rows, was.counts.rows, distances, {w: chance[w] for w in wanted}, state, beyond)


def _is_text(dtype: str) -> bool:
    return dtype.partition("(")[0] in ("String", "Boolean", "Categorical", "Enum")


def _excess(check: Drift, drift: ColumnDrift) -> float:
    return max((drift.distances.get(what, 0.0) / limit for what, limit in check.thresholds.items()), default=0.0)


def judge_drift(check: Drift, data: TrainingData, baseline: Baseline | None) -> CheckResult:
    """PASS_DRIFTED or FAIL, as declared, when a column moved; INCONCLUSIVE when the rows are too few to tell."""
    if missing := unknown(tuple(check.columns or ()), data):
        return CheckResult("Drift", Verdict.ERROR, missing)
    if baseline is None:
        return CheckResult("Drift", Verdict.PASS, "There is no earlier data to compare with.")
    found = measure_drift(check, data, baseline)
    left_out = {n for n in check.columns or () if n in baseline.columns} - {drift.column for drift in found}
    if left_out or not found:
        what = f"Column '{min(left_out)}' has no order" if left_out else "No column that both have has an order"
        return CheckResult("Drift", Verdict.ERROR, f"{what} that ks could judge; give psi, js or linf.")
    details = {"thresholds": check.thresholds, "columns": [drift.to_json() for drift in found]}
    few = [drift for drift in found if drift.state == "too few rows"]
    moved = [drift for drift in found if drift.state == "drifted"]
    unclear = [drift for drift in found if drift.state == "unclear"]
    if few:
        reason = (
            f"There are {few[0].rows:,} rows, and {few[0].before_rows:,} before; "
            f"at least {check.min_rows} on either side tell drift from chance."
        )
        return CheckResult("Drift", Verdict.INCONCLUSIVE, reason, details)
    if moved:
        verdict = Verdict.PASS_DRIFTED if check.on_drift == "retrain" else Verdict.FAIL
        return CheckResult("Drift", verdict, f"Values moved: {_told(check, moved)}.", details)
    if unclear:
        reason = f"So few rows move that far by chance: {_told(check, unclear)}."
        return CheckResult("Drift", Verdict.INCONCLUSIVE, reason, details)
    return CheckResult("Drift", Verdict.PASS, f"None of {len(found)} columns moved beyond its threshold.", details)


def _told(check: Drift, drifts: list[ColumnDrift]) -> str:
    texts = [
        f"'{drift.column}' "
        + " and ".join(f"{what} {drift.distances[what]:.3f} above {check.thresholds[what]:g}" for what in drift.beyond)
        for drift in drifts[:_SHOWN]
    ]
    more = [f"and {len(drifts) - _SHOWN} more"] if len(drifts) > _SHOWN else []
    return "; ".join([*texts, *more])
