"""The saved training sets of a project: one Parquet file per version, and in the registry what made it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from featurestore.dataset import Dataset, file_digest
from featurestore.datasets.comparison import DatasetDiff, compare
from featurestore.datasets.making import (
    changed_engine,
    copied,
    divided,
    kept_spine,
    manifest_of,
    recall,
    sentence,
    spine_obstacle,
    write_spine,
)
from featurestore.datasets.rebuilding import Rebuild, erased_since, judge
from featurestore.definitions.splits import Split
from featurestore.engines.base import FileSpine
from featurestore.errors import FeatureStoreError, InputError, OfflineStoreError, UnknownNameError
from featurestore.offline.tables import OfflineTables
from featurestore.pinning import Pins
from featurestore.registry.base import DatasetRecord, Registry
from featurestore.retrieval import TrainingSet
from featurestore.timeline import Clock


class Retrieve(Protocol):
    """How a spine is answered with pinned features: `FeatureStore.retrieve`."""

    def __call__(
        self, spine: object, pins: Pins, *, timestamp: str, from_source: bool, statuses: bool
    ) -> TrainingSet: ...


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of the project at `root`, in `datasets` below `folder`, and their spines in `spines`."""

    root: Path
    folder: Path
    registry: Registry
    tables: OfflineTables
    retrieve: Retrieve
    actor: str
    now_us: Clock

    def save(self, training: TrainingSet, name: str, split: Split | None = None) -> Dataset:
        """Save the rows as the next version of `name`; all files are whole before the registry names it.

        The spine is kept, and the rows are computed from what is kept. Files are named by content, so two savers never
        overwrite each other. A split is recorded; raises InputError when it does not fit.
        """
        if not name.replace("_", "a").replace("-", "a").isalnum():
            raise InputError(f"'{name}' is no name for a dataset; use letters, digits, '-' and '_'.")
        made = training.retrieval
        with self._scratch(2) as (spine_file, rows_file):
            spine_rows = write_spine(made.spine, made.engine, spine_file)
            kept = replace(training, retrieval=replace(made, spine=FileSpine(spine_file)))
            rows = kept.to_parquet(rows_file)
            training.outside = kept.outside
            division = None if split is None else divided(split, rows_file, made.plan.keys, made.plan.timestamp)
            spine_path = self._moved(spine_file, self.folder / "spines" / f"{file_digest(spine_file)}.parquet")
            sha256 = file_digest(rows_file)
            path = self._moved(rows_file, self.folder / "datasets" / name / f"{sha256[:16]}.parquet")
        spine = kept_spine(made.spine, spine_path, spine_rows, self.root)
        manifest = manifest_of(made, spine, sha256, division).document()
        where = str(path.relative_to(self.root))
        record = DatasetRecord(name, 0, self.now_us(), self.actor, where, rows, manifest)
        return Dataset(self.root, self.registry.add_dataset(record))

    def get(self, name: str, version: int | None = None) -> Dataset:
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
                return Dataset(self.root, dataset)
        raise UnknownNameError("version of dataset", f"{name}@{version}", (f"{name}@{d.version}" for d in found))

    def rebuild(self, dataset: Dataset | str, out: str | Path | None = None) -> Rebuild:
        """Make a dataset again from the recorded table versions, records and spine, and compare the bytes.

        Restores the saved file when it was lost or altered and the bytes agree; otherwise leaves it alone. With `out`
        the rows are written there, whatever they are.
        """
        saved = self.get(dataset) if isinstance(dataset, str) else dataset
        manifest = saved.manifest
        recalled = recall(manifest, self.registry, self.tables)
        lost = spine_obstacle(manifest.spine, self.root)
        obstacles = (*([lost] if lost else []), *recalled.obstacles)
        changes = (*erased_since(manifest), *changed_engine(manifest.engine))
        if recalled.pins is None or obstacles:
            return Rebuild(saved.reference, identical=False, obstacles=obstacles, changes=changes)
        with self._scratch(1) as (made,):
            try:
                rows = self.retrieve(
                    self.root / manifest.spine.path,
                    recalled.pins,
                    timestamp=manifest.timestamp,
                    from_source=manifest.from_source,
                    statuses=manifest.statuses,
                ).to_parquet(made)
            except FeatureStoreError as error:
                return Rebuild(saved.reference, identical=False, obstacles=(sentence(error),), changes=changes)
            answer = judge(saved, made, rows)
            if out is None:
                return answer
            return replace(answer, path=str(copied(made, Path(out))))

    def diff(self, one: Dataset | str, other: Dataset | str) -> DatasetDiff:
        """What tells two datasets apart, from `one` to `other`."""
        before, after = (self.get(d) if isinstance(d, str) else d for d in (one, other))
        return compare(before, after)

    @contextmanager
    def _scratch(self, files: int) -> Iterator[tuple[Path, ...]]:
        """Names of files that are gone in the end."""
        paths = tuple(self.folder / "datasets" / f".{uuid4().hex}" for _ in range(files))
        try:
            yield paths
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def _moved(self, partial: Path, path: Path) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return partial.replace(path)
        except OSError as error:
            raise OfflineStoreError(f"{path} cannot be written: {error.strerror or error}.") from error
