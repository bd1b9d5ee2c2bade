"""The checks of the model gate: scored test rows in, a result out. They raise InputError where they cannot judge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from featurestore.errors import InputError
from pipelines.definition.metrics import METRICS
from pipelines.definition.model_gate import AtLeast, Calibration, Fairness, NoWorseThanChampion, Slices
from pipelines.gates.bootstrap import paired_difference
from pipelines.gates.scored import Group, ScoredRows, better_by, group_metric, groups_of
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict
from pipelines.metrics import Numbers, measured

_SHOWN = 5


def judge_scores(rows: ScoredRows) -> CheckResult:
    """The model gives each row a number."""
    wrong = int(np.count_nonzero(~np.isfinite(rows.scores)))
    if wrong:
        return CheckResult("Scores", Verdict.FAIL, f"The model gives {wrong} of {rows.rows} test rows no finite score.")
    return CheckResult("Scores", Verdict.PASS, f"The model gives each of {rows.rows:,} test rows a score.")


def judge_bound(check: AtLeast, rows: ScoredRows) -> CheckResult:
    """The metric is the bound or better; INCONCLUSIVE where it is undefined."""
    name, found = f"AtLeast {check.metric}", _measured(check.metric, rows.labels, rows.scores)
    if found is None:
        return CheckResult(name, Verdict.INCONCLUSIVE, _undefined(check.metric, rows))
    good, limit = better_by(check.metric, found, check.bound) >= 0, "least" if METRICS[check.metric].higher else "most"
    reason = f"{check.metric} is {found:.4f} on {rows.rows:,} test rows, and at {limit} {check.bound:g} is wanted."
    details = {"metric": check.metric, "value": found, "bound": check.bound, "rows": rows.rows}
    return CheckResult(name, Verdict.PASS if good else Verdict.FAIL, reason, details)


def judge_champion(check: NoWorseThanChampion, rows: ScoredRows) -> CheckResult:
    """No worse than the champion by more than the margin, at the confidence.

    FAIL when it is worse by more on these rows; INCONCLUSIVE when on others of the kind it might be.
    """
    name = f"NoWorseThanChampion {check.metric}"
    if rows.champion is None:
        return CheckResult(name, Verdict.PASS, "There is no champion to compare with.", {"metric": check.metric})
    if not np.isfinite(rows.champion).all():
        raise InputError("The champion gives some test rows no finite score, so nothing can be compared with it.")
    _measured(check.metric, rows.labels, rows.champion)
    found = paired_difference(
        check.metric,
        rows.labels,
        rows.scores,
        rows.champion,
        confidence=check.confidence,
        samples=check.samples,
    )
    if found is None:
        return CheckResult(name, Verdict.INCONCLUSIVE, _undefined(check.metric, rows))
    details = {
        "metric": check.metric, "model": found.model, "champion": found.champion, "difference": found.difference,
        "low": found.low, "high": found.high, "error": found.error, "margin": check.margin,
        "confidence": check.confidence, "samples": found.samples, "rows": rows.rows,
    }  # fmt: skip
    told = f"{check.metric} is {found.model:.4f} beside the champion's {found.champion:.4f}"
    if found.difference < -check.margin:
        reason = f"{told}: worse by {-found.difference:.4f}, and {check.margin:g} may be."
        return CheckResult(name, Verdict.FAIL, reason, details)
    if found.low < -check.margin:
        reason = (
            f"{told}; at {check.confidence:.0%} confidence it may be worse by {-found.low:.4f}, and {check.margin:g} "
            f"may be: {rows.rows} rows are too few to tell."
        )
        return CheckResult(name, Verdict.INCONCLUSIVE, reason, details)
    reason = f"{told}: at {check.confidence:.0%} confidence no worse than by {max(-found.low, 0.0):.4f}."
    return CheckResult(name, Verdict.PASS, reason, details)


def judge_slices(check: Slices, rows: ScoredRows) -> CheckResult:
    """No slice is much worse than all rows; INCONCLUSIVE when a known one is missing, or there is nothing to judge."""
    name, whole = f"Slices {check.metric}", _measured(check.metric, rows.labels, rows.scores)
    if whole is None:
        return CheckResult(name, Verdict.INCONCLUSIVE, _undefined(check.metric, rows))
    found: dict[str, dict[str, float]] = {}
    sizes: dict[str, dict[str, int]] = {}
    for column in check.by:
        groups = tuple(groups_of(rows, column))
        sizes[column] = {group.value: int(group.rows.size) for group in groups}
        found[column] = _large_enough(groups, rows, check.metric, check.min_rows)
    gaps = {
        (column, value): better_by(check.metric, whole, metric)
        for column, values in found.items()
        for value, metric in values.items()
    }
    details = {"metric": check.metric, "all": whole, "slices": found, "rows": sizes, "max_gap": check.max_gap}
    worse = sorted((slice_ for slice_, gap in gaps.items() if gap > check.max_gap), key=lambda slice_: -gaps[slice_])
    if worse:
        listed = _listed([f"{c}={v} with {found[c][v]:.4f}" for c, v in worse])
        reason = f"{check.metric} is {whole:.4f}, and worse by more than {check.max_gap:g} of: {listed}."
        return CheckResult(name, Verdict.FAIL, reason, details)
    if missing := _missing(rows, found):
        reason = f"What the champion was judged on has no {check.min_rows} rows of both classes now: {missing}."
        return CheckResult(name, Verdict.INCONCLUSIVE, reason, details)
    if all(sizes[column][value] == rows.rows for column, value in gaps):
        reason = f"No slice beside others has {check.min_rows} test rows for which {check.metric} is defined."
        return CheckResult(name, Verdict.INCONCLUSIVE, reason, details)
    reason = f"None of {len(gaps)} slices is worse than all rows by more than {max(*gaps.values(), 0.0):.4f}."
    return CheckResult(name, Verdict.PASS, reason, details)


def judge_fairness(check: Fairness, rows: ScoredRows) -> CheckResult:
    """Any two groups are as well off; INCONCLUSIVE when a known one is missing, or fewer than two can be judged."""
    name, groups = f"Fairness {check.group}", tuple(groups_of(rows, check.group))
    _measured(check.metric, rows.labels, rows.scores)
    found = _large_enough(groups, rows, check.metric, check.min_rows)
    details = {
        "metric": check.metric, "group": check.group, "slices": {check.group: found}, "max_gap": check.max_gap,
        "rows": {check.group: {group.value: int(group.rows.size) for group in groups}},
    }  # fmt: skip
    if found:
        low, high = min(found, key=lambda g: found[g]), max(found, key=lambda g: found[g])
        gap = found[high] - found[low]
        told = f"{check.metric} is between {found[low]:.4f} ({low}) and {found[high]:.4f} ({high})"
        if gap > check.max_gap:
            reason = f"{told}: {gap:.4f} apart, and {check.max_gap:g} may be."
            return CheckResult(name, Verdict.FAIL, reason, details)
    if missing := _missing(rows, {check.group: found}):
        reason = f"What the champion was judged on has no {check.min_rows} rows of both classes now: {missing}."
        return CheckResult(name, Verdict.INCONCLUSIVE, reason, details)
    if len(found) < 2:
        reason = f"Fewer than two groups of '{check.group}' have {check.min_rows} test rows."
        return CheckResult(name, Verdict.INCONCLUSIVE, reason, details)
    return CheckResult(name, Verdict.PASS, f"{told}: {gap:.4f} apart.", details)


def judge_calibration(check: Calibration, rows: ScoredRows) -> CheckResult:
    """Scores are probabilities; INCONCLUSIVE when a calibrated model would be that far off with so few rows."""
    if not rows.binary:
        raise InputError("Calibration judges the probabilities of labels 0 and 1; leave it out of a regression.")
    _probabilities(rows.scores)
    if not rows.rows:
        return CheckResult("Calibration", Verdict.INCONCLUSIVE, "There are no test rows.")
    error, chance, bins = calibration_error(rows.labels, rows.scores, check.bins)
    details = {"ece": error, "by_chance": chance, "bins": bins, "max_ece": check.max_ece, "rows": rows.rows}
    told = f"The expected calibration error is {error:.4f}"
    if chance >= check.max_ece:
        reason = f"{told}; with {rows.rows:,} rows a calibrated model has {chance:.4f}, and {check.max_ece:g} may be."
        return CheckResult("Calibration", Verdict.INCONCLUSIVE, reason, details)
    verdict = Verdict.FAIL if error > check.max_ece else Verdict.PASS
    return CheckResult("Calibration", verdict, f"{told}, and {check.max_ece:g} may be.", details)


def calibration_error(labels: Numbers, scores: Numbers, bins: int) -> tuple[float, float, list[dict[str, float]]]:
    """The expected calibration error over bins of equally many rows, what chance makes of it, and the bins.

    Equal scores lie in one bin, so that the order of rows means nothing. By chance a bin of n rows whose rate is p is
    off by sqrt(2 p (1 - p) / (pi n)) on average. C. Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    places = (middles * bins / scores.size).astype(np.intp)[inverse]
    sizes = np.bincount(places, minlength=bins)
    filled = np.flatnonzero(sizes)
    rates = (np.bincount(places, labels, minlength=bins)[filled]) / sizes[filled]
    means = (np.bincount(places, scores, minlength=bins)[filled]) / sizes[filled]
    shares = sizes[filled] / scores.size
    held = np.clip(means, 0, 1)
    chance = (shares * np.sqrt(2 * held * (1 - held) / (math.pi * sizes[filled]))).sum()
    table = [
        {"rows": int(size), "score": float(mean), "rate": float(rate)}
        for size, mean, rate in zip(sizes[filled], means, rates, strict=True)
    ]
    return float((shares * np.abs(rates - means)).sum()), float(chance), table


def _measured(metric: str, labels: Numbers, scores: Numbers) -> float | None:
    """The metric; raises InputError when labels or scores are not of its kind."""
    if METRICS[metric].kind == "classification":
        if not np.isin(labels, (0.0, 1.0)).all():
            raise InputError(f"{metric} is for labels 0 and 1, and the test rows have others.")
        if metric in ("log_loss", "brier", "accuracy"):
            _probabilities(scores)
    return measured(metric, labels, scores)


def _probabilities(scores: Numbers) -> None:
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        found = f"from {scores.min():.3g} to {scores.max():.3g}"
        raise InputError(f"The scores must be probabilities, and are {found}; the estimator needs predict_proba.")


def _large_enough(groups: Sequence[Group], rows: ScoredRows, metric: str, min_rows: int) -> dict[str, float]:
    """The metric of each group that has enough rows and for which it is defined."""
    large = {group.value: group_metric(rows, group, metric) for group in groups if group.rows.size >= min_rows}
    return {value: found for value, found in large.items() if found is not None}


def _missing(rows: ScoredRows, found: dict[str, dict[str, float]]) -> str:
    """The groups that the champion was judged on, and that were not judged now."""
    gone = [f"{c}={value}" for c in found for value in rows.known.get(c, ()) if value not in found[c]]
    return _listed(gone) if gone else ""


def _undefined(metric: str, rows: ScoredRows) -> str:
    return f"{metric} is undefined on these {rows.rows} test rows: it takes labels that differ."


def _listed(texts: list[str]) -> str:
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
