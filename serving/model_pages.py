"""`GET /v1/models` and one of each: the version that predicts, what to ask it with, what it learned from."""

from __future__ import annotations

from starlette.requests import Request as StarletteRequest

from featurestore.errors import UnknownNameError
from serving import models
from serving.access import beyond, may_read
from serving.catalog import limit_of
from serving.live import Live, LiveModels, LiveState


class ModelPages:
    """The endpoints that tell of models."""

    def __init__(self, live: LiveModels) -> None:
        self._live = live

    async def all(self, asked: StarletteRequest) -> models.Models:
        """All models that have a version."""
        state = await self._present()
        limited_to = limit_of(asked)
        return models.Models(models=[_model(n, state) for n in state.champions if _is_told(state, n, limited_to)])

    async def one(self, asked: StarletteRequest, name: str) -> models.Model:
        """One model."""
        state = await self._present()
        if name not in state.champions:
            told = [model for model in state.champions if _is_told(state, model, limit_of(asked))]
            raise UnknownNameError("model", name, told)
        if not _is_told(state, name, limit_of(asked)):
            raise beyond(name)
        return _model(name, state)

    async def _present(self) -> LiveState:
        await self._live.following.followed()
        return self._live.state


def _is_told(state: LiveState, name: str, limited_to: frozenset[str] | None) -> bool:
    """Whether a key with that limit may be told of a model: when it may ask it; of one that nobody may ask, anyway."""
    live = state.loaded.get(name)
    return live is None or may_read(limited_to, live.answering.service, live.answering.views)


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
