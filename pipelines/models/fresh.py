"""A stored model in a process of its own: `python -m pipelines.models.fresh` reads an Order, and answers as Served."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import msgspec

from featurestore.errors import PipelineError
from pipelines.definition.metrics import Kind

_SECONDS = 120
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A model file with its digest, the types it may name, and a Parquet file of model inputs in order."""

    path: str
    digest: str
    trusted: tuple[str, ...]
    kind: Kind
    inputs: tuple[tuple[str, str], ...]
    golden: str


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A score for each golden request, asked one by one; the median time of one, and the most memory in use."""

    scores: tuple[float, ...]
    latency_ms: float
    memory_mb: float


def served_afresh(order: Order) -> Served:
    """What a new process answers; raises PipelineError when it cannot."""
    command = [sys.executable, "-m", "pipelines.models.fresh"]
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
        last = run.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise PipelineError(f"The stored model cannot be used in a process of its own: {' '.join(last)}")
    return msgspec.json.decode(run.stdout, type=Served)


def answer(order: Order) -> Served:
    """What this process answers."""
    import polars as pl

    from pipelines.frames import model_frame
    from pipelines.models.files import load_model
    from pipelines.models.scoring import score

    model = load_model(Path(order.path), order.digest, order.trusted)
    frame = model_frame(pl.read_parquet(order.golden), order.inputs)
    scores, took = [], []
    for place in range(frame.height):
        began = perf_counter()
        scores.append(float(score(model, frame[place : place + 1], order.kind)[0]))
        took.append((perf_counter() - began) * 1e3)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 2**20
    return Served(scores=tuple(scores), latency_ms=sorted(took)[len(took) // 2], memory_mb=memory)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))))
