"""The Open Inference Protocol, version 2, over HTTP: `/v2/models/{name}/infer` and what clients ask beside it.

The inputs of a model are its join keys and request columns: features are looked up as for `/v1/.../predict`, and what
is answered is logged. Whoever has a whole vector gives the model's own inputs instead, by their names; then nothing is
looked up or logged. Outputs: `score`, and `prediction_id` where there is one. Errors are a text: `{"error": "..."}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

import msgspec

from featurestore.dtypes import parse
from featurestore.errors import FeatureStoreError, InputError
from serving.columns import column_decoder, encode
from serving.errors import Refused, error_answer
from serving.exchange import Answer, Request
from serving.health import Readiness
from serving.live import Live
from serving.predicting import Predicting
from serving.tensors import EXTENSION, TEXT, Column, InferenceRequest, Output, datatype, parsed, written

_SCORE, _ID = "score", "prediction_id"
_PLATFORM = "scikit-learn_skops"

Handler = Callable[[Request], Awaitable[Answer]]


class Inference:
    """Answers the protocol's paths."""

    def __init__(self, predicting: Predicting, readiness: Readiness) -> None:
        self._predicting = predicting
        self._readiness = readiness

    async def infer(self, request: Request) -> Answer:
        """The handler of `POST /v2/models/{name}/infer`."""
        return await _in_form(self._infer, request)

    async def model(self, request: Request) -> Answer:
        """The handler of `GET /v2/models/{name}`: what the model is asked with, and what it answers."""
        return await _in_form(self._metadata, request)

    async def ready(self, request: Request) -> Answer:
        """The handler of `GET /v2/models/{name}/ready`."""
        return await _in_form(self._ready, request)

    def server(self, _: Request) -> Answer:
        """The handler of `GET /v2`."""
        told = {"name": "featurestore", "version": version("featurestore-platform"), "extensions": [EXTENSION]}
        return Answer(encode(told))

    def server_live(self, _: Request) -> Answer:
        """The handler of `GET /v2/health/live`."""
        return Answer(b'{"live":true}')

    async def server_ready(self, request: Request) -> Answer:
        """The handler of `GET /v2/health/ready`: the stores answer, and every champion is loaded."""
        answer = await self._readiness.readyz(request)
        models = self._predicting.models
        await models.following.followed()
        ready = answer.status == 200 and not models.state.faults
        return Answer(encode({"ready": ready}), 200 if ready else 503)

    async def _infer(self, request: Request) -> Answer:
        asked, columns = parsed(request)
        rows = len(next(iter(columns.values())))

        def answered(live: Live) -> Answer:
            _check_version(request, live)
            return self._answered(live, asked, columns)

        answer = self._predicting.ask(request, rows, answered)
        return answer if isinstance(answer, Answer) else await answer

    def _answered(self, live: Live, asked: InferenceRequest, columns: Mapping[str, Column]) -> Answer:
        head: dict[str, object] = {"model_name": live.version.model, "model_version": str(live.version.version)}
        if asked.id is not None:
            head["id"] = asked.id
        signature = live.predictor.document.signature
        if columns.keys() == set(signature.names):
            typed = {
                name: column_decoder(parse(dtype), f"Input '{name}'")(columns[name]) for name, dtype in signature.inputs
            }
            return written(head, [Output(_SCORE, "FP64", live.predictor.score_columns(typed).tolist())], asked)
        keys, request = set(signature.keys), {name for name, _ in signature.request}
        if columns.keys() != keys | request:
            raise InputError(
                f"Model '{live.version.model}' is asked with {', '.join(sorted(keys | request))}, or with all of its "
                f"inputs {', '.join(signature.names)}; found {', '.join(columns)}."
            )
        found = self._predicting.predict(
            live,
            {name: columns[name] for name in columns if name in keys},
            {name: columns[name] for name in columns if name in request} or None,
            None,
        )
        return written(head, [Output(_SCORE, "FP64", found.scores), Output(_ID, TEXT, found.ids)], asked)

    async def _metadata(self, request: Request) -> Answer:
        live = await self._predicting.find(request)
        _check_version(request, live)
        plan, shape = live.answering.lookup.plan, live.answering.lookup.shape
        told = {
            "name": live.version.model,
            "versions": [str(live.version.version)],
            "platform": _PLATFORM,
            "inputs": [_tensor(name, datatype(dtype)) for name, dtype in (*shape.keys, *plan.request)],
            "outputs": [_tensor(_SCORE, "FP64"), _tensor(_ID, TEXT)],
        }
        return Answer(encode(told))

    async def _ready(self, request: Request) -> Answer:
        live = await self._predicting.find(request)
        _check_version(request, live)
        return Answer(encode({"name": live.version.model, "ready": True}))


def _tensor(name: str, kind: str) -> dict[str, object]:
    return {"name": name, "datatype": kind, "shape": [-1]}


def _check_version(request: Request, live: Live) -> None:
    asked = request.path.get("version")
    if asked is not None and asked != str(live.version.version):
        raise Refused(
            404, "UnknownNameError", f"Version '{asked}' does not serve; version {live.version.version} does."
        )


async def _in_form(handler: Handler, request: Request) -> Answer:
    """The handler's answer; an error in the protocol's form."""
    try:
        return await handler(request)
    except FeatureStoreError as error:
        answer = error_answer(error)
        return answer._replace(body=encode({"error": msgspec.json.decode(answer.body)["error"]["message"]}))
