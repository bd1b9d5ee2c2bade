"""Where a model version may go from where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from featurestore.errors import InputError
from pipelines.ledger.records import ModelState, ModelVersion

FOLLOWING: Mapping[ModelState, frozenset[ModelState]] = MappingProxyType(
    {
        ModelState.CANDIDATE: frozenset({ModelState.APPROVED, ModelState.REJECTED, ModelState.QUARANTINED}),
        ModelState.APPROVED: frozenset({ModelState.VERIFIED, ModelState.REJECTED, ModelState.QUARANTINED}),
        ModelState.VERIFIED: frozenset({ModelState.CHAMPION, ModelState.REJECTED, ModelState.QUARANTINED}),
        ModelState.CHAMPION: frozenset({ModelState.RETIRED, ModelState.QUARANTINED}),
        ModelState.RETIRED: frozenset({ModelState.CHAMPION, ModelState.QUARANTINED}),
        ModelState.REJECTED: frozenset({ModelState.QUARANTINED}),
        ModelState.QUARANTINED: frozenset(),
    }
)


def check_move(model: ModelVersion, to: ModelState, remedy: str = "") -> None:
    """Raise InputError when a version may not go there from where it stands."""
    if to not in FOLLOWING[model.state]:
        allowed = ", ".join(sorted(FOLLOWING[model.state])) or "nowhere"
        told = remedy or f"from there it may go to {allowed}."
        raise InputError(f"Model {model.model}@{model.version} is {model.state} and cannot become {to}: {told}")
