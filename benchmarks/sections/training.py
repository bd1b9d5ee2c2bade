"""A run of a training pipeline on a year of New York flights, step by step, beside a champion."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contest import REPOSITORY
from benchmarks.options import Options
from benchmarks.report import Section, Target
from demo.sources import write_sources
from featurestore import FeatureStore
from featurestore.timeline import instant_us
from pipelines.promotion import approve
from pipelines.rooms import PipelineRooms
from pipelines.run_report import RunReport
from pipelines.running import run_pipeline

_FIRST, _SECOND = datetime(2013, 11, 1, tzinfo=UTC), datetime(2013, 12, 30, tzinfo=UTC)
_NAME = "late_flight"


def measure(options: Options) -> Section:
    """Make the project anew, crown a first model, and run once more two months later."""
    report = _second_run(make_project(options.workspace / "training"))
    fit = next(float(str(step.result["fit_seconds"])) for step in report.steps if step.name == "train")
    seconds = {step.name: step.duration_us / 1e6 for step in report.steps}
    rows = next(int(str(step.result["rows"])) for step in report.steps if step.name == "extract")
    seconds["train"] -= fit
    whole = sum(seconds.values())
    lines = [f"| {name} | {taken:.2f} |" for name, taken in seconds.items()]
    return Section(
        title="Training",
        command=options.command,
        load=options.load,
        paragraphs=(
            f"One run of a pipeline with all gates on {rows:,} flights, scored beside a champion; the estimator's fit "
            f"({fit:.1f} s) does not count. It ended as {report.run.state.value}: {report.run.outcome}",
            "\n".join(("| step | seconds |", "|---|---:|", *lines, f"| all | {whole:.2f} |")),
        ),
        targets=(Target("a run without the estimator's fit, at most 40 s", whole, 40),),
    )


def make_project(root: Path) -> Path:
    """The flights as a project with the pipeline, not applied yet."""
    shutil.rmtree(root, ignore_errors=True)
    write_sources(root / "data" / "sources")
    definitions = root / "feature_defs"
    definitions.mkdir()
    for name in ("__init__.py", "contracts.py", "flights.py"):
        shutil.copy(REPOSITORY / "feature_defs" / name, definitions / name)
    shutil.copy(REPOSITORY / "benchmarks" / "projects" / "training" / "late.py", definitions / "late.py")
    (root / "featurestore.toml").write_text('project = "flights"\n', encoding="utf-8")
    return root


def _second_run(root: Path) -> RunReport:
    now = [_FIRST]
    with FeatureStore(root, now_us=lambda: instant_us(now[0], "now")) as store:
        store.apply()
        store.materialize(_FIRST)
        first = run_pipeline(store, _NAME)
        assert first.model is not None, first.run.outcome
        approve(PipelineRooms(store), _NAME, first.model.version, "the first one")
        now[0] = _SECOND
        store.materialize(_SECOND)
        return run_pipeline(store, _NAME)
