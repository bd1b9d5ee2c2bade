"""Asks a server for a prediction of one entity, or for its features and a model in this process for the score."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import polars as pl
from threadpoolctl import threadpool_limits

from benchmarks.http_load import Load, free_port, latencies, post, running
from benchmarks.measure import keep_to, percentiles, report
from featurestore import FeatureStore
from pipelines.frames import model_frame
from pipelines.models.document import ModelDocument
from pipelines.models.files import load_model
from pipelines.rooms import PipelineRooms

_BODIES = 256
_ENTITIES = 1_000


def main() -> None:
    """Arguments: `features` or `predict`, the model, the project's folder, how many requests."""
    way, model, project, requests = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    if way == "predict":
        report(**_asked(project, f"/v1/models/{model}/predict", {}, requests))
        return
    features = _asked(project, "/v1/features", {"service": "all_v1"}, requests)
    bare = _bare(project, model, requests)
    report(
        p50_us=features["p50_us"] + bare["p50_us"],
        p99_us=features["p99_us"] + bare["p99_us"],
        lookup_us=features["p50_us"],
        model_us=bare["p50_us"],
    )


def _asked(project: Path, path: str, question: dict[str, object], requests: int) -> dict[str, float]:
    """Percentiles of one question after the other."""
    port, drawn = free_port(), random.Random(1)
    keys = drawn.sample(range(_ENTITIES), _BODIES)
    messages = [post(path, json.dumps({**question, "entities": [{"key": key}]}).encode()) for key in keys]
    load = Load(requests=requests, warm_up=_BODIES, connections=1, seconds=0)
    program = str(Path(sys.executable).with_name("featurestore"))
    keep_to(0)
    with running([program, "--project", str(project), "serve", "--port", str(port)], port, "/readyz"):
        keep_to(-1)
        return latencies(port, lambda number: messages[number % _BODIES], load)


def _bare(project: Path, model: str, requests: int) -> dict[str, float]:
    """Percentiles of the fitted estimator's own `predict_proba` on a frame of one row that is there already."""
    with FeatureStore(project) as store:
        (version,) = PipelineRooms(store).ledger.models(model)
    document = ModelDocument.of(version)
    estimator: Any = load_model(project / document.path, version.digest)
    inputs = document.signature.inputs
    row = model_frame(pl.DataFrame({name: [0.5] for name, _ in inputs}), inputs)
    with threadpool_limits(1):  # as the server has it; more threads take longer for one row
        return percentiles(lambda _: estimator.predict_proba(row), [[0]] * (requests + _BODIES), _BODIES)


if __name__ == "__main__":
    main()
