"""One judgement per declared check of a model's scores on the test rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.definition.metrics import METRICS, Kind
from pipelines.definition.model_gate import AtLeast, Calibration, Fairness, ModelCheck, NoWorseThanChampion, Slices
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict
from pipelines.metrics import Numbers, measured, scorer

SCORE, CHAMPION_SCORE = "__score", "__champion_score"
SlicesKnown = Mapping[str, tuple[str, ...]]  # by column, the values that had rows enough


@dataclass(frozen=True, slots=True)
class Trial:
    """The test rows with the label, the columns of slices, SCORE and, beside a champion, CHAMPION_SCORE.

    `champion` is its version, `slices` are those in which it was judged.
    """

    rows: pl.DataFrame
    label: str
    kind: Kind
    champion: int | None = None
    slices: SlicesKnown | None = None

    def numbers(self, rows: pl.DataFrame | None = None, score: str = SCORE) -> tuple[Numbers, Numbers]:
        """Labels and scores of all rows, or of some."""
        chosen = self.rows if rows is None else rows
        return chosen[self.label].cast(pl.Float64).to_numpy(), chosen[score].cast(pl.Float64).to_numpy()

    def value(self, metric: str, rows: pl.DataFrame | None = None, score: str = SCORE) -> float:
        """The metric over all rows, or some; NaN where it is undefined."""
        found = measured(metric, *self.numbers(rows, score))
        return math.nan if found is None else found


def judge(check: ModelCheck, trial: Trial) -> CheckResult | None:
    """What a check says of the scores; None for one that is about serving."""
    match check:
        case AtLeast():
            return _at_least(check, trial)
        case NoWorseThanChampion():
            return _no_worse(check, trial)
        case Slices():
            return _slices(check, trial)
        case Fairness():
            return _fairness(check, trial)
        case Calibration():
            return _calibration(check, trial)
        case _:
            return None


def _at_least(check: AtLeast, trial: Trial) -> CheckResult:
    value = trial.value(check.metric)
    higher = METRICS[check.metric].higher
    name = f"AtLeast {check.metric}"
    wanted = f"{'at least' if higher else 'at most'} {check.bound:g}"
    found = {"value": value, "bound": check.bound, "rows": trial.rows.height}
    if not np.isfinite(value):
        return _result(name, Verdict.INCONCLUSIVE, f"{check.metric} is not defined on the test rows.", found)
    good = value >= check.bound if higher else value <= check.bound
    message = f"{check.metric} is {value:.4f}; {wanted} is asked."
    return _result(name, Verdict.PASS if good else Verdict.FAIL, message, found)


def _no_worse(check: NoWorseThanChampion, trial: Trial) -> CheckResult:
    name = f"NoWorseThanChampion {check.metric}"
    if trial.champion is None:
        return _result(name, Verdict.PASS, "There is no champion to compare with.", {})
    sign = 1 if METRICS[check.metric].higher else -1
    gain = sign * (trial.value(check.metric) - trial.value(check.metric, score=CHAMPION_SCORE))
    drawn = sign * _differences(check, trial)
    if drawn.size < check.samples / 2 or not np.isfinite(gain):
        return _result(name, Verdict.INCONCLUSIVE, f"{check.metric} is not defined on most samples of the rows.", {})
    lower = float(np.quantile(drawn, 1 - check.confidence))
    found = {
        "gain": gain,
        "lower": lower,
        "margin": check.margin,
        "samples": int(drawn.size),
        "champion": trial.champion,
    }
    told = (
        f"{check.metric} is {'better' if gain >= 0 else 'worse'} than that of champion v{trial.champion} by "
        f"{abs(gain):.4f}, with {check.confidence:.0%} confidence {'better' if lower >= 0 else 'worse'} by "
        f"{'at least' if lower >= 0 else 'at most'} {abs(lower):.4f}"
    )
    if lower >= -check.margin:
        return _result(name, Verdict.PASS, f"{told}.", found)
    if gain >= -check.margin:
        message = f"{told}: the rows are too few to tell that it is no worse by more than {check.margin:g}."
        return _result(name, Verdict.INCONCLUSIVE, message, found)
    return _result(name, Verdict.FAIL, f"{told}; at most {check.margin:g} is allowed.", found)


def _slices(check: Slices, trial: Trial) -> CheckResult:
    name, sign = f"Slices {check.metric}", 1 if METRICS[check.metric].higher else -1
    whole = trial.value(check.metric)
    gaps: dict[str, float] = {}
    missing: list[str] = []
    for column in check.by:
        judged = dict(slice_values(trial, column, check.metric, check.min_rows))
        gaps |= {f"{column}={value}": sign * (whole - found) for value, found in judged.items()}
        known = () if trial.slices is None else trial.slices.get(column, ())
        missing += [f"{column}={value}" for value in known if value not in judged]
        if not judged:
            missing.append(f"every {column}")
    worse = sorted(((gap, slice_) for slice_, gap in gaps.items() if gap > check.max_gap), reverse=True)
    found = {"all": whole, "gaps": gaps, "missing": missing}
    if worse:
        told = ", ".join(f"{slice_} by {gap:.3f}" for gap, slice_ in worse[:3])
        more = f" and {len(worse) - 3} more" if len(worse) > 3 else ""
        message = f"{check.metric} is worse than of all rows for {told}{more}; at most {check.max_gap:g} is allowed."
        return _result(name, Verdict.FAIL, message, found)
    if missing:
        message = f"{', '.join(missing[:3])} had too few test rows to be judged; {check.min_rows:,} are needed."
        return _result(name, Verdict.INCONCLUSIVE, message, found)
    return _result(name, Verdict.PASS, f"None of {len(gaps)} slices is worse by more than {check.max_gap:g}.", found)


def _fairness(check: Fairness, trial: Trial) -> CheckResult:
    name = f"Fairness {check.group}"
    groups = dict(slice_values(trial, check.group, check.metric, check.min_rows))
    found: dict[str, object] = {"groups": groups}
    if len(groups) < 2:
        message = f"Fewer than two groups of '{check.group}' have {check.min_rows:,} test rows."
        return _result(name, Verdict.INCONCLUSIVE, message, found)
    low, high = min(groups, key=groups.__getitem__), max(groups, key=groups.__getitem__)
    gap = groups[high] - groups[low]
    message = (
        f"{check.metric} is {groups[low]:.4f} for {check.group}={low} and {groups[high]:.4f} for {check.group}={high}: "
        f"{gap:.4f} apart; at most {check.max_gap:g} is allowed."
    )
    return _result(name, Verdict.PASS if gap <= check.max_gap else Verdict.FAIL, message, found | {"gap": gap})


def _calibration(check: Calibration, trial: Trial) -> CheckResult:
    if trial.kind != "classification":
        return _result("Calibration", Verdict.ERROR, "A regressor gives no probabilities; take Calibration out.", {})
    error = _calibration_error(*trial.numbers(), check.bins)
    message = f"The expected calibration error is {error:.4f}; at most {check.max_ece:g} is allowed."
    verdict = Verdict.PASS if error <= check.max_ece else Verdict.FAIL
    return _result("Calibration", verdict, message, {"error": error, "bins": check.bins})


def slice_values(trial: Trial, column: str, metric: str, min_rows: int) -> Iterator[tuple[str, float]]:
    """The metric for each value of a column that has rows enough and on whose rows it is defined."""
    for (value,), rows in sorted(trial.rows.group_by([column]), key=lambda part: str(part[0])):
        if rows.height >= min_rows:
            found = trial.value(metric, rows)
            if np.isfinite(found):
                yield str(value), found


def _differences(check: NoWorseThanChampion, trial: Trial) -> Numbers:
    """The metric minus the champion's in paired bootstrap samples (Efron and Tibshirani 1993)."""
    ours, theirs = (scorer(check.metric, *trial.numbers(score=score)) for score in (SCORE, CHAMPION_SCORE))
    draw, rows = np.random.default_rng(0), trial.rows.height
    found = []
    for _ in range(check.samples):
        weights = np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(np.float64)
        pair = ours(weights), theirs(weights)
        if pair[0] is not None and pair[1] is not None:
            found.append(pair[0] - pair[1])
    return np.array(found)


def _calibration_error(labels: Numbers, scores: Numbers, bins: int) -> float:
    parts = [part for part in np.array_split(np.argsort(scores, kind="stable"), bins) if part.size]
    return float(sum(abs(scores[part].mean() - labels[part].mean()) * part.size for part in parts) / labels.size)


def _result(check: str, verdict: Verdict, message: str, found: Mapping[str, object]) -> CheckResult:
    return CheckResult(check, verdict, message, dict(found))
