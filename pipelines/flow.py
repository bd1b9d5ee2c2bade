"""The steps of a run strung together: what each one needs, and when the run stops."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec
import polars as pl
from threadpoolctl import threadpool_limits

from featurestore.dataset import Dataset
from featurestore.pinning import Pins
from featurestore.plan.lookup import LookupPlan
from pipelines import frames, metrics
from pipelines.code import code_digest, package_versions
from pipelines.definition.data_gate import Freshness
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.gates import baseline as baselines
from pipelines.gates import (
    bootstrap,
    counting,
    data,
    data_checks,
    data_proof,
    distances,
    drift,
    model,
    model_checks,
    model_proof,
    scored,
)
from pipelines.gates.baseline import Baseline
from pipelines.gates.policy import policy_digest
from pipelines.ledger.records import Artifact, ModelVersion
from pipelines.models import files, scoring
from pipelines.models.document import ModelDocument
from pipelines.models.files import SUFFIX, check_types, load_model, model_bytes
from pipelines.pages.plots import model_plots, plot_files, slice_plots
from pipelines.reports import GateReport
from pipelines.rooms import PipelineRooms
from pipelines.stepping import Done, Stepper, Task
from pipelines.steps import compare, evaluate, extract, split, train, validate
from pipelines.steps.evaluate import Champion, Contestant, Evaluated
from pipelines.steps.extract import Extracted
from pipelines.steps.split import Divided, Parts
from pipelines.steps.train import Trained


class Validated(msgspec.Struct, frozen=True, kw_only=True):
    """The data gate's report, and the digest of the statistics of earlier data (None: there was none)."""

    report: GateReport
    baseline: str | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The model gate's report, the slices that had rows enough, and whether an absolute bound was met."""

    report: GateReport
    slices: dict[str, tuple[str, ...]]
    bounded: bool


@dataclass(frozen=True, slots=True)
class Live:
    """The champion when a run began, with what is kept of it."""

    model: ModelVersion
    document: ModelDocument


class Flow:
    """The steps from extract to compare of one attempt, each to be asked in order; `settings` change the estimator."""

    def __init__(self, stepper: Stepper, pipeline: TrainingPipeline, settings: Mapping[str, object]) -> None:
        self.stepper = stepper
        self.pipeline = pipeline
        self.settings = dict(settings)
        self.rooms: PipelineRooms = stepper.rooms
        self._spine: pl.DataFrame | None = None
        self._parts: Parts | None = None

    @cached_property
    def live(self) -> Live | None:
        """The champion when the run began."""
        champion = self.rooms.models.champion(self.pipeline.name)
        return None if champion is None else Live(champion, ModelDocument.of(champion))

    @cached_property
    def _pins(self) -> Pins:
        return self.rooms.store.pins(self.pipeline.service.name)

    @cached_property
    def _plan(self) -> LookupPlan:
        return self.rooms.store.lookup_plan(self.pipeline.service.name)

    def extract(self) -> Extracted:
        """A saved dataset."""
        store, as_of_us = self.rooms.store, self.stepper.run.as_of_us

        def needs() -> Mapping[str, object]:
            self._spine = extract.label_spine(store, self.pipeline, as_of_us)
            digest = extract.spine_digest(self._spine)
            how = str(extract.split_of(self.pipeline))
            return {"examples": digest, "features": extract.pins_document(self._pins), "split": how}

        def compute() -> Done[Extracted]:
            assert self._spine is not None, "needs come first"
            return Done(extract.extract(store, self.pipeline, self._spine, self._pins))

        return self.stepper.do(Task("extract", Extracted, (extract,), needs, compute))

    def validate(self, extracted: Extracted) -> Validated:
        """The data gate's verdict; the artifacts are the `statistics` of the data and the rows `refused`."""
        before, as_of_us = self._baseline(), self.stepper.run.as_of_us

        def needs() -> Mapping[str, object]:
            timely = any(isinstance(check, Freshness) for check in self.pipeline.data_gate)
            return {
                "dataset": extracted.sha256,
                "policy": policy_digest(self.pipeline.data_gate),
                "inputs": self.pipeline.inputs,
                "baseline": before,
                "as_of_us": as_of_us if timely else None,
            }

        def compute() -> Done[Validated]:
            earlier = None if before is None else self._statistics(before)
            judged = validate.validate(self.pipeline, self._dataset(extracted), extracted, earlier, as_of_us)
            kept = {}
            if judged.statistics is not None:
                kept["statistics"] = self.rooms.artifacts.keep(msgspec.json.encode(judged.statistics), ".json")
            refused = [check.failing for check in judged.checks if check.failing is not None]
            if refused:
                kept["refused"] = self._parquet(pl.concat(refused, how="diagonal"))
            report = GateReport.of("data", judged.policy, judged.checks, judged.verdict)
            return Done(Validated(report=report, baseline=before), kept)

        code = (validate, data, data_checks, data_proof, baselines, counting, distances, drift)
        return self.stepper.do(Task("validate", Validated, code, needs, compute, gate=lambda done: done.report))

    def split(self, extracted: Extracted) -> Divided:
        """Which rows train and test."""
        how = extract.split_of(self.pipeline)

        def compute() -> Done[Divided]:
            divided, self._parts = split.split(self._dataset(extracted), how)
            return Done(divided)

        def needs() -> Mapping[str, object]:
            return {"dataset": extracted.sha256, "split": str(how)}

        return self.stepper.do(Task("split", Divided, (split,), needs, compute))

    def train(self, extracted: Extracted, divided: Divided) -> Trained:
        """A fitted model, whose file is the artifact `model`."""

        def needs() -> Mapping[str, object]:
            return {
                "rows": divided.sha256,
                "dataset": extracted.sha256,
                "inputs": self.pipeline.inputs,
                "estimator": code_digest(self.pipeline.estimator),
                "settings": {name: repr(value) for name, value in sorted(self.settings.items())},
                "packages": package_versions(*train.PACKAGES),
            }

        def compute() -> Done[Trained]:
            estimator = train.made_estimator(self.pipeline.estimator, self.settings)
            signature = train.signature_of(self.pipeline, self._plan, extracted.outputs, estimator)
            threads = self.rooms.store.configuration.pipelines.threads
            trained = train.train(estimator, self._rows(extracted).train, signature, threads)
            content = model_bytes(estimator)
            check_types(content, self.rooms.models.trusted)
            return Done(trained, {"model": self.rooms.artifacts.keep(content, SUFFIX)})

        return self.stepper.do(Task("train", Trained, (train, frames, files, scoring), needs, compute))

    def evaluate(self, extracted: Extracted, divided: Divided, trained: Trained) -> Evaluated:
        """Metrics on the test rows, of the model as it is stored and of the champion."""
        sliced = self._sliced(extracted)
        rows = self.pipeline.behaves()
        golden = evaluate.GOLDEN if rows is None else rows.golden_requests

        def needs() -> Mapping[str, object]:
            return {
                "model": self.stepper.artifact("train", "model").digest,
                "rows": divided.sha256,
                "dataset": extracted.sha256,
                "champion": None if self.live is None else [self.live.model.version, self.live.model.digest],
                "slices": sliced,
                "golden": golden,
            }

        def compute() -> Done[Evaluated]:
            parts, timestamp = self._rows(extracted), self.pipeline.labels.timestamp
            candidate = Contestant(self._model(), trained.signature)
            with threadpool_limits(self.rooms.store.configuration.pipelines.threads):
                evaluated, table = evaluate.evaluate(candidate, parts, sliced, self._champion(parts))
                asked = evaluate.golden_requests(candidate, parts, timestamp, golden)
                curves = evaluate.curves(candidate, parts)
            kept = {"scores": self._parquet(table), "golden": self._parquet(asked)}
            kept["curves"] = self.rooms.artifacts.keep(msgspec.json.encode(curves), ".json")
            return Done(evaluated, kept | self._drawn(model_plots(curves)))

        code = (evaluate, metrics, frames, scoring)
        return self.stepper.do(Task("evaluate", Evaluated, code, needs, compute))

    def compare(self, trained: Trained, evaluated: Evaluated) -> Compared:
        """The model gate's verdict."""
        scores = self.stepper.artifact("evaluate", "scores")
        slices = None if self.live is None else self.live.document.slices

        def needs() -> Mapping[str, object]:
            policy = policy_digest(self.pipeline.model_gate)
            return {"scores": scores.digest, "champion": evaluated.champion, "slices": slices, "policy": policy}

        def compute() -> Done[Compared]:
            table = pl.read_parquet(io.BytesIO(self.rooms.artifacts.read(scores)))
            judged = compare.compare(self.pipeline.model_gate, table, trained.signature.label, slices)
            report = GateReport.of("model", judged.policy, judged.checks, judged.verdict)
            bounded = compare.bounded(report.checks)
            compared = Compared(report=report, slices=judged.groups, bounded=bounded)
            return Done(compared, self._drawn(slice_plots(report.checks)))

        code = (compare, model, model_checks, model_proof, scored, bootstrap, metrics)
        return self.stepper.do(Task("compare", Compared, code, needs, compute, gate=lambda done: done.report))

    def document(
        self, extracted: Extracted, divided: Divided, trained: Trained, evaluated: Evaluated, compared: Compared
    ) -> ModelDocument:
        """What is kept of the model version that these steps made."""
        manifest = self._dataset(extracted).manifest
        artifacts = {name: self.stepper.artifact("evaluate", name) for name in ("scores", "golden", "curves")}
        artifacts["statistics"] = self.stepper.artifact("validate", "statistics")
        artifacts |= self.stepper.artifacts("plot_")
        return ModelDocument(
            path=self.stepper.artifact("train", "model").path,
            dataset=extracted.dataset,
            dataset_sha256=extracted.sha256,
            service_meaning=manifest.service_meaning,
            views={name: view.version for name, view in manifest.views.items()},
            on_demand=manifest.on_demand,
            split=divided.split,
            rows=divided.rows,
            code=self.stepper.run.code,
            estimator=trained.estimator,
            settings=self.settings,
            parameters=trained.parameters,
            packages=trained.packages,
            signature=trained.signature,
            metrics=evaluated.metrics,
            artifacts={name: artifact.digest for name, artifact in artifacts.items()},
            slices=compared.slices,
            verdict=compared.report.verdict,
            summary=compared.report.summary,
            bounded=compared.bounded,
        )

    def _dataset(self, extracted: Extracted) -> Dataset:
        return self.rooms.store.datasets.get(extracted.dataset)

    def _rows(self, extracted: Extracted) -> Parts:
        if self._parts is None:
            self._parts = split.split(self._dataset(extracted), extract.split_of(self.pipeline))[1]
        return self._parts

    def _model(self) -> object:
        stored = self.stepper.artifact("train", "model")
        return load_model(self.rooms.artifacts.path(stored), stored.digest, self.rooms.models.trusted)

    def _champion(self, parts: Parts) -> Champion | None:
        if self.live is None:
            return None
        signature, timestamp = self.live.document.signature, self.pipeline.labels.timestamp
        rows = evaluate.champion_rows(self.rooms.store, signature, parts.test, timestamp)
        contestant = Contestant(self.rooms.models.load(self.live.model), signature)
        return Champion(self.live.model.version, contestant, rows)

    def _sliced(self, extracted: Extracted) -> tuple[str, ...]:
        """The columns of slices and groups that the rows have; the gate says which are missing."""
        there = {name for name, _ in self._dataset(extracted).columns()}
        return tuple(name for name in compare.grouped_columns(self.pipeline.model_gate) if name in there)

    def _baseline(self) -> str | None:
        """The digest of the statistics of the champion's data, without a champion of the data that passed last."""
        if self.live is not None:
            return self.live.document.artifacts.get("statistics")
        run = self.rooms.ledger.last_passed(self.pipeline.name, "data", before=self.stepper.run.number)
        steps = () if run is None else self.rooms.ledger.steps(run)
        return next((s.artifacts["statistics"] for s in reversed(steps) if "statistics" in s.artifacts), None)

    def _statistics(self, digest: str) -> Baseline:
        content = self.rooms.artifacts.read(self.rooms.ledger.artifact(digest))
        return msgspec.json.decode(content, type=Baseline)

    def _drawn(self, plots: Iterable[tuple[str, str]]) -> dict[str, Artifact]:
        return {name: self.rooms.artifacts.keep(svg, ".svg") for name, svg in plot_files(plots).items()}

    def _parquet(self, frame: pl.DataFrame) -> Artifact:
        sink = io.BytesIO()
        frame.write_parquet(sink)
        return self.rooms.artifacts.keep(sink.getvalue(), ".parquet")
