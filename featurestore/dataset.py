"""One saved training set: its rows in one Parquet file, and the manifest of what made them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl
import pyarrow.parquet as pq

from featurestore.definitions.splits import Split, parse_split
from featurestore.errors import InputError, OfflineStoreError
from featurestore.parquet import write_parquet
from featurestore.plan.catalog import OnDemandMember, Projected
from featurestore.registry.base import DatasetRecord
from featurestore.splitting import split_frame


class KeptSpine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The spine's rows, kept in a file of their own at `path` from the project, which equal spines share.

    `read` says how they were handed in: as a frame, from the file `origin` (of which `origin_sha256` is the digest), or
    by the query `origin`.
    """

    path: str
    sha256: str
    rows: int
    read: Literal["frame", "file", "query"]
    origin: str | None = None
    origin_sha256: str | None = None


class MadeView(msgspec.Struct, frozen=True, kw_only=True):
    """A view as it was read: the version and digest of its meaning, and the version of its table (None: no table)."""

    version: int
    meaning: str
    table: str
    table_version: int | None
    watermark: str | None


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded split: its text form, how many rows fell into each part, and the digest of which row into which."""

    split: str
    rows: dict[str, int]
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a training set was made of: enough to make the same bytes again.

    `members` is what was asked for, `service` the service that was named (with its `service_meaning`); `keys` are the
    spine's join key columns; `on_demand` maps on-demand views to the digests of their meanings; `engine` maps packages
    to their versions; `sha256` is the digest of the dataset's file. `erased_rows` were taken out of it since.
    """

    features: str
    members: tuple[Projected | OnDemandMember, ...]
    service: str | None
    service_meaning: str | None
    timestamp: str
    keys: tuple[str, ...]
    statuses: bool
    from_source: bool
    outputs: dict[str, str]
    revision: int
    spine: KeptSpine
    views: dict[str, MadeView]
    on_demand: dict[str, str]
    engine: dict[str, str]
    sha256: str
    division: Division | None = None
    erased_rows: int = 0

    @staticmethod
    def of(record: DatasetRecord) -> Manifest:
        """The manifest of a recorded dataset."""
        return msgspec.convert(record.manifest, Manifest)

    def document(self) -> dict[str, object]:
        """The manifest as the registry keeps it."""
        document: dict[str, object] = msgspec.to_builtins(self)
        return document


@dataclass(frozen=True, slots=True)
class Dataset:
    """One version of a saved dataset in the project at `root`."""

    root: Path
    record: DatasetRecord

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def version(self) -> int:
        """Its version, from 1."""
        return self.record.version

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.record.rows

    @property
    def manifest(self) -> Manifest:
        """What it was made of."""
        return Manifest.of(self.record)

    @property
    def path(self) -> Path:
        """Its Parquet file."""
        return self.root / self.record.path

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and Arrow types of its columns."""
        return tuple((field.name, str(field.type)) for field in pq.read_schema(self._file()))

    def to_polars(self) -> pl.DataFrame:
        """Its rows; raises OfflineStoreError when the file is gone."""
        return pl.read_parquet(self._file(), glob=False)

    def split(self, split: Split | None = None) -> dict[str, pl.DataFrame]:
        """Its rows as `train`, `validation` and `test`, each in order; by default as recorded when it was saved.

        Raises InputError when none is given and none was recorded, or for a split that does not fit the columns.
        """
        manifest = self.manifest
        if split is None:
            if manifest.division is None:
                raise InputError(f"Dataset {self.reference} was saved without a split; say how to split it.")
            split = parse_split(manifest.division.split)
        return split_frame(self.to_polars(), split, manifest.keys, manifest.timestamp)

    def split_to_parquet(self, folder: str | Path, split: Split | None = None) -> Mapping[str, int]:
        """Write each part to `<part>.parquet` in a folder, and return how many rows each has."""
        rows = {}
        for part, frame in self.split(split).items():
            table = frame.to_arrow()
            rows[part] = write_parquet(Path(folder) / f"{part}.parquet", table.schema, table.to_batches())
        return rows

    def _file(self) -> Path:
        if not self.path.is_file():
            raise OfflineStoreError(
                f"Dataset {self.reference}: its file {self.path} is gone; `featurestore dataset rebuild "
                f"{self.reference}` makes it again."
            )
        return self.path


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
