"""A model that is live without a run: `worth` of the example shop, which says what its version is by what it answers.

Version v answers 100 * v + 1 for fewer than two items, 100 * v + 2 for more, and 100 * v + 3 where items are unknown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from sklearn.tree import DecisionTreeRegressor

from featurestore.plan.fingerprint import meaning
from featurestore.store import FeatureStore
from pipelines.frames import Signature
from pipelines.ledger.records import CodeVersion, ModelState, ModelVersion, Run, RunState, Verdict
from pipelines.models.document import ModelDocument
from pipelines.models.files import SUFFIX, model_bytes
from pipelines.rooms import PipelineRooms

MODEL = "worth"
INPUTS = (("items", "Int64"), ("relative", "Float64"))
CODE = CodeVersion(None, dirty=False, lock="l")
_LEARNED = pl.DataFrame({"items": [1.0, 2.0, 3.0, float("nan")], "relative": [0.5, 0.5, 0.5, 0.5]})


def crown(store: FeatureStore, model: str = MODEL) -> ModelVersion:
    """The next version of the model, trained on the shop's service `buyer` as it serves now, as champion."""
    rooms = PipelineRooms(store)
    version = len(rooms.ledger.models(model)) + 1
    tree = DecisionTreeRegressor(random_state=0).fit(_LEARNED, np.array([1.0, 2.0, 2.0, 3.0]) + 100 * version)
    kept = rooms.artifacts.keep(model_bytes(tree), SUFFIX)
    run = rooms.ledger.add_run(Run(0, model, "run", RunState.PENDING, "by hand", "ann", 1, 1, None, {}, CODE))
    champion = rooms.models.champion(model)
    registered = rooms.models.register(
        rooms.ledger.begin(run),
        ModelVersion(
            model, version, ModelState.CANDIDATE, run.number, store.now_us(), kept.digest,
            None if champion is None else champion.version, _document(store, kept.path).to_json(),
        ),
    )  # fmt: skip
    if registered.state is ModelState.CANDIDATE:
        registered = rooms.models.approve(registered, "good")
    rooms.models.promote(rooms.models.verified(registered, "behaves"), "better")
    return rooms.ledger.model(model, version)


def _document(store: FeatureStore, path: str) -> ModelDocument:
    catalog = store.serving()
    return ModelDocument(
        path=path, dataset="worth@1", dataset_sha256="d", service_meaning=meaning(catalog.services["buyer"]),
        views={"last": catalog.versions["last"]}, on_demand={"ratio": meaning(catalog.on_demand["ratio"])},
        split="s", rows={}, code=CODE, estimator="DecisionTreeRegressor", settings={}, parameters={}, packages={},
        signature=Signature(
            service="buyer", inputs=INPUTS, keys=("customer",), request=(("price", "Float64"),), label="worth",
            kind="regression",
        ),
        metrics={"test": {"rmse": 0.5}}, artifacts={}, slices={}, verdict=Verdict.PASS, summary="judged", bounded=True,
    )  # fmt: skip


def model_file(store: FeatureStore, version: ModelVersion) -> Path:
    """The file of a version."""
    return store.root / ModelDocument.of(version).path
