"""How a model is kept good: declared once, trained on what passed, promoted when it is better.

definition   what a pipeline is: labels, split, gates, triggers
loading      pipelines from the project's definition files
gates        what stands before training and before promotion
ledger       what was run, found, stored and promoted: tables beside the registry's
triggers     what starts runs, what materializes views on time, and why
"""

from __future__ import annotations

from pipelines.definition.data_gate import Contract, Drift, Freshness, NullRate, Volume
from pipelines.definition.labels import LabelSource
from pipelines.definition.model_gate import AtLeast, Behaves, Calibration, Fairness, NoWorseThanChampion, Slices
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.definition.policy import RunPolicy
from pipelines.definition.triggers import DataDrift, NewData, PerformanceDrop, Schedule

__all__ = [
    "AtLeast",
    "Behaves",
    "Calibration",
    "Contract",
    "DataDrift",
    "Drift",
    "Fairness",
    "Freshness",
    "LabelSource",
    "NewData",
    "NoWorseThanChampion",
    "NullRate",
    "PerformanceDrop",
    "RunPolicy",
    "Schedule",
    "Slices",
    "TrainingPipeline",
    "Volume",
]
