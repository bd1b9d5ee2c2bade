"""Models that somebody trained elsewhere: what each learned from, so that a change can name those it touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurestore.dataset import Dataset, file_digest
from featurestore.datasets import Datasets
from featurestore.errors import InputError
from featurestore.pinning import Pins
from featurestore.registry.base import ModelRecord, Registry
from featurestore.timeline import Clock


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one project in `root`; `pins` says what a service reads now."""

    root: Path
    registry: Registry
    datasets: Datasets
    pins: Callable[[str], Pins]
    actor: str
    now_us: Clock

    def record(
        self, name: str, origin: tuple[str | Dataset | None, str | None], uri: str | None, digest: str | None,
        notes: str,
    ) -> ModelRecord:  # fmt: skip
        """Record a model of `origin`, a dataset or a service, as the next version of `name`.

        The digest of a file is computed. Raises UnknownNameError, and InputError for a model without origin, a file
        that is not there or another one than its digest says, and a service that the dataset was not made for.
        """
        if not name.replace("_", "a").replace("-", "a").isalnum():
            raise InputError(f"'{name}' is no name for a model; use letters, digits, '-' and '_'.")
        dataset, service = origin
        if dataset is not None:
            saved = dataset if isinstance(dataset, Dataset) else self.datasets.get(dataset)
            learned = _from_dataset(saved, service)
        elif service is not None:
            pins = self.pins(service)
            learned = _Origin(None, None, service, pins.revision, {n: pin.version for n, pin in pins.views.items()})
        else:
            raise InputError(f"Model '{name}': say what it learned from, a dataset or a service.")
        place, found = (None, digest) if uri is None else self._located(name, uri, digest)
        return self.registry.add_model(
            ModelRecord(
                name=name,
                version=0,
                recorded_at_us=self.now_us(),
                recorded_by=self.actor,
                dataset=learned.dataset,
                dataset_version=learned.dataset_version,
                service=learned.service,
                revision=learned.revision,
                views=learned.views,
                uri=place,
                digest=found,
                notes=notes,
            )
        )

    def _located(self, name: str, uri: str, digest: str | None) -> tuple[str, str | None]:
        """Where the model lies, relative to the project when inside, and its file's digest."""
        if "://" in uri:
            return uri, digest
        path = self.root / uri
        if not path.exists():
            raise InputError(f"Model '{name}': there is no file {path}; give a path in the project, or a URI.")
        if path.is_file():
            found = file_digest(path)
            if digest not in (None, found):
                raise InputError(f"Model '{name}': {path} has the digest {found}, not {digest}; it is another file.")
            digest = found
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path), digest


@dataclass(frozen=True, slots=True)
class _Origin:
    dataset: str | None
    dataset_version: int | None
    service: str | None
    revision: int
    views: Mapping[str, int]


def _from_dataset(saved: Dataset, service: str | None) -> _Origin:
    manifest = saved.manifest
    if service not in (None, manifest.service):
        told = f"service '{manifest.service}'" if manifest.service else "a list of features, not of a service"
        raise InputError(f"Dataset {saved.reference} was made of {told}; leave service='{service}' out.")
    versions = {name: view.version for name, view in manifest.views.items()}
    return _Origin(saved.name, saved.version, manifest.service, manifest.revision, versions)
