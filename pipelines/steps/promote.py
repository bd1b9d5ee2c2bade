"""Promote: a verified version takes the champion's place, if that is still the one it was compared with."""

from __future__ import annotations

import msgspec

from pipelines.ledger.records import ModelState
from pipelines.models.registry import ModelRegistry
from pipelines.steps.register import Registered


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """The version that is champion now, and the one before."""

    model: str
    version: int
    before: int | None


def promote(models: ModelRegistry, registered: Registered, reason: str, actor: str | None = None) -> Promoted:
    """Promote a version, once; raises ConflictError when another champion came since it was compared."""
    model = models.ledger.model(registered.model, registered.version)
    if model.state is not ModelState.CHAMPION:
        models.promote(model, reason, actor)
    return Promoted(model=model.model, version=model.version, before=model.champion)
