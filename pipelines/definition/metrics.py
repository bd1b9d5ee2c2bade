"""The metrics that gates name: what they are computed from and which direction is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`kind` is the kind of label it is for; `higher` whether more is better."""

    name: str
    kind: Kind
    higher: bool
    summary: str


_TABLE = (
    Metric(
        "roc_auc", "classification", True, "area under the ROC curve: chance that a positive is rated above another"
    ),
    Metric("average_precision", "classification", True, "area under the precision-recall curve"),
    Metric("log_loss", "classification", False, "mean negative log likelihood of the label"),
    Metric("brier", "classification", False, "mean squared distance of the score to the label"),
    Metric("accuracy", "classification", True, "share of labels that the score, cut at one half, gives right"),
    Metric("mae", "regression", False, "mean absolute error"),
    Metric("rmse", "regression", False, "root of the mean squared error"),
    Metric("r2", "regression", True, "share of the label's variance that the predictions explain"),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _TABLE})
