"""A prediction over HTTP beside the features over HTTP and the bare model on one row in process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.contest import REPOSITORY, Contestant, Standing, hold
from benchmarks.inputs import ONLINE_VIEWS, Sizes, write_online
from benchmarks.options import Options
from benchmarks.report import Number, Section, Target, table
from featurestore import FeatureStore
from featurestore.timeline import instant_us
from pipelines.promotion import approve
from pipelines.rooms import PipelineRooms
from pipelines.running import run_pipeline

_NOW = datetime(2025, 3, 1, tzinfo=UTC)
_ENTITIES = 1_000
_REQUESTS = 1_000
_LIMIT = 1.5
_MODELS = {"trees": "HistGradientBoostingClassifier, 100 trees", "line": "LogisticRegression"}
_NUMBERS = (Number("p50_us", "p50", ",.0f", ranged=True), Number("p99_us", "p99", ",.0f"))


def measure(options: Options) -> Section:
    """Train both models, let them be asked in turns."""
    project = _project(options.workspace / "predict")
    held = {model: hold(tuple(_contestants(options, model, project)), options.rounds) for model in _MODELS}
    return Section(
        title="Predictions over HTTP",
        command=options.command,
        load=options.load,
        paragraphs=tuple(_paragraphs(options, held)),
        targets=tuple(_target(model, standings) for model, standings in held.items()),
    )


def _contestants(options: Options, model: str, project: Path) -> Iterator[Contestant]:
    for name, what in (
        ("features", "`POST /v1/features`, and `predict_proba` on one row in process"),
        ("predict", f"`POST /v1/models/{model}/predict`"),
    ):
        yield options.ours(name, "asked_predict", what, name, model, project, _REQUESTS)


def _paragraphs(options: Options, held: dict[str, list[Standing]]) -> Iterator[str]:
    yield (
        f"One entity of {_ENTITIES:,}, a service of three views of ten doubles on LMDB, a model of all thirty, one "
        f"worker; microseconds. Rounds: {options.rounds}, {_REQUESTS:,} requests one after the other. "
        "The two p50 of the first way, and its two p99, are added; its estimator gets a frame that is there already, "
        "and one thread as in the server. "
        "The server also makes the frame, checks for a new champion and logs each prediction."
    )
    for model, standings in held.items():
        features = standings[0]
        parts = (features.median(name) for name in ("lookup_us", "model_us"))
        shares = "features {:,.0f}, model {:,.0f}".format(*parts)
        yield f"{_MODELS[model]} ({shares}):"
        yield table(standings, _NUMBERS, base="features")


def _target(model: str, standings: Sequence[Standing]) -> Target:
    apart, together = standings
    ratio = together.median("p50_us") / apart.median("p50_us")
    return Target(f"{model}: p50 of predict / features and bare model, at most {_LIMIT:g}", ratio, _LIMIT)


def _project(place: Path) -> Path:
    """Both pipelines with a champion, made anew."""
    shutil.rmtree(place, ignore_errors=True)
    write_online(place / "inputs", Sizes(online=_ENTITIES))
    _labels(place / "inputs").write_parquet(place / "inputs" / "labels.parquet")
    project = place / "project"
    shutil.copytree(REPOSITORY / "benchmarks" / "projects" / "predict", project)
    with FeatureStore(project, now_us=lambda: instant_us(_NOW, "now")) as store:
        store.apply()
        store.materialize(_NOW - timedelta(days=1))
        for model in _MODELS:
            report = run_pipeline(store, model)
            if report.model is None:
                raise SystemExit(f"{model} was not trained: {report.run.outcome}")
            approve(PipelineRooms(store), model, report.model.version, "the first one")
    return project


def _labels(inputs: Path) -> pl.DataFrame:
    """Each entity is asked for once, every half hour of February; its label follows mostly from one feature."""
    rows = pl.read_parquet(inputs / f"{ONLINE_VIEWS[0]}.parquet")
    asked_at = pl.lit(datetime(2025, 2, 5, tzinfo=UTC)) + pl.duration(minutes=30 * pl.int_range(pl.len()))
    return rows.select(
        "key",
        asked_at=asked_at.dt.cast_time_unit("us"),
        known_at=asked_at.dt.cast_time_unit("us"),
        good=(pl.col(f"{ONLINE_VIEWS[0]}_f0") > 0).cast(pl.Int64) ^ (pl.int_range(pl.len()) % 7 == 0).cast(pl.Int64),
    )
