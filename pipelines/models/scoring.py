"""What a fitted model answers: one score per row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.errors import PipelineError
from pipelines.definition.metrics import Kind

Scores = npt.NDArray[np.float64]
Asked: TypeAlias = pl.DataFrame | npt.NDArray[np.float64]  # a model frame, or its values for a model without names


def kind_of(estimator: object) -> Kind:
    """Whether it classifies or regresses; raises PipelineError for what does neither."""
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return "classification"
    if is_regressor(estimator):
        return "regression"
    raise PipelineError(
        f"The estimator is a {type(estimator).__name__}, which is neither a classifier nor a regressor of scikit-learn."
    )


def score(model: object, rows: Asked, kind: Kind) -> Scores:
    """Of a classifier the probability of 1, of a regressor its prediction, for each row.

    Raises PipelineError when the model gives something else.
    """
    method = getattr(model, "predict_proba" if kind == "classification" else "predict", None)
    if method is None:
        raise PipelineError(f"The model {type(model).__name__} gives no probabilities; use one with predict_proba.")
    try:
        answer = np.asarray(method(rows), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise PipelineError(f"The model {type(model).__name__} cannot score the rows: {error}.") from error
    if kind == "classification":
        classes = np.asarray(getattr(model, "classes_", ()), dtype=np.float64)
        if classes.tolist() != [0.0, 1.0]:
            raise PipelineError(f"The model tells the classes {classes.tolist()} apart, and the label is 0 or 1.")
        answer = answer[:, 1]
    if answer.shape != (len(rows),) or not np.isfinite(answer).all():
        raise PipelineError(f"The model {type(model).__name__} does not give one finite score for each row.")
    return answer
