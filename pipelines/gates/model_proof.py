"""Worse copies of a model's scores, which the gate must refuse before it is asked about the scores themselves.

Each check must refuse a copy that is as wrong as can be in what the check is about; the gate as a whole must refuse
scores that know nothing: shuffled over the rows, and the same for each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.definition.model_gate import AtLeast, Calibration, Fairness, NoWorseThanChampion, Slices
from pipelines.gates.scored import ScoredRows, group_metric, groups_of
from pipelines.metrics import Numbers

Copy = tuple[str, ScoredRows]  # how the scores were made worse, and the rows with them

SHUFFLES = 5  # one alone may look good by luck where rows are few; most of them must be refused
_SEED = 20_130_101


def worse_copy(check: AtLeast | NoWorseThanChampion | Slices | Fairness | Calibration, rows: ScoredRows) -> Copy | None:
    """The copy that the check must refuse; None where no group is large enough to be judged at all.

    Raises InputError when a column of groups is not there.
    """
    match check:
        case AtLeast(bound=limit) | NoWorseThanChampion(margin=limit):
            return "wrong scores for all rows", replace(rows, scores=_wrong(rows, limit))
        case Calibration():
            rare = 0.0 if rows.labels.size and rows.labels.mean() > 0.5 else 1.0
            return "certain of the rarer label", replace(rows, scores=np.full(rows.rows, rare))
        case Slices(by=columns) | Fairness(group=columns):
            return _one_group_wrong(check, rows, (columns,) if isinstance(columns, str) else tuple(columns))


def _one_group_wrong(check: Slices | Fairness, rows: ScoredRows, columns: tuple[str, ...]) -> Copy | None:
    large = [
        (group.rows.size, column, group.value, group.rows)
        for column in columns
        for group in groups_of(rows, column)
        if group.rows.size >= check.min_rows and group_metric(rows, group, check.metric) is not None
    ]
    if not large:
        return None
    _, column, value, places = min(large, key=lambda item: item[:3])
    scores = rows.labels.copy()  # right everywhere else: how good the model is must not hide what is wrong here
    scores[places] = _wrong(rows, check.max_gap)[places]
    return f"wrong scores for {column}={value} alone", replace(rows, scores=scores)


def _wrong(rows: ScoredRows, limit: float) -> Numbers:
    """The opposite label, certain; of a regression far more than any limit above the label."""
    if rows.binary:
        return 1 - rows.labels
    others = [rows.scores, *([] if rows.champion is None else [rows.champion])]
    farthest = max(float(np.abs(scores - rows.labels).max(initial=0.0)) for scores in others)
    wrong: Numbers = rows.labels + 10 * (1 + abs(limit) + farthest + np.ptp(rows.labels))
    return wrong


def ignorant_copies(rows: ScoredRows) -> Iterator[Copy]:
    """Scores that know nothing of the rows: five shuffles, and the mean label for each row."""
    draw = np.random.default_rng(_SEED)
    order: NDArray[np.intp]
    for _ in range(SHUFFLES):
        order = draw.permutation(rows.rows)
        yield "shuffled scores", replace(rows, scores=rows.scores[order])
    if rows.rows:
        yield "constant scores", replace(rows, scores=np.full(rows.rows, rows.labels.mean()))
