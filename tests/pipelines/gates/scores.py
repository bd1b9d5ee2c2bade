"""Two thousand test rows whose true probabilities are known, scored well and badly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from pipelines.definition.model_gate import AtLeast, ModelCheck
from pipelines.gates.model import judge_model
from pipelines.gates.scored import ScoredRows
from pipelines.gates.verdict import CheckResult
from pipelines.metrics import Numbers

N = 2_000
_draw = np.random.default_rng(11)
CHANCE: Numbers = _draw.random(N)  # the true probability of each row
LABELS: Numbers = (_draw.random(N) < CHANCE).astype(np.float64)
CARRIERS = pl.DataFrame({"carrier": ["UA", "AA", "DL", "B6"] * (N // 4), "one": ["same"] * N})
GOOD = ScoredRows(LABELS, CHANCE, groups=CARRIERS)  # ROC AUC 0.843
BOUND = AtLeast("roc_auc", 0.75)


def noisy(scores: Numbers, noise: float) -> Numbers:
    return np.clip(scores + np.random.default_rng(5).normal(0, noise, scores.size), 0, 1)


def against(model: Numbers, champion: Numbers) -> ScoredRows:
    return replace(GOOD, scores=model, champion=champion)


def checked(check: ModelCheck, rows: ScoredRows) -> CheckResult:
    """What one check says beside a bound that all good rows keep."""
    return judge_model([check, BOUND], rows).checks[1]
