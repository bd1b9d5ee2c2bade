"""Saved training sets: one Parquet file per version, and in the registry what made it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from featurestore.errors import InputError, UnknownNameError
from featurestore.plan.fingerprint import meaning
from featurestore.registry.base import DatasetRecord, Registry
from featurestore.retrieval import Retrieval, TrainingSet
from featurestore.timeline import Clock, format_instant


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of one project, in `folder` below `root`."""

    root: Path
    folder: Path
    registry: Registry
    actor: str
    now_us: Clock

    def save(self, training: TrainingSet, name: str) -> DatasetRecord:
        """Save the rows as the next version of `name`; the file is whole before the registry names it.

        Files are named by content, so two savers never overwrite each other. The manifest gains the file's SHA-256.
        """
        if not name.replace("_", "a").replace("-", "a").isalnum():
            raise InputError(f"'{name}' is no name for a dataset; use letters, digits, '-' and '_'.")
        partial = self.folder / name / f".{uuid4().hex}"
        rows = training.to_parquet(partial)
        digest = _digest(partial)
        path = (self.folder / name / f"{digest[:16]}.parquet").relative_to(self.root)
        partial.replace(self.root / path)
        manifest = {**_manifest(training.retrieval), "sha256": digest}
        return self.registry.add_dataset(DatasetRecord(name, 0, self.now_us(), self.actor, str(path), rows, manifest))

    def get(self, name: str, version: int | None = None) -> DatasetRecord:
        """One dataset, the newest version unless another is named here or as `name@version`.

        Raises UnknownNameError for what was never saved, InputError for another form of name.
        """
        name, _, number = name.partition("@")
        if number:
            if version is not None or not number.isdecimal():
                raise InputError(f"'{name}@{number}' names no one version; write the dataset as {name} or {name}@1.")
            version = int(number)
        found = self.registry.datasets(name)
        if not found:
            raise UnknownNameError("dataset", name, (dataset.name for dataset in self.registry.datasets()))
        for dataset in found:
            if version in (None, dataset.version):
                return dataset
        raise UnknownNameError("version of dataset", f"{name}@{version}", (f"{name}@{d.version}" for d in found))

    def columns(self, dataset: DatasetRecord) -> tuple[tuple[str, str], ...]:
        """Names and Arrow types of a dataset's columns."""
        schema = pq.read_schema(self.root / dataset.path)
        return tuple((field.name, str(field.type)) for field in schema)


def _manifest(made: Retrieval) -> dict[str, object]:
    """What a training set is made of: features, revision, and each view's version, table version and watermark."""
    return {
        "features": made.plan.features,
        "service": made.pins.selection.service,
        "timestamp": made.plan.timestamp,
        "outputs": {name: str(dtype) for name, dtype in made.plan.outputs},
        "revision": made.pins.revision,
        "from_source": made.from_source,
        "views": {
            name: {
                "version": pin.version,
                "meaning": meaning(pin.record),
                "table": pin.table,
                "table_version": pin.table_version,
                "watermark": None if pin.watermark_us is None else format_instant(pin.watermark_us),
            }
            for name, pin in made.pins.views.items()
        },
        "engine": {package: version(package) for package in ("featurestore-platform", "duckdb", "polars")},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
