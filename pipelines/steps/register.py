"""Register: a version of the model, in this platform's registry and in the store's list of models."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from featurestore.store import FeatureStore
from pipelines.ledger.records import Attempt, ModelState, ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.models.registry import ModelRegistry

_SAME = (ModelState.CANDIDATE, ModelState.APPROVED, ModelState.VERIFIED, ModelState.REJECTED)


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model and where it stood when it was registered."""

    model: str
    version: int
    state: ModelState


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be registered: the digest of the model's file, and the champion that its gate compared it with."""

    digest: str
    champion: int | None
    document: ModelDocument


def register(store: FeatureStore, models: ModelRegistry, attempt: Attempt, candidate: Candidate) -> Registered:
    """Register a candidate under the next version of the pipeline's name, once for each run.

    The same file judged beside the same champion with the same verdict is the version that it was before.
    """
    run = models.ledger.run(attempt.run)
    for known in models.ledger.models(run.pipeline):
        again = known.run == run.number or (
            (known.digest, known.champion) == (candidate.digest, candidate.champion)
            and ModelDocument.of(known).verdict is candidate.document.verdict
            and known.state in _SAME
        )
        if again:
            return Registered(model=known.model, version=known.version, state=known.state)
    note = f"run {run.number}"
    recorded = next((m for m in store.registry.models(run.pipeline) if m.notes == note), None)
    if recorded is None:
        recorded = store.record_model(
            run.pipeline,
            dataset=candidate.document.dataset,
            uri=candidate.document.path,
            digest=candidate.digest,
            notes=note,
        )
    model = ModelVersion(
        model=run.pipeline,
        version=recorded.version,
        state=ModelState.CANDIDATE,
        run=run.number,
        created_at_us=models.ledger.now_us(),
        digest=candidate.digest,
        champion=candidate.champion,
        document=candidate.document.to_json(),
    )
    registered = models.register(attempt, model)
    return Registered(model=registered.model, version=registered.version, state=registered.state)
