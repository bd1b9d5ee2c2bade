"""MLflow as a mirror of the ledger: runs with parameters, metrics, files and pages, model versions, states, aliases.

What MLflow has is found by tags, so mirroring again adds nothing, and what a broken connection left is completed.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from featurestore.errors import ConfigurationError
from pipelines.ledger.records import CHAMPION_ALIAS, ModelVersion, Run, RunState, Step
from pipelines.ledger.runs import RunFilter
from pipelines.models.document import ModelDocument
from pipelines.rooms import PipelineRooms, page_path
from pipelines.steps.evaluate import Evaluated
from pipelines.steps.train import Trained

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as RunThere
    from mlflow.entities.model_registry import ModelVersion as VersionThere

_RUN, _WHOLE, _VERSION, _STATE, _PAGE = (
    f"featurestore.{name}" for name in ("run", "whole", "version", "state", "page")
)
_STATUS = {RunState.SUCCEEDED: "FINISHED", RunState.FAILED: "FAILED"}  # what a gate refused, or expired, is KILLED
_MOST_TEXT = 500  # characters of a parameter or tag
_MOST_RUNS = 1_000


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How many runs and model versions were new to MLflow."""

    runs: int
    versions: int

    def __str__(self) -> str:
        """In words."""
        return f"MLflow is up to date; new there: runs {self.runs}, model versions {self.versions}"


def mirror_pipeline(rooms: PipelineRooms, pipeline: str) -> Mirrored:
    """Bring MLflow up to date with the ended runs, the model versions and the champion of a pipeline.

    The experiment and the registered model are named `PROJECT.PIPELINE`. Raises ConfigurationError when `[mlflow]` is
    not usable, and what MLflow raises when it cannot be reached.
    """
    with _client(rooms) as client:
        mirror = _Mirror(rooms, client, pipeline)
        return Mirrored(mirror.runs(), mirror.versions())


def tracking_uri(rooms: PipelineRooms) -> str:
    """Where MLflow keeps what is mirrored; raises ConfigurationError when nothing is."""
    uri = rooms.store.configuration.mlflow.tracking_uri
    if uri is None:
        raise ConfigurationError(
            '[mlflow] in featurestore.toml has no tracking_uri; add it, such as "http://localhost:5000".'
        )
    return uri


@contextmanager
def _client(rooms: PipelineRooms) -> Iterator[MlflowClient]:
    uri, chosen = tracking_uri(rooms), rooms.store.configuration.mlflow
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(chosen.timeout_seconds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's words about its own future are not for whoever runs a pipeline
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ConfigurationError(
                "[mlflow] is configured, but MLflow is not installed: pip install 'featurestore-platform[mlflow]'."
            ) from error
        for name in ("mlflow", "alembic", "urllib3"):  # what goes wrong is raised
            logging.getLogger(name).setLevel(logging.ERROR)
        yield MlflowClient(uri, chosen.registry_uri)


class _Mirror:
    """One pipeline's runs and versions in MLflow."""

    def __init__(self, rooms: PipelineRooms, client: MlflowClient, pipeline: str) -> None:
        self._rooms = rooms
        self._client = client
        self._pipeline = pipeline
        self._name = f"{rooms.store.configuration.project}.{pipeline}"
        found = client.get_experiment_by_name(self._name)
        self._experiment: str = found.experiment_id if found else client.create_experiment(self._name)
        self._there: dict[int, str] = {}  # runs of the ledger that MLflow has whole, and their ids there

    def runs(self) -> int:
        """Add the ended runs that MLflow lacks, the oldest first, and all pages that it lacks; how many runs."""
        partly: dict[int, str] = {}
        pages: dict[int, str | None] = {}
        for there in self._runs_there():
            number = there.data.tags.get(_RUN)
            if number is not None:
                (self._there if _WHOLE in there.data.tags else partly)[int(number)] = there.info.run_id
                pages[int(number)] = there.data.tags.get(_PAGE)
        ended = tuple(state for state in RunState if state.ended)
        missing = [
            run
            for run in reversed(self._rooms.ledger.runs(RunFilter(self._pipeline, states=ended)))
            if run.number not in self._there
        ]
        for run in missing:
            self._there[run.number] = self._add_run(run, partly.get(run.number))
        for each in self._there:
            self._add_page(each, pages.get(each))
        return len(missing)

    def versions(self) -> int:
        """Add the model versions that MLflow lacks, set states and the champion's alias; how many were new."""
        kept = tuple(reversed(self._rooms.ledger.models(self._pipeline)))
        if not kept:
            return 0
        if not self._client.search_registered_models(f"name = '{self._name}'"):
            self._client.create_registered_model(self._name)
        there = {
            int(version.tags[_VERSION]): version
            for version in self._client.search_model_versions(f"name = '{self._name}'")
            if _VERSION in version.tags
        }
        missing = [model for model in kept if model.version not in there]
        for model in missing:
            there[model.version] = self._add_version(model)
        for model in kept:
            number, tags = there[model.version].version, there[model.version].tags
            if tags.get(_STATE) != model.state.value:
                self._client.set_model_version_tag(self._name, number, _STATE, model.state.value)
        self._point({model.version: str(there[model.version].version) for model in kept})
        return len(missing)

    def _point(self, numbers: Mapping[int, str]) -> None:
        champion = self._rooms.ledger.alias(self._pipeline, CHAMPION_ALIAS)
        aliases = self._client.get_registered_model(self._name).aliases
        named = aliases.get(CHAMPION_ALIAS)
        if champion is None and named is not None:
            self._client.delete_registered_model_alias(self._name, CHAMPION_ALIAS)
        elif champion is not None and str(named) != numbers[champion]:
            self._client.set_registered_model_alias(self._name, CHAMPION_ALIAS, numbers[champion])

    def _runs_there(self) -> Iterator[RunThere]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_MOST_RUNS, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _add_run(self, run: Run, begun: str | None) -> str:
        """A run with all that is kept of it; `begun` is what an earlier try left. The tag `whole` comes last."""
        from mlflow.entities import Metric, Param, RunTag

        steps = {step.name: step for step in self._rooms.ledger.steps(run.number)}
        tags = self._tags(run)
        if begun is None:
            created = self._client.create_run(
                self._experiment,
                start_time=run.created_at_us // 1_000,
                tags=tags,
                run_name=f"{run.pipeline} {run.kind} {run.number}",
            )
            begun = str(created.info.run_id)
        ended_ms = (run.ended_at_us or run.created_at_us) // 1_000
        metrics = [Metric(name, value, ended_ms, 0) for name, value in _measured(steps).items()]
        params = [Param(name, value[:_MOST_TEXT]) for name, value in _parameters(run, steps).items()]
        for first in range(0, max(len(params), 1), 100):  # the most that one request may hold
            self._client.log_batch(begun, params=params[first : first + 100])
        self._client.log_batch(begun, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])
        for step in steps.values():
            self._add_files(begun, step)
        self._client.set_terminated(begun, _STATUS.get(run.state, "KILLED"), ended_ms)
        self._client.set_tag(begun, _WHOLE, "true")
        return begun

    def _add_page(self, number: int, before: str | None) -> None:
        """The page of a run, unless it is the one whose digest MLflow has: it is written anew when a model moves."""
        path = page_path(self._rooms, number)
        if not path.is_file():
            return
        page = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(page.encode()).hexdigest()
        if digest != before:
            self._client.log_text(self._there[number], page, "report.html")
            self._client.set_tag(self._there[number], _PAGE, digest)

    def _tags(self, run: Run) -> dict[str, str]:
        tags = {
            _RUN: str(run.number),
            _STATE: run.state.value,
            "featurestore.kind": run.kind,
            "featurestore.trigger": run.trigger,
            "featurestore.actor": run.actor,
            "featurestore.outcome": run.outcome[:_MOST_TEXT],
            "featurestore.dirty": str(run.code.dirty).lower(),
            "featurestore.lock": run.code.lock,
        }
        if run.code.commit is not None:
            tags["mlflow.source.git.commit"] = run.code.commit
        for result in self._rooms.ledger.gate_results(run=run.number):
            tags.setdefault(f"featurestore.gate.{result.gate}", result.verdict.value)
        return tags

    def _add_files(self, run_id: str, step: Step) -> None:
        """A step's files, each under the step and the name that it has there."""
        with tempfile.TemporaryDirectory() as folder:
            for name, digest in step.artifacts.items():
                kept = self._rooms.artifacts.path(self._rooms.ledger.artifact(digest))
                named = Path(folder) / f"{name}{kept.suffix}"
                shutil.copyfile(kept, named)
                self._client.log_artifact(run_id, str(named), step.name)

    def _add_version(self, model: ModelVersion) -> VersionThere:
        document, run_id = ModelDocument.of(model), self._there[model.run]
        source = f"{self._client.get_run(run_id).info.artifact_uri}/train/model{Path(document.path).suffix}"
        return self._client.create_model_version(
            self._name,
            source,
            run_id,
            tags={
                _VERSION: str(model.version),
                "featurestore.sha256": model.digest,
                "featurestore.dataset": document.dataset,
            },
            description=document.summary,
        )


def _measured(steps: Mapping[str, Step]) -> dict[str, float]:
    """Metrics by part of the split, of the champion, and the seconds of each step."""
    found: dict[str, float | None] = {f"seconds.{name}": step.duration_us / 1e6 for name, step in steps.items()}
    if (step := steps.get("evaluate")) is not None and step.result:
        evaluated = msgspec.convert(step.result, Evaluated)
        for part, metrics in evaluated.metrics.items():
            found |= {f"{part}.{name}": value for name, value in metrics.items()}
        found |= {f"champion.{name}": value for name, value in evaluated.champion_metrics.items()}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _parameters(run: Run, steps: Mapping[str, Step]) -> dict[str, str]:
    """What was set for the run, and all parameters of its estimator."""
    found = {f"set.{name}": str(value) for name, value in run.parameters.items()}
    if (step := steps.get("train")) is not None and step.result:
        trained = msgspec.convert(step.result, Trained)
        found["estimator"] = trained.estimator
        found |= {name: str(value) for name, value in trained.parameters.items()}
    return found
