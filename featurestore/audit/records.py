"""The log's files: what was served, in Parquet, and what it was served from, as JSON beside it.

<folder>/vectors/<service>/<time>-<process>-<random>.parquet holds vectors of one service under one set of definitions,
and names that set by its digest; <folder>/definitions/<digest>.json is the set. In the log of predictions a model's
name stands in the place of the service's, and <folder>/labels/<model>/<time>-<random>.parquet are labels that came
later, named by when they were recorded. Files appear whole or not at all and bear names of their own, so any number
of processes log side by side.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TypeVar
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.arrow import arrow_type
from featurestore.audit.layout import DEFINITIONS, LABELS, VECTORS
from featurestore.dtypes import DType
from featurestore.errors import OfflineStoreError
from featurestore.files import write_whole
from featurestore.plan.catalog import (
    Catalog,
    FramePlace,
    OnDemandMember,
    OnDemandRecord,
    ServiceRecord,
    ViewRecord,
    projections,
)
from featurestore.plan.fingerprint import meaning
from featurestore.plan.lookup import LookupPlan
from featurestore.plan.selection import select, view_members
from featurestore.plan.views import table_name
from featurestore.timeline import instant_us, to_datetime

Found = TypeVar("Found")

INSTANT = pa.timestamp("us", tz="UTC")
SCORE = pa.field("score", pa.float64())  # what a model made of the vector; in its log only
_METADATA = b"featurestore.audit"
_TIME = "%Y%m%dT%H%M%S"
_RECORDED = f"{_TIME}%f"  # of labels, so that their files sort in the order in which they were recorded
_DIGEST_LENGTH = 16


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """What a service meant when it was served: its records, without where their sources lie.

    `tables` and `meanings` are of each view, by reference: its offline table, and the digest of what it means.
    """

    service: str
    catalog: Catalog
    tables: dict[str, str]
    meanings: dict[str, str]

    @staticmethod
    def of(service: str, catalog: Catalog) -> Definitions:
        """The definitions of a service, as a catalog has them."""
        selection = select(service, catalog)
        views = {name: catalog.view(name) for name in view_members(selection, catalog)}
        computed = {m.view: catalog.on_demand[m.view] for m in selection.members if isinstance(m, OnDemandMember)}
        bare = {name: _without_source(view) for name, view in views.items()}
        return Definitions(
            service=service,
            catalog=Catalog(
                views={name: view for name, view in bare.items() if name in catalog.views},
                pinned={name: view for name, view in bare.items() if name not in catalog.views},
                on_demand=computed,
                services={service: catalog.services[service]},
                versions={view.name: catalog.versions[view.name] for view in views.values()},
            ),
            tables={name: table_name(view) for name, view in views.items()},
            meanings={name: meaning(view) for name, view in views.items()},
        )

    @property
    def lookups(self) -> tuple[dict[str, str], ...]:
        """For each reading of a view that the service does: the request's column for each join key."""
        records: list[ServiceRecord | OnDemandRecord] = [self.catalog.services[self.service]]
        records += self.catalog.on_demand.values()
        return tuple(dict(part.keys) for record in records for part in projections(record))

    def encoded(self) -> tuple[str, bytes]:
        """The digest and the JSON."""
        document = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(document).hexdigest()[:_DIGEST_LENGTH], document


def _without_source(view: ViewRecord) -> ViewRecord:
    """A source's rows, path and query say nothing of what was served, and literal rows would lie in the log."""
    source = msgspec.structs.replace(view.source, place=FramePlace(data=b""))
    return msgspec.structs.replace(view, source=source)


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself: `versions` are the table versions it rests on, `dropped` the vectors lost before it.

    `erased` counts the vectors taken out since it was written. `model` and its version made the scores in it.
    """

    service: str
    definitions: str
    process: str
    sample: float
    first_us: int
    last_us: int
    dropped: int
    versions: dict[str, list[int]]
    erased: int = 0
    model: str | None = None
    model_version: int | None = None


def vector_schema(plan: LookupPlan) -> pa.Schema:
    """The columns of a log of one plan; groups without a member are left out.

    `table_versions`, `watermarks` and `event_timestamps` have a field for each view, by its label.
    """
    keys = dict(key for view in plan.views for key in view.keys)
    labels = [view.label for view in plan.views]
    groups: dict[str, dict[str, pa.DataType]] = {
        "keys": _types(keys),
        "request": _types(dict(plan.request)),
        "features": _types(dict(plan.outputs)),
        "statuses": {name: pa.string() for name, _ in plan.outputs},
        "event_timestamps": dict.fromkeys(labels, INSTANT),
        "table_versions": dict.fromkeys(labels, pa.int64()),
        "watermarks": dict.fromkeys(labels, INSTANT),
    }
    fields = [pa.field("id", pa.string()), pa.field("row", pa.int32())]
    fields += [pa.field("served_at", INSTANT), pa.field("asked_at", INSTANT)]
    return pa.schema([*fields, *(pa.field(name, pa.struct(types)) for name, types in groups.items() if types)])


def _types(columns: Mapping[str, DType]) -> dict[str, pa.DataType]:
    return {name: arrow_type(dtype) for name, dtype in columns.items()}


class LogFiles:
    """The files below one folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, definitions: Definitions) -> str:
        """The digest of a set of definitions, after it is in its place."""
        digest, document = definitions.encoded()
        path = self.folder / DEFINITIONS / f"{digest}.json"
        if not path.exists():
            _write(path, lambda file: file.write(document))
        return digest

    def definitions(self, digest: str) -> Definitions:
        """A kept set; raises OfflineStoreError when it is gone or broken."""
        path = self.folder / DEFINITIONS / f"{digest}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Definitions)
        except (OSError, msgspec.DecodeError) as error:
            raise OfflineStoreError(
                f"The audit log lacks the definitions {path}: {error}. Restore the file, or remove the vectors that "
                "were served under them."
            ) from error

    def kept_definitions(self) -> list[Path]:
        """The files of all kept sets, each named by its digest."""
        return sorted((self.folder / DEFINITIONS).glob("*.json"))

    def add(self, facts: FileFacts, vectors: pa.Table) -> Path:
        """Write vectors as a new file and return its path."""
        name = f"{to_datetime(facts.first_us).astimezone(UTC):{_TIME}}-{os.getpid()}-{uuid4().hex[:12]}.parquet"
        path = self.folder / VECTORS / (facts.model or facts.service) / name
        self.write(path, facts, vectors)
        return path

    def write(self, path: Path, facts: FileFacts, vectors: pa.Table) -> None:
        """Write a file, or put it in the place of another."""
        described = vectors.replace_schema_metadata({_METADATA: msgspec.json.encode(facts)})
        _write(path, lambda file: pq.write_table(described, file))

    def services(self) -> list[str]:
        """The services, or models, that have a log, in alphabetical order."""
        return sorted(folder.name for folder in (self.folder / VECTORS).glob("*") if folder.is_dir())

    def files(self, service: str) -> Iterator[tuple[Path, FileFacts]]:
        """The files of a service, or of a model, with what they say of themselves, by time."""
        for path in self._paths(service):
            yield path, self._facts(path)

    def read(self, path: Path) -> pa.Table:
        """The vectors of a file."""
        vectors: pa.Table = _readable(path, lambda: pq.ParquetFile(path).read())
        return vectors

    def columns(self, service: str, names: Sequence[str]) -> Iterator[tuple[FileFacts, pa.Table]]:
        """Of each file of a service, or of a model, what it says of itself and those of the columns that it has."""
        for path in self._paths(service):
            yield _readable(path, partial(_columns, path, names))

    def asked(self, path: Path) -> tuple[int, int] | None:
        """The first and the last instant that the vectors of a file were asked for; None without a vector.

        Its footer tells, so no vector is read.
        """
        footer = _readable(path, lambda: pq.read_metadata(path))
        column = footer.schema.names.index("asked_at")
        found = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
        bounds = [(instant_us(part.min, "min"), instant_us(part.max, "max")) for part in found if part.has_min_max]
        return (min(least for least, _ in bounds), max(last for _, last in bounds)) if bounds else None

    def new_labels(self, model: str, at_us: int) -> Path:
        """Where labels of a model that are recorded at an instant are to be written."""
        name = f"{to_datetime(at_us).astimezone(UTC):{_RECORDED}}-{uuid4().hex}.parquet"
        return self.folder / LABELS / model / name

    def labels(self, model: str = "*") -> Iterator[tuple[Path, int]]:
        """The files of labels of a model, by default of all, with the instant at which each was recorded, by time."""
        for path in sorted((self.folder / LABELS).glob(f"{model}/*.parquet")):
            recorded = datetime.strptime(path.name.partition("-")[0], _RECORDED).replace(tzinfo=UTC)
            yield path, instant_us(recorded, "recorded")

    def _paths(self, service: str) -> list[Path]:
        return sorted((self.folder / VECTORS / service).glob("*.parquet"))

    def _facts(self, path: Path) -> FileFacts:
        metadata = _readable(path, lambda: pq.read_schema(path).metadata[_METADATA])
        return _readable(path, lambda: msgspec.json.decode(metadata, type=FileFacts))


def _columns(path: Path, names: Sequence[str]) -> tuple[FileFacts, pa.Table]:
    with pq.ParquetFile(path) as file:
        facts = msgspec.json.decode(file.schema_arrow.metadata[_METADATA], type=FileFacts)
        has = set(file.schema_arrow.names)
        return facts, file.read([name for name in names if name in has], use_threads=False)


def _readable(path: Path, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except (OSError, pa.ArrowException, KeyError, TypeError, msgspec.DecodeError) as error:
        raise OfflineStoreError(f"Audit log file {path} cannot be read: {error}. Move it away.") from error


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    try:
        write_whole(path, write)
    except OSError as error:
        raise OfflineStoreError(f"Audit log file {path} cannot be written: {error.strerror or error}.") from error
