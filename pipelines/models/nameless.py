"""A fitted model that is asked with bare arrays: making a frame and reading its names takes longer than a quick model.

scikit-learn's own estimators turn a frame into an array before all else, once they have seen that its columns have the
names and the order of training; the signature of a model gives both. Whatever else may read names is asked with frames.
"""

from __future__ import annotations

from copy import copy
from typing import Any

_NAMES = "feature_names_in_"
_PACKAGES = frozenset(
    {
        "decomposition",
        "discriminant_analysis",
        "ensemble",
        "impute",
        "linear_model",
        "naive_bayes",
        "neighbors",
        "neural_network",
        "preprocessing",
        "svm",
        "tree",
    }
)


def nameless(model: Any) -> Any | None:  # of scikit-learn, which has no types
    """The same fitted model, to be asked with arrays of float64 in the order of its inputs; None for most kinds.

    It shares what was learned with the model, which stays as it is. It gives no warning that names are missing.
    """
    from sklearn.pipeline import Pipeline

    if type(model) is not Pipeline:
        return _without_names(model) if _reads_no_names(model) else None
    first, *later = (step for _, step in model.steps)
    if not all(map(_reads_no_names, (first, *later))) or any(hasattr(step, _NAMES) for step in later):
        return None
    copied = copy(model)
    copied.steps = [(model.steps[0][0], _without_names(first)), *model.steps[1:]]
    return copied


def _reads_no_names(estimator: Any) -> bool:
    """Whether it is of scikit-learn, with no code or estimator of others in it, nor one inside that knows names."""
    library, package, *_ = (*type(estimator).__module__.split("."), "")
    if library != "sklearn" or package not in _PACKAGES:
        return False
    settings = estimator.get_params(deep=False).values()
    if any(callable(value) or hasattr(value, "fit") or isinstance(value, list | tuple) for value in settings):
        return False
    return not any(hasattr(part, _NAMES) for part in vars(estimator).values())


def _without_names(estimator: object) -> object:
    copied = copy(estimator)
    vars(copied).pop(_NAMES, None)
    return copied
