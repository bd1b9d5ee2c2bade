"""What the stored model did in a real server, judged: the server is asked elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from pipelines.definition.model_gate import Behaves
from pipelines.gates.verdict import CheckResult
from pipelines.ledger.records import Verdict


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was measured: `requests` that were answered, the largest difference of a prediction to that of training,
    the median time of a request and the server's resident memory (None: not measured). `failure`: why it failed.
    """

    requests: int
    largest_difference: float | None
    latency_ms: float | None = None
    memory_mb: float | None = None
    failure: str | None = None


def judge_behaviour(check: Behaves, measured: Behaviour | None) -> CheckResult:
    """Whether the served model is the trained one, inside its budget; None (it was not tried) is INCONCLUSIVE."""
    if measured is None:
        return CheckResult("Behaves", Verdict.INCONCLUSIVE, "The model was not tried in a server yet.")
    slower = None if check.latency_ms is None else check.latency_ms * 2 + 1
    larger = None if check.memory_mb is None else check.memory_mb * 2 + 1
    copies = {
        "other predictions": replace(measured, largest_difference=check.tolerance * 2 + 1),
        "too slow": None if slower is None else replace(measured, latency_ms=slower),
        "too large": None if larger is None else replace(measured, memory_mb=larger),
    }
    proved = []
    for how, copy in copies.items():
        if copy is None:
            continue
        if _judged(check, copy).verdict is Verdict.PASS:
            reason = f"It let a deliberately worse behaviour pass ({how}), so it has no verdict."
            return CheckResult("Behaves", Verdict.ERROR, reason)
        proved.append(how)
    return _judged(check, measured).proven(proved)


def _judged(check: Behaves, measured: Behaviour) -> CheckResult:
    def said(verdict: Verdict, reason: str) -> CheckResult:
        return CheckResult("Behaves", verdict, reason, asdict(measured))

    if measured.failure is not None:
        return said(Verdict.FAIL, f"The served model failed: {measured.failure.rstrip('.')}.")
    difference, latency, memory = measured.largest_difference, measured.latency_ms, measured.memory_mb
    if difference is not None and not difference <= check.tolerance:
        return said(
            Verdict.FAIL,
            f"A served prediction differs by {difference:.3g} from that of training, and {check.tolerance:.3g} may be.",
        )
    if check.latency_ms is not None and latency is not None and not latency <= check.latency_ms:
        return said(
            Verdict.FAIL, f"The median request takes {latency:.1f} ms, and {check.latency_ms:.1f} ms are allowed."
        )
    if check.memory_mb is not None and memory is not None and not memory <= check.memory_mb:
        return said(Verdict.FAIL, f"The server takes {memory:.0f} MB, and {check.memory_mb:.0f} MB are allowed.")
    if measured.requests < check.golden_requests or difference is None:
        return said(
            Verdict.INCONCLUSIVE, f"{measured.requests} of {check.golden_requests} golden requests were answered."
        )
    if (check.latency_ms is not None and latency is None) or (check.memory_mb is not None and memory is None):
        return said(Verdict.INCONCLUSIVE, "Its latency or memory was not measured, and the gate limits it.")
    return said(Verdict.PASS, f"{measured.requests} served predictions are those of training, to {difference:.3g}.")
