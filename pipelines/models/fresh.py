"""A stored model behind the server's own code, in a process of its own: it reads an Order, and answers as Served."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from featurestore.errors import PipelineError

_SECONDS = 120
_RAISED = f"{PipelineError.__module__}.{PipelineError.__qualname__}: "  # before the words of an error
_TRIAL = "serving.trial"  # stands above this floor, so it is named and not imported


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model of the project at `root`, and a Parquet file whose columns `inputs` are golden requests."""

    root: str
    model: str
    version: int
    inputs: tuple[str, ...]
    golden: str


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A score for each golden request, asked one by one; the median time of one, and the most memory in use."""

    scores: tuple[float, ...]
    latency_ms: float
    memory_mb: float


def served_afresh(order: Order) -> Served:
    """What a new process answers; raises PipelineError when it cannot."""
    command = [sys.executable, "-m", _TRIAL]
    try:
        run = subprocess.run(
            command,
            input=msgspec.json.encode(order),
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # one row is no work to share, and waking threads takes longer
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise PipelineError(f"The stored model did not answer within {_SECONDS} s in a process of its own.") from error
    if run.returncode:
        last = (run.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {run.returncode}"])[-1]
        raise PipelineError(f"The stored model cannot be served: {last.removeprefix(_RAISED)}")
    return msgspec.json.decode(run.stdout, type=Served)
