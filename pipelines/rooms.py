"""The rooms of a project's pipelines, each opened when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from featurestore.store import FeatureStore
from pipelines.loading import load_pipeline, load_pipelines

if TYPE_CHECKING:
    from pathlib import Path

    from featurestore.audit.log import VectorLog
    from pipelines.artifacts import Artifacts
    from pipelines.definition.pipeline import TrainingPipeline
    from pipelines.ledger import Ledger
    from pipelines.ledger.records import ModelVersion
    from pipelines.models.registry import ModelRegistry


def predictions_folder(store: FeatureStore) -> Path:
    """Where a project's predictions are logged."""
    return store.root / store.configuration.predictions.path


class PipelineRooms:
    """What training pipelines of a store's project work with; the store is the caller's to close.

    Unless it `tells`, nobody outside the project hears of models that are put away: servers wait for no one.
    """

    def __init__(self, store: FeatureStore, *, tells: bool = True) -> None:
        self.store = store
        self._tells = tells

    @cached_property
    def ledger(self) -> Ledger:
        """What was run, found and promoted."""
        from pipelines.ledger import open_ledger

        return open_ledger(self.store.configuration.registry.url, self.store.root, self.store.now_us)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files that steps leave."""
        from pipelines.artifacts import Artifacts

        return Artifacts(self.store.root, self.folder, self.store.now_us)

    @cached_property
    def models(self) -> ModelRegistry:
        """The versions of models, and which of them is live."""
        from pipelines.models.registry import ModelRegistry

        trusted = self.store.configuration.pipelines.trusted_types
        return ModelRegistry(self.store.root, self.ledger, trusted, self.store.actor, self._quarantined)

    def _quarantined(self, model: ModelVersion) -> None:
        from pipelines.run_report import leave, write_pages  # which know these rooms

        if self._tells:
            leave(self, self.ledger.run(model.run))
        else:
            write_pages(self, model.run)

    @cached_property
    def predictions(self) -> VectorLog | None:
        """The log of what models predicted; None while none are sampled."""
        from featurestore.audit.log import LogSettings, VectorLog

        chosen = self.store.configuration.predictions
        if not chosen.sample:
            return None
        settings = LogSettings(predictions_folder(self.store), chosen.sample, chosen.buffer_rows, chosen.flush_seconds)
        return VectorLog(settings, self.store.now_us)

    @property
    def folder(self) -> Path:
        """Where pipelines keep what they make."""
        return self.store.root / self.store.configuration.pipelines.path

    def pipelines(self) -> dict[str, TrainingPipeline]:
        """The declared pipelines by name; raises DefinitionError with every fault of every file."""
        return load_pipelines(self.store.root, self.store.configuration.definitions)

    def pipeline(self, name: str) -> TrainingPipeline:
        """One declared pipeline; raises UnknownNameError."""
        return load_pipeline(self.store.root, self.store.configuration.definitions, name)

    def check_known(self, name: str | None) -> None:
        """Raises UnknownNameError for a pipeline that was never run and is not declared; None is no name."""
        from pipelines.ledger.runs import RunFilter

        if name is not None and not self.ledger.runs(RunFilter(name, limit=1)):
            self.pipeline(name)


def page_path(rooms: PipelineRooms, run: int) -> Path:
    """Where the HTML page of a run lies, once it has ended."""
    return rooms.folder / "runs" / f"{run}.html"
