"""Compare: the model gate on the scores of the test rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from pipelines.definition.model_gate import AtLeast, Behaves, Fairness, ModelCheck, Slices
from pipelines.gates.model import ModelVerdict, judge_model
from pipelines.gates.scored import KnownGroups, ScoredRows
from pipelines.ledger.records import Verdict
from pipelines.steps.evaluate import CHAMPION_SCORE, SCORE


def compare(
    checks: Iterable[ModelCheck], table: pl.DataFrame, label: str, known: KnownGroups | None = None
) -> ModelVerdict:
    """The verdict on test rows with label, SCORE, CHAMPION_SCORE where there is a champion, and columns of groups.

    `known` are the groups that the champion was judged on. How the model behaves in a server is judged later.
    """
    numbers = {
        name: table[name].cast(pl.Float64).to_numpy() for name in (label, SCORE, CHAMPION_SCORE) if name in table
    }
    rows = ScoredRows(
        labels=numbers[label],
        scores=numbers[SCORE],
        champion=numbers.get(CHAMPION_SCORE),
        groups=table.drop(numbers),
        known={} if known is None else known,
    )
    return judge_model([check for check in checks if not isinstance(check, Behaves)], rows)


def grouped_columns(checks: Iterable[ModelCheck]) -> tuple[str, ...]:
    """The columns that slices and groups are made by."""
    found: dict[str, None] = {}
    for check in checks:
        match check:
            case Slices(by=by):
                found |= dict.fromkeys(by)
            case Fairness(group=group):
                found[group] = None
    return tuple(found)


def bounded(checks: Iterable[Mapping[str, object]]) -> bool:
    """Whether the model met every absolute bound (AtLeast), and there is one, by what the checks found as JSON."""
    bounds = [check for check in checks if str(check["check"]).startswith(AtLeast.__name__)]
    return bool(bounds) and all(check["verdict"] == Verdict.PASS for check in bounds)
