"""From a retrieval to a dataset's files and manifest, and from a manifest back to the pins that it was made with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.dataset import Division, KeptSpine, MadeView, Manifest, file_digest
from featurestore.definitions.splits import Split, parse_split
from featurestore.engines.base import FileSpine, FrameSpine, OfflineEngine, QuerySpine, Spine
from featurestore.errors import FeatureStoreError, InputError, OfflineStoreError
from featurestore.offline.tables import OfflineTables, Snapshot
from featurestore.parquet import write_parquet
from featurestore.pinning import Pins, ViewPin
from featurestore.plan.catalog import Catalog, OnDemandRecord, ViewRecord, parse_reference
from featurestore.plan.fingerprint import meaning
from featurestore.plan.selection import Selection
from featurestore.registry.base import Registry
from featurestore.retrieval import Retrieval
from featurestore.splitting import counts, places
from featurestore.timeline import format_instant

_LAYOUT = {
    pa.string(): pa.large_string(),
    pa.string_view(): pa.large_string(),
    pa.binary(): pa.large_binary(),
    pa.binary_view(): pa.large_binary(),
}
PACKAGES = ("featurestore-platform", "duckdb", "numpy", "polars", "pyarrow")


def engine_versions() -> dict[str, str]:
    """The versions of what decides the bytes."""
    return {package: version(package) for package in PACKAGES}


def write_spine(spine: Spine, engine: OfflineEngine, path: Path) -> int:
    """Write the spine's rows to a file and return their number; raises InputError when they cannot be read.

    Text and bytes get one layout, whatever they came in, so that equal rows have equal bytes.
    """
    with _spine_rows(spine, engine) as (schema, batches):
        plain = pa.schema([pa.field(f.name, _LAYOUT.get(f.type, f.type), f.nullable) for f in schema])
        return write_parquet(path, plain, (_laid_out(batch, plain) for batch in batches))


def _laid_out(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column if column.type.equals(field.type) else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@contextmanager
def _spine_rows(spine: Spine, engine: OfflineEngine) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    match spine:
        case FrameSpine(table=table):
            yield table.schema, table.to_batches()
        case FileSpine(path=path):
            try:
                with pq.ParquetFile(path) as file:
                    yield file.schema_arrow, file.iter_batches()
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"Spine {path} cannot be read as Parquet: {error}") from error
        case QuerySpine(sql=sql, inputs=inputs):
            with engine.query(sql, inputs) as reader:
                yield reader.schema, reader


def kept_spine(spine: Spine, path: Path, rows: int, root: Path) -> KeptSpine:
    """What is recorded of a spine that will stand at `path`; a file outside the project is named without its folder."""
    sha256 = path.stem
    where = str(path.relative_to(root))
    match spine:
        case FrameSpine():
            return KeptSpine(path=where, sha256=sha256, rows=rows, read="frame")
        case FileSpine(path=file):
            absolute = file.resolve()
            name = str(absolute.relative_to(root)) if absolute.is_relative_to(root) else file.name
            return KeptSpine(
                path=where, sha256=sha256, rows=rows, read="file", origin=name, origin_sha256=file_digest(file)
            )
        case QuerySpine(sql=sql):
            return KeptSpine(path=where, sha256=sha256, rows=rows, read="query", origin=sql)


def manifest_of(made: Retrieval, spine: KeptSpine, sha256: str, division: Division | None) -> Manifest:
    """The manifest of the rows that a retrieval made."""
    pins, catalog = made.pins, made.pins.catalog
    service = pins.selection.service
    return Manifest(
        features=made.plan.features,
        members=pins.selection.members,
        service=service,
        service_meaning=None if service is None else meaning(catalog.services[service]),
        timestamp=made.plan.timestamp,
        keys=made.plan.keys,
        statuses=made.statuses,
        from_source=made.from_source,
        outputs={name: str(dtype) for name, dtype in made.plan.outputs},
        revision=pins.revision,
        spine=spine,
        views={name: _made_view(pin) for name, pin in pins.views.items()},
        on_demand={step.view: meaning(catalog.on_demand[step.view]) for step in made.plan.on_demand},
        engine=engine_versions(),
        sha256=sha256,
        division=division,
    )


def _made_view(pin: ViewPin) -> MadeView:
    return MadeView(
        version=pin.version,
        meaning=meaning(pin.record),
        table=pin.table,
        table_version=pin.table_version,
        watermark=None if pin.watermark_us is None else format_instant(pin.watermark_us),
    )


def divided(split: Split, path: Path, keys: tuple[str, ...], timestamp: str) -> Division:
    """The division of a dataset's file that a split makes."""
    file = pq.ParquetFile(path)
    found = places(file.read(), split, keys, timestamp)
    return Division(split=str(split), rows=dict(counts(found)), sha256=hashlib.sha256(found.tobytes()).hexdigest())


def divided_again(manifest: Manifest, path: Path) -> Division | None:
    """The division that a manifest's split makes of a file now."""
    if manifest.division is None:
        return None
    return divided(parse_split(manifest.division.split), path, manifest.keys, manifest.timestamp)


@dataclass(frozen=True, slots=True)
class Recalled:
    """The pins that a dataset was made with; without them the obstacles, each a sentence."""

    pins: Pins | None
    obstacles: tuple[str, ...]


def recall(manifest: Manifest, registry: Registry, tables: OfflineTables) -> Recalled:
    """The pins of a manifest, from the registry's history and the tables' versions."""
    obstacles: list[str] = []
    views: dict[str, ViewPin] = {}
    for name, made in manifest.views.items():
        record = registry.recorded("view", parse_reference(name)[0], made.meaning)
        snapshot = _snapshot(name, made, tables, obstacles)
        if isinstance(record, ViewRecord):
            views[name] = ViewPin(record, made.version, snapshot)
        else:
            obstacles.append(_unrecorded("view", name, made.meaning))
    on_demand: dict[str, OnDemandRecord] = {}
    for name, digest in manifest.on_demand.items():
        found = registry.recorded("on_demand", name, digest)
        if isinstance(found, OnDemandRecord):
            on_demand[name] = found
        else:
            obstacles.append(_unrecorded("on-demand view", name, digest))
    if obstacles:
        return Recalled(None, tuple(obstacles))
    catalog = Catalog(
        views={name: pin.record for name, pin in views.items()},
        on_demand=on_demand,
        versions={name: pin.version for name, pin in views.items()},
    )
    selection = Selection(manifest.features, manifest.members, manifest.service)
    return Recalled(Pins(selection, catalog, manifest.revision, views), ())


def _snapshot(view: str, made: MadeView, tables: OfflineTables, obstacles: list[str]) -> Snapshot | None:
    if made.table_version is None:
        return None
    what = f"view '{view}': version {made.table_version} of its table {made.table} is gone"
    try:
        snapshot = tables.snapshot(made.table, made.table_version)
    except OfflineStoreError as error:
        obstacles.append(f"{what}: {sentence(error)}")
        return None
    if snapshot is None:
        whole = (tables.directory / made.table).exists()
        obstacles.append(f"{what}: its log was cut" if whole else f"{what}, and so is the whole table")
        return None
    lost = [file for file in snapshot.files if not Path(file).is_file()]
    if lost:
        files = f"{len(lost)} of its {len(snapshot.files)} data files are no longer there"
        obstacles.append(f"{what}: {files}, they were vacuumed or erased")
    return snapshot


def _unrecorded(kind: str, name: str, digest: str) -> str:
    return f"{kind} '{name}': the registry holds no record of the meaning {digest} that it had"


def changed_engine(recorded: dict[str, str]) -> tuple[str, ...]:
    """A sentence for each package whose version differs from the recorded one."""
    now = engine_versions()
    return tuple(
        f"{package} was {recorded.get(package, 'not there')} and is {now.get(package, 'not there')}"
        for package in sorted(recorded.keys() | now.keys())
        if recorded.get(package) != now.get(package)
    )


def spine_obstacle(spine: KeptSpine, root: Path) -> str | None:
    """Why a kept spine cannot be used; None when its file is as it was."""
    path = root / spine.path
    if not path.is_file():
        return f"the spine's file {spine.path} is missing"
    found = file_digest(path)
    return None if found == spine.sha256 else f"the spine's file {spine.path} was altered: its SHA-256 is {found}"


def sentence(error: FeatureStoreError) -> str:
    """An error as one obstacle."""
    return str(error).rstrip(".")


def copied(source: Path, target: Path) -> Path:
    """Copy a file, which appears whole or not at all; raises OfflineStoreError when the disk refuses."""
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        return partial.replace(target)
    except OSError as error:
        raise OfflineStoreError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
