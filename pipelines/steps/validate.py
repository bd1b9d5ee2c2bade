"""Validate: the data gate on a saved dataset."""

from __future__ import annotations

from featurestore.dataset import Dataset
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.frames import chosen_inputs
from pipelines.gates.baseline import Baseline, TrainingData
from pipelines.gates.data import DataVerdict, judge_data
from pipelines.steps.extract import Extracted


def validate(
    pipeline: TrainingPipeline, dataset: Dataset, extracted: Extracted, baseline: Baseline | None, as_of_us: int
) -> DataVerdict:
    """The data gate's verdict on a dataset, beside earlier data, at the instant of the run."""
    inputs = chosen_inputs(extracted.outputs, pipeline.inputs, pipeline.name)
    data = TrainingData(
        frame=dataset.to_polars(),
        inputs=tuple(name for name, _ in inputs),
        label=pipeline.labels.name,
        timestamp=pipeline.labels.timestamp,
        known_at=pipeline.labels.known_at,
        as_of_us=as_of_us,
        watermarks=extracted.watermarks_us,
    )
    return judge_data(pipeline.data_gate, data, baseline)
