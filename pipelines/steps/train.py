"""Train: the estimator, fitted on the rows that train."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import msgspec
import polars as pl
from threadpoolctl import threadpool_limits

from featurestore.errors import InputError, PipelineError, closest_first
from featurestore.plan.lookup import LookupPlan
from pipelines.code import package_versions
from pipelines.definition.pipeline import Estimator, TrainingPipeline
from pipelines.frames import Signature, chosen_inputs, label_values, model_frame
from pipelines.models.scoring import kind_of

PACKAGES = ("scikit-learn", "numpy", "polars", "skops")


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was fitted: `parameters` are the estimator's, those that are no plain values as text."""

    estimator: str
    parameters: dict[str, object]
    packages: dict[str, str]
    signature: Signature
    rows: int
    positives: float
    fit_seconds: float


def made_estimator(make: Estimator, settings: Mapping[str, object]) -> object:
    """A new estimator with parameters set (`model__max_iter`).

    Raises PipelineError when it fails or gives no scikit-learn estimator, InputError for a parameter that it has not.
    """
    try:
        estimator = make()
    except Exception as error:
        name = getattr(make, "__qualname__", repr(make))
        raise PipelineError(f"The estimator function '{name}' failed: {type(error).__name__}: {error}") from error
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise PipelineError(f"The estimator function gave {estimator!r}, which is no scikit-learn estimator.")
    known = estimator.get_params()
    for name in settings:
        if name not in known:
            listing = ", ".join(closest_first(name, known)[:10])
            raise InputError(f"The estimator has no parameter '{name}'. Parameters: {listing}.")
    try:
        estimator.set_params(**settings)  # type: ignore[attr-defined]  # a scikit-learn estimator has both
    except (ValueError, TypeError) as error:
        raise InputError(f"The estimator refuses {dict(settings)!r}: {error}.") from error
    made: object = estimator
    return made


def signature_of(
    pipeline: TrainingPipeline, plan: LookupPlan, outputs: Mapping[str, str], estimator: object
) -> Signature:
    """What a model of the pipeline is asked with; raises InputError when its metrics are for the other kind."""
    kind = kind_of(estimator)
    if pipeline.kind not in (None, kind):
        raise InputError(
            f"Pipeline '{pipeline.name}' has metrics of {pipeline.kind}, and its estimator, a "
            f"{type(estimator).__name__}, is for {kind}."
        )
    return Signature(
        service=pipeline.service.name,
        inputs=chosen_inputs(outputs, pipeline.inputs, pipeline.name),
        keys=tuple(dict.fromkeys(column for view in plan.views for column, _ in view.keys)),
        request=tuple((name, str(dtype)) for name, dtype in plan.request),
        label=pipeline.labels.name,
        kind=kind,
    )


def train(estimator: object, rows: pl.DataFrame, signature: Signature, threads: int | None = None) -> Trained:
    """Fit the estimator on the rows, with at most so many threads; raises PipelineError when it cannot be fitted."""
    labels = label_values(rows, signature.label, signature.kind)
    targets = labels.astype("int8") if signature.kind == "classification" else labels
    frame = model_frame(rows, signature.inputs)
    began = perf_counter()
    try:
        with threadpool_limits(threads):
            estimator.fit(frame, targets)  # type: ignore[attr-defined]  # made_estimator looked
    except Exception as error:
        empty = [name for name, _ in signature.inputs if not rows[name].count()]
        without = f"; no row that trains has a value of {', '.join(empty)}." if empty else ""
        raise PipelineError(
            f"The estimator {type(estimator).__name__} cannot be fitted: {type(error).__name__}: {error}{without}"
        ) from error
    return Trained(
        estimator=type(estimator).__name__,
        parameters=_plain(estimator.get_params()),  # type: ignore[attr-defined]  # as above
        packages=package_versions(*PACKAGES),
        signature=signature,
        rows=rows.height,
        positives=float(labels.mean()),
        fit_seconds=perf_counter() - began,
    )


def _plain(parameters: Mapping[str, object]) -> dict[str, object]:
    kept = (bool, int, float, str, type(None))
    return {name: value if type(value) in kept else repr(value) for name, value in sorted(parameters.items())}
