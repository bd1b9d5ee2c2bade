"""The training pipelines of a project, from its definition files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from featurestore.definitions import Declaration, OnDemandFeatureView, RequestSource, ViewProjection
from featurestore.definitions.references import kind_of, with_references
from featurestore.definitions.sources import ViewSource
from featurestore.errors import DefinitionError, Fault, UnknownNameError, closest_first
from featurestore.project.loading import load_objects
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.definition.triggers import NewData

Names = Mapping[str, set[str]]  # of what is declared, by kind


def load_pipelines(root: Path, folder: str) -> dict[str, TrainingPipeline]:
    """All pipelines by name, in the order of files and lines; raises DefinitionError with every fault of every file.

    What a pipeline names must be declared in the files: its service, the source of its labels, and the views of its
    triggers, which must also be among those that the service reads.
    """
    objects = load_objects(root, folder, TrainingPipeline | Declaration)
    names = _names(one for one in objects if not isinstance(one, TrainingPipeline))
    found: dict[str, TrainingPipeline] = {}
    faults = []
    for pipeline in (one for one in objects if isinstance(one, TrainingPipeline)):
        other = found.setdefault(pipeline.name, pipeline)
        if other is not pipeline:
            message = f"TrainingPipeline '{pipeline.name}' is declared at {_place(other, root)} too; rename one."
            faults.append(_fault(pipeline, message, root))
        faults += [
            _fault(pipeline, f"TrainingPipeline '{pipeline.name}': {message}", root)
            for message in _undeclared(pipeline, names, folder)
        ]
    if faults:
        raise DefinitionError(faults)
    return found


def load_pipeline(root: Path, folder: str, name: str) -> TrainingPipeline:
    """The pipeline of that name; raises UnknownNameError listing those there are."""
    pipelines = load_pipelines(root, folder)
    if name not in pipelines:
        raise UnknownNameError("training pipeline", name, pipelines)
    return pipelines[name]


def read_views(pipeline: TrainingPipeline) -> tuple[ViewProjection, ...]:
    """The parts of views that the service of a pipeline reads, those of its on-demand views among them."""
    members = pipeline.service.features
    inputs = (part for one in members for part in (one.inputs if isinstance(one, OnDemandFeatureView) else (one,)))
    return tuple(part for part in inputs if isinstance(part, ViewProjection))


def _names(declarations: Iterable[Declaration]) -> Names:
    names: dict[str, set[str]] = {kind: set() for kind in ("service", "source", "view")}
    for declaration in with_references(declarations):
        if not isinstance(declaration, RequestSource):
            names.setdefault(kind_of(declaration), set()).add(declaration.name)
    return names


def _undeclared(pipeline: TrainingPipeline, names: Names, folder: str) -> Iterator[str]:
    """What is wrong with the names of a pipeline."""
    service, source = pipeline.service.name, pipeline.labels.source
    bind = f"Give it a name of its own in a file of {folder}/"
    if service not in names["service"]:
        yield f"service '{service}' is not declared. {bind}; declared are {_listed(service, names['service'])}."
    if isinstance(source, ViewSource):
        yield (
            f"LabelSource '{pipeline.labels.name}' takes the steps of view '{source.view.name}', and labels come from "
            "a source. Declare a SqlSource with the view among its inputs."
        )
    elif source.name not in names["source"]:
        what = f"source '{source.name}' of LabelSource '{pipeline.labels.name}'"
        yield f"{what} is not declared. {bind}; declared are {_listed(source.name, names['source'])}."
    reads = {part.view.name for part in read_views(pipeline)}
    for trigger in pipeline.triggers:
        if isinstance(trigger, NewData) and trigger.view not in reads:
            why = f"which service '{service}' does not read" if trigger.view in names["view"] else "which is no view"
            near = _listed(trigger.view, reads)
            yield f"NewData names '{trigger.view}', {why}. Name one that the service reads: {near}."


def _listed(name: str, there: Iterable[str]) -> str:
    return ", ".join(closest_first(name, there)[:10]) or "none"


def _fault(pipeline: TrainingPipeline, message: str, root: Path) -> Fault:
    file, _, line = _place(pipeline, root).rpartition(":")
    return Fault(message, file, int(line))


def _place(pipeline: TrainingPipeline, root: Path) -> str:
    site = pipeline.declared_at
    assert site is not None, "a declaration has a place"
    path = Path(site.file)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{site.line}"
