"""A version of a model, tried before it goes live: `python -m serving.trial` reads an Order, and answers as Served.

The process builds the server's application with that version in the champion's place, open to itself alone, and asks it
each golden request by its path. Nothing is logged.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from time import perf_counter

import httpx
import msgspec
import polars as pl
from starlette.types import ASGIApp

from featurestore.dtypes import Value, to_json
from featurestore.errors import PipelineError
from featurestore.store import FeatureStore
from pipelines.models.fresh import Order, Served
from serving.app import Trial, create_app
from serving.exchange import Request
from serving.routes import Route

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def answer(order: Order) -> Served:
    """What the server answers; raises PipelineError with its words when it does not."""
    app = create_app(FeatureStore(order.root), trial=Trial({order.model: order.version}, _everyone))
    scores, took = asyncio.run(_asked(app, order))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 2**20
    return Served(scores=tuple(scores), latency_ms=sorted(took)[len(took) // 2] * 1e3, memory_mb=memory)


async def _asked(app: ASGIApp, order: Order) -> tuple[list[float], list[float]]:
    """The score of each golden request, asked one by one, and the seconds that it took."""
    path = f"/v2/models/{order.model}/versions/{order.version}/infer"
    scores: list[float] = []
    took: list[float] = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for row in pl.read_parquet(order.golden).select(order.inputs).iter_rows():
            body = _question(order.inputs, row)
            began = perf_counter()
            response = await client.post(path, content=body)
            took.append(perf_counter() - began)
            told = response.json()
            if response.status_code != 200:
                raise PipelineError(f"The server answered {response.status_code}: {told['error']}")
            scores.append(float(told["outputs"][0]["data"][0]))
    return scores, took


def _question(names: tuple[str, ...], row: tuple[Value, ...]) -> bytes:
    """One row of a model's inputs, in the Open Inference Protocol; the types are the model's, whatever is written."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [to_json(value)]}
        for name, value in zip(names, row, strict=True)
    ]
    return msgspec.json.encode({"inputs": inputs, "outputs": [{"name": "score"}]})


def _everyone(_: Route, __: Request) -> None:
    """The guard: who asks is this process."""


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))))
