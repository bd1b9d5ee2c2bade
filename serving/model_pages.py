"""`GET /v1/models` and one of each: the version that predicts, what to ask it with, what it learned from."""

from __future__ import annotations

from featurestore.errors import UnknownNameError
from serving import models
from serving.live import Live, LiveModels, LiveState


class ModelPages:
    """The endpoints that tell of models."""

    def __init__(self, live: LiveModels) -> None:
        self._live = live

    async def all(self) -> models.Models:
        """All models that have a version."""
        state = await self._present()
        return models.Models(models=[_model(name, state) for name in state.champions])

    async def one(self, name: str) -> models.Model:
        """One model."""
        state = await self._present()
        if name not in state.champions:
            raise UnknownNameError("model", name, state.champions)
        return _model(name, state)

    async def _present(self) -> LiveState:
        await self._live.following.followed()
        return self._live.state


def _model(name: str, state: LiveState) -> models.Model:
    live = state.loaded.get(name)
    return models.Model(
        name=name,
        champion=state.champions[name],
        serves=None if live is None else _served(live),
        fault=state.faults.get(name),
    )


def _served(live: Live) -> models.ServedModel:
    version, document = live.version, live.predictor.document
    signature, shape = document.signature, live.answering.lookup.shape
    return models.ServedModel(
        version=version.version,
        digest=version.digest,
        estimator=document.estimator,
        label=signature.label,
        kind=signature.kind,
        service=signature.service,
        join_keys=[models.TypedName(name=name, type=str(dtype)) for name, dtype in shape.keys],
        request=[models.TypedName(name=name, type=dtype) for name, dtype in signature.request],
        inputs=[models.TypedName(name=name, type=dtype) for name, dtype in signature.inputs],
        views=document.views,
        dataset=document.dataset,
        metrics=document.metrics.get("test", {}),
    )
