"""Erasing an entity from everything that a project keeps: tables in all versions, online records, logs, datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.audit.records import LogFiles
from featurestore.contracts.quarantine import Quarantine
from featurestore.dataset import Dataset, KeptSpine, Manifest, file_digest
from featurestore.datasets.making import divided_again
from featurestore.dtypes import Value, parse
from featurestore.errors import InputError
from featurestore.materialization.publishing import Publisher
from featurestore.materialization.replaying import reader_of
from featurestore.offline.pushed import PushLog
from featurestore.offline.tables import OfflineTables, Snapshot
from featurestore.offline.upkeep import data_files, take_out
from featurestore.online.keys import key_encoder
from featurestore.parquet import write_parquet
from featurestore.plan.catalog import OnDemandRecord, Projected, ViewRecord
from featurestore.plan.views import kept_columns, table_name
from featurestore.registry.base import Registry
from featurestore.timeline import SEQUENCE, Clock
from featurestore.upkeep.matching import Entity, named, rows_of, without
from featurestore.upkeep.report import Erased, EraseReport, Held
from featurestore.upkeep.sources import SourceLooker

_WAIT_S = 10.0  # for another writer of a table


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases from one project in `root`; `looker` counts what the sources hold."""

    root: Path
    registry: Registry
    tables: OfflineTables
    pushes: PushLog
    publisher: Publisher
    log: LogFiles
    predictions: LogFiles
    artifacts: Path  # what runs of training pipelines leave
    quarantine: Quarantine
    looker: SourceLooker
    now_us: Clock

    def erase(self, given: Entity, *, dry_run: bool) -> EraseReport:
        """Take an entity's rows out of everything, or say what would go; done twice, it does nothing the second time.

        An entity of some of a view's join keys is every row that has those values. Raises UnknownNameError for a key
        that no view has, InputError for a value of another type, and ConflictError when a table is being written.
        """
        records = [version.record for version in self.registry.view_versions()]
        entity = _typed(given, records)
        mine = [record for record in records if entity.keys() <= dict(record.keys).keys()]
        kept: list[Held] = []
        erased = [*self._pushed(entity, mine, kept, dry_run)]  # first: what is gone there, no run takes in
        erased += [*self._tables(entity, mine, dry_run), *self._datasets(entity, dry_run)]
        erased += [*_logged("audit log", self.log, entity, dry_run)]
        erased += [*_logged("prediction log", self.predictions, entity, dry_run)]
        erased += self._quarantine(entity, dry_run)
        if not dry_run and any(place.rows for place in erased):
            self.publisher.store.compact()
        held = [
            *kept,
            *self._pinned(entity),
            *self._left_by_runs(entity),
            *self._as_values(entity, records),
            *self.looker.held(entity, mine),
        ]
        return EraseReport(entity, dry_run, tuple(place for place in erased if place.rows), tuple(held))

    def _pushed(self, entity: Entity, records: list[ViewRecord], held: list[Held], dry_run: bool) -> Iterator[Erased]:
        """Rows that were pushed to views with the entity's keys; where it is a value to all, it is held."""
        total, readers = 0, [reader_of(record) for record in records]
        as_value: dict[str, int] = {}
        for pushed in self.pushes.since(None):
            rows = self.pushes.read(pushed)
            mask = None if rows is None else named(rows, [{name: name for name in entity}], entity)
            count = 0 if mask is None else pc.sum(mask).as_py() or 0
            if not count or rows is None:
                continue
            if not any(pushed.address.reaches(reader) for reader in readers):
                name = f"{pushed.address.kind} {pushed.address.name}"
                as_value[name] = as_value.get(name, 0) + count
                continue
            total += count
            if not dry_run:
                self.pushes.rewrite(pushed, without(rows, mask))
        yield Erased("push log", self.pushes.directory.name, total)
        why = "it was pushed as a value of other entities' rows, not as a key"
        held += [Held("push log", name, count, why) for name, count in as_value.items()]

    def _tables(self, entity: Entity, records: list[ViewRecord], dry_run: bool) -> Iterator[Erased]:
        by_table: dict[str, list[ViewRecord]] = {}
        for record in records:
            by_table.setdefault(table_name(record), []).append(record)
        for table, versions in by_table.items():
            if self.tables.snapshot(table) is None:
                continue
            yield from self._table(table, entity, versions, dry_run)

    def _table(self, table: str, entity: Entity, versions: list[ViewRecord], dry_run: bool) -> Iterator[Erased]:
        with nullcontext(0) if dry_run else self.tables.lease(table, _WAIT_S) as token:
            snapshot = self.tables.snapshot(table)
            assert snapshot is not None
            found = {str(file): rows_of(file, entity, (SEQUENCE,)) for file in data_files(self.tables, table)}
            holding = {file: rows for file, rows in found.items() if rows.num_rows}
            now = sum(rows.num_rows for file, rows in holding.items() if file in snapshot.files)
            if holding and not dry_run:
                self._rewrite(table, entity, token, versions)
        distinct = {s for rows in holding.values() for s in rows.column(SEQUENCE).to_pylist()}
        gone = f"{now} in the newest version, in {len(holding)} files" if holding else ""
        yield Erased("offline table", table, len(distinct), gone)
        if holding:
            yield from self._online(versions, now)

    def _rewrite(self, table: str, entity: Entity, token: int, versions: list[ViewRecord]) -> None:
        """Commit without the rows, publish that, and remove every file that still holds one."""
        snapshot = self.tables.snapshot(table)
        assert snapshot is not None
        sequences = {
            sequence
            for file in snapshot.files
            for sequence in rows_of(Path(file), entity, (SEQUENCE,)).column(SEQUENCE).to_pylist()
        }
        after = take_out(self.tables, table, sequences, self.now_us(), token) if sequences else snapshot
        for view in versions:
            if self.publisher.published(view) is not None:
                self.publisher.publish(view, after, anew=True)
        for file in data_files(self.tables, table):
            if str(file) not in after.files and rows_of(file, entity).num_rows:
                file.unlink()

    def _online(self, versions: list[ViewRecord], rows: int) -> Iterator[Erased]:
        for space in dict.fromkeys(self.publisher.namespace(view) for view in versions):
            if self.publisher.store.count(space):
                yield Erased("online records", space, rows and 1, "published anew")

    def _quarantine(self, entity: Entity, dry_run: bool) -> Iterator[Erased]:
        for entry in self.quarantine.list():
            _, rows = self.quarantine.show(entry.id)
            mask = named(rows, [{name: name for name in rows.column_names}], entity)
            count = 0 if mask is None else pc.sum(mask).as_py() or 0
            if count and not dry_run:
                self.quarantine.rewrite(entry, rows.filter(pc.invert(mask)))
            yield Erased("quarantine", entry.id, count)

    def _datasets(self, entity: Entity, dry_run: bool) -> Iterator[Erased]:
        pinned = self._by_models()
        spines: dict[str, KeptSpine] = {}
        kept = {d.manifest.spine.path for d in self._saved() if (d.name, d.version) in pinned}
        for dataset in self._saved():
            if (dataset.name, dataset.version) in pinned:
                continue
            manifest = dataset.manifest
            lookups = self._lookups(manifest)
            spine = manifest.spine
            if spine.path not in spines and spine.path not in kept:
                left, count = self._filtered(self.root / spine.path, lookups, entity)
                spines[spine.path] = spine if dry_run or not count else self._new_spine(spine, left)
                yield Erased("spine", spine.path, count)
            left, count = self._filtered(dataset.path, lookups, entity)
            if not dry_run and (count or spines.get(spine.path, spine) != spine):
                self._new_rows(dataset, left, count, spines.get(spine.path, spine))
            yield Erased("dataset", dataset.reference, count)

    def _filtered(self, path: Path, lookups: list[Mapping[str, str]], entity: Entity) -> tuple[pa.Table | None, int]:
        """The rows of a file that stay (None when it is gone), and how many do not."""
        if not path.is_file():
            return None, 0
        rows = pq.ParquetFile(path).read()
        mask = named(rows, lookups, entity)
        count = 0 if mask is None else pc.sum(mask).as_py() or 0
        return (rows.filter(pc.invert(mask)) if count else rows), count

    def _new_spine(self, spine: KeptSpine, rows: pa.Table | None) -> KeptSpine:
        assert rows is not None
        path = self._placed(rows, (self.root / spine.path).parent, 64)
        (self.root / spine.path).unlink()
        where = str(path.relative_to(self.root))
        return msgspec.structs.replace(spine, path=where, sha256=file_digest(path), rows=rows.num_rows)

    def _new_rows(self, dataset: Dataset, rows: pa.Table | None, count: int, spine: KeptSpine) -> None:
        manifest = msgspec.structs.replace(dataset.manifest, spine=spine)
        record = replace(dataset.record, manifest=manifest.document())
        if rows is not None and count:
            path = self._placed(rows, dataset.path.parent, 16)
            manifest = msgspec.structs.replace(
                manifest, sha256=file_digest(path), erased_rows=manifest.erased_rows + count,
                division=divided_again(manifest, path),
            )  # fmt: skip
            where = str(path.relative_to(self.root))
            record = replace(record, path=where, rows=rows.num_rows, manifest=manifest.document())
        self.registry.change_dataset(record)
        if record.path != dataset.record.path and not any(d.record.path == dataset.record.path for d in self._saved()):
            dataset.path.unlink()

    def _placed(self, rows: pa.Table, folder: Path, length: int) -> Path:
        """A file named by its content."""
        partial = folder / ".erasing.parquet"
        write_parquet(partial, rows.schema, rows.to_batches())
        return partial.replace(folder / f"{file_digest(partial)[:length]}.parquet")

    def _saved(self) -> list[Dataset]:
        return [Dataset(self.root, record) for record in self.registry.datasets()]

    def _by_models(self) -> dict[tuple[str, int], str]:
        return {
            (model.dataset, model.dataset_version): f"{model.name} v{model.version}"
            for model in self.registry.models()
            if model.dataset is not None and model.dataset_version is not None
        }

    def _lookups(self, manifest: Manifest) -> list[Mapping[str, str]]:
        """For each reading of a view that a dataset did: the spine's column for each join key."""
        parts = [part for part in manifest.members if isinstance(part, Projected)]
        for name, digest in manifest.on_demand.items():
            record = self.registry.recorded("on_demand", name, digest)
            if isinstance(record, OnDemandRecord):
                parts += [part for part in record.inputs if isinstance(part, Projected)]
        return [dict(part.keys) for part in parts]

    def _pinned(self, entity: Entity) -> Iterator[Held]:
        models = self._by_models()
        for dataset in self._saved():
            model = models.get((dataset.name, dataset.version))
            if model is None:
                continue
            lookups = self._lookups(dataset.manifest)
            counts = [self._filtered(path, lookups, entity)[1]
                      for path in (dataset.path, self.root / dataset.manifest.spine.path)]  # fmt: skip
            if any(counts):
                why = f"model {model} learned from it, and its rows prove what it learned from; retire the model first"
                yield Held("dataset", dataset.reference, max(counts), why)

    def _left_by_runs(self, entity: Entity) -> Iterator[Held]:
        """Rows that runs of training pipelines keep by their digest, such as golden requests."""
        lookups = {tuple(lookup.items()) for dataset in self._saved() for lookup in self._lookups(dataset.manifest)}
        every: list[Mapping[str, str]] = [dict(lookup) for lookup in lookups]
        for path in sorted(self.artifacts.rglob("*.parquet")):
            count = self._filtered(path, every, entity)[1]
            if count:
                why = "a training run proves with it what its model answered, and the registry has its digest"
                yield Held("run artifact", str(path.relative_to(self.root)), count, why)

    def _as_values(self, entity: Entity, records: list[ViewRecord]) -> Iterator[Held]:
        """Tables that keep a join key of the entity as a value of another entity's rows."""
        seen: set[str] = set()
        for view in records:
            values = {c.column: c.stored for c in kept_columns(view) if c.expression is None and c.column in entity}
            table = table_name(view)
            if table in seen or not values.keys() >= entity.keys() or not values:
                continue
            seen.add(table)
            snapshot = self.tables.snapshot(table)
            asked = {values[name]: value for name, value in entity.items()}
            rows = _count(snapshot, asked)
            if rows:
                keys = ", ".join(key for key, _ in view.keys) or "the one global row"
                yield Held(
                    "offline table", table, rows, f"view '{view.name}' keeps it as a value of {keys}, not as a key"
                )


def _count(snapshot: Snapshot | None, entity: Entity) -> int:
    return sum(rows_of(Path(file), entity).num_rows for file in snapshot.files) if snapshot else 0


def _logged(kind: str, log: LogFiles, entity: Entity, dry_run: bool) -> Iterator[Erased]:
    """The vectors that a log keeps of the entity, by service."""
    for service in log.services():
        total = 0
        for path, facts in log.files(service):
            vectors = log.read(path)
            keys = _flattened(vectors)
            mask = named(keys, log.definitions(facts.definitions).lookups, entity)
            rows = 0 if mask is None else pc.sum(mask).as_py() or 0
            total += rows
            if rows and not dry_run:
                left = vectors.filter(pc.invert(mask))
                log.write(path, msgspec.structs.replace(facts, erased=facts.erased + rows), left)
        yield Erased(kind, service, total)


def _flattened(vectors: pa.Table) -> pa.Table:
    """The keys that vectors were asked for with, by their columns."""
    if "keys" not in vectors.column_names:
        return vectors.select([])
    keys = vectors.column("keys").combine_chunks()
    return pa.table({field.name: pc.struct_field(keys, field.name) for field in keys.type})


def _typed(entity: Entity, records: list[ViewRecord]) -> dict[str, Value]:
    """The entity, when its keys are join keys of a view and its values of their types."""
    from featurestore.errors import UnknownNameError

    if not entity:
        raise InputError("Name the entity to erase by its join keys, such as customer=c01.")
    known = {key: parse(dtype) for record in records for key, dtype in record.keys}
    for name, value in entity.items():
        if name not in known:
            raise UnknownNameError("join key", name, known)
        if value is None:
            raise InputError(f"Join key '{name}' is null; null names no entity.")
        key_encoder(((name, known[name]),))([value])
    if not any(entity.keys() <= dict(record.keys).keys() for record in records):
        raise InputError(f"No view has the join keys {', '.join(entity)} together; erase them one by one.")
    return dict(entity)
