"""Verify: the stored file, served apart from this process, gives the predictions of training time, fast enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from featurestore.errors import FeatureStoreError
from pipelines.definition.model_gate import Behaves
from pipelines.gates.policy import policy_digest
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import ModelVersion, Verdict
from pipelines.model_gate.checks import SCORE
from pipelines.models.document import ModelDocument
from pipelines.models.fresh import Order, Served, served_afresh
from pipelines.reports import GateReport

Server = Callable[[ModelVersion, Path], Served]  # a version and its golden requests, to what answered them


def fresh_server(root: Path, trusted: tuple[str, ...]) -> Server:
    """A server in a process of its own, which loads the model's file as it is stored."""

    def serve(model: ModelVersion, golden: Path) -> Served:
        document = ModelDocument.of(model)
        return served_afresh(
            Order(
                path=str(root / document.path),
                digest=model.digest,
                trusted=trusted,
                kind=document.signature.kind,
                inputs=document.signature.inputs,
                golden=str(golden),
            )
        )

    return serve


def verify(model: ModelVersion, golden: Path, behaves: Behaves | None, serve: Server) -> GateReport:
    """Whether the model behaves in the server as declared, by default with no budget but the tolerance of 1e-9."""
    wanted = behaves or Behaves(latency_ms=None)
    expected = pl.read_parquet(golden).head(wanted.golden_requests)[SCORE].to_numpy()
    try:
        served = serve(model, golden)
        results = [_agreement(expected, served, wanted), *_budgets(served, wanted)]
    except FeatureStoreError as error:
        results = [CheckResult("Served", Verdict.ERROR, str(error))]
    return GateReport.of("serving", policy_digest([wanted]), results)


def _agreement(expected: np.ndarray[tuple[int], np.dtype[np.float64]], served: Served, wanted: Behaves) -> CheckResult:
    answered = np.asarray(served.scores[: expected.size])
    if answered.shape != expected.shape:
        message = f"{answered.size} of {expected.size} golden requests were answered."
        return CheckResult("Predictions", Verdict.FAIL, message)
    apart = float(np.abs(answered - expected).max()) if expected.size else 0.0
    message = f"{expected.size} golden requests differ from training by {apart:.3g}; {wanted.tolerance:g} is allowed."
    verdict = Verdict.PASS if apart <= wanted.tolerance else Verdict.FAIL
    return CheckResult("Predictions", verdict, message, {"apart": apart})


def _budgets(served: Served, wanted: Behaves) -> list[CheckResult]:
    results = []
    for what, value, budget, unit in (
        ("Latency", served.latency_ms, wanted.latency_ms, "ms"),
        ("Memory", served.memory_mb, wanted.memory_mb, "MB"),
    ):
        if budget is not None:
            verdict = Verdict.PASS if value <= budget else Verdict.FAIL
            message = f"{what} is {value:.3g} {unit}; {budget:g} {unit} is allowed."
            results.append(CheckResult(what, verdict, message, {"value": value}))
    return results
