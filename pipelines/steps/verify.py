"""Verify: the stored file, served apart from this process, gives the predictions of training time, fast enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from featurestore.errors import FeatureStoreError
from pipelines.definition.model_gate import Behaves
from pipelines.gates.behaviour import Behaviour, judge_behaviour
from pipelines.gates.policy import policy_digest
from pipelines.ledger.records import ModelVersion
from pipelines.metrics import Numbers
from pipelines.models.document import ModelDocument
from pipelines.models.fresh import Order, Served, served_afresh
from pipelines.reports import GateReport
from pipelines.steps.evaluate import SCORE

Server = Callable[[ModelVersion, Path], Served]  # a version and its golden requests, to what answered them


def fresh_server(root: Path) -> Server:
    """The server in a process of its own, which loads the model's file as it is stored."""

    def serve(model: ModelVersion, golden: Path) -> Served:
        names = ModelDocument.of(model).signature.names
        return served_afresh(
            Order(root=str(root), model=model.model, version=model.version, inputs=names, golden=str(golden))
        )

    return serve


def verify(model: ModelVersion, golden: Path, behaves: Behaves | None, serve: Server) -> GateReport:
    """Whether the model behaves in the server as declared, by default with no budget but the tolerance of 1e-9."""
    rows = pl.read_parquet(golden)
    wanted = behaves or Behaves(golden_requests=max(rows.height, 1), latency_ms=None)
    if rows.height < wanted.golden_requests:  # fewer test rows than requests
        wanted = replace(wanted, golden_requests=max(rows.height, 1))
    result = judge_behaviour(wanted, measured(rows[SCORE].to_numpy(), model, golden, serve))
    return GateReport.of("serving", policy_digest([wanted]), [result])


def measured(expected: Numbers, model: ModelVersion, golden: Path, serve: Server) -> Behaviour:
    """What the server did with the golden requests, beside the scores of training."""
    try:
        served = serve(model, golden)
    except FeatureStoreError as error:
        return Behaviour(0, None, failure=str(error))
    answered = np.asarray(served.scores)
    if answered.shape != expected.shape:
        return Behaviour(answered.size, None, served.latency_ms, served.memory_mb)
    apart = float(np.abs(answered - expected).max()) if expected.size else None
    return Behaviour(answered.size, apart, served.latency_ms, served.memory_mb)
