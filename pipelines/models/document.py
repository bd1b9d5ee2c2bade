"""What is kept of a model version beside its state: enough to say what it learned, from what, and how good it was."""

from __future__ import annotations

import msgspec

from pipelines.frames import Signature
from pipelines.ledger.records import CodeVersion, ModelVersion, Verdict

Metrics = dict[str, float | None]


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model.

    `path` is its file from the project's folder. `dataset` is `name@version`; `service_meaning`, the versions of
    `views` and the meanings of `on_demand` views say which features it learned from. `settings` were set for its run,
    `parameters` are all of the estimator's. `metrics` by part of the split. `artifacts` are digests by name: scores of
    the test rows, curves, plots as SVG (`plot_...`), golden requests, statistics of the data. `slices` are those it was
    judged in; `bounded`: it met an absolute bound.
    """

    path: str
    dataset: str
    dataset_sha256: str
    service_meaning: str | None
    views: dict[str, int]
    on_demand: dict[str, str]
    split: str
    rows: dict[str, int]
    code: CodeVersion
    estimator: str
    settings: dict[str, object]
    parameters: dict[str, object]
    packages: dict[str, str]
    signature: Signature
    metrics: dict[str, Metrics]
    artifacts: dict[str, str]
    slices: dict[str, tuple[str, ...]]
    verdict: Verdict
    summary: str
    bounded: bool

    @staticmethod
    def of(model: ModelVersion) -> ModelDocument:
        """The document of a version."""
        return msgspec.convert(model.document, ModelDocument)

    def to_json(self) -> dict[str, object]:
        """The document as the ledger keeps it."""
        document: dict[str, object] = msgspec.to_builtins(self)
        return document
