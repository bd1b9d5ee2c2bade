"""The training pipelines of a project, from its definition files."""

from __future__ import annotations

from pathlib import Path

from featurestore.errors import DefinitionError, Fault, UnknownNameError
from featurestore.project.loading import load_objects
from pipelines.definition.pipeline import TrainingPipeline


def load_pipelines(root: Path, folder: str) -> dict[str, TrainingPipeline]:
    """All pipelines by name, in the order of files and lines; raises DefinitionError with every fault of every file."""
    found: dict[str, TrainingPipeline] = {}
    faults = []
    for pipeline in load_objects(root, folder, TrainingPipeline):
        other = found.setdefault(pipeline.name, pipeline)
        if other is not pipeline:
            message = f"TrainingPipeline '{pipeline.name}' is declared at {_place(other, root)} too; rename one."
            file, _, line = _place(pipeline, root).rpartition(":")
            faults.append(Fault(message, file, int(line)))
    if faults:
        raise DefinitionError(faults)
    return found


def load_pipeline(root: Path, folder: str, name: str) -> TrainingPipeline:
    """The pipeline of that name; raises UnknownNameError listing those there are."""
    pipelines = load_pipelines(root, folder)
    if name not in pipelines:
        raise UnknownNameError("training pipeline", name, pipelines)
    return pipelines[name]


def _place(pipeline: TrainingPipeline, root: Path) -> str:
    site = pipeline.declared_at
    assert site is not None, "a declaration has a place"
    path = Path(site.file)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{site.line}"
