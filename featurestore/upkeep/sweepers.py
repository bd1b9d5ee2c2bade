"""The sweepers: tables, online namespaces, versions, logs, quarantine, and files that nothing names."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from featurestore.audit.records import LogFiles
from featurestore.contracts.quarantine import Quarantine
from featurestore.dataset import Manifest
from featurestore.offline.upkeep import data_files, files_of, join_small_files, small_files
from featurestore.online.base import OnlineStore
from featurestore.plan.views import namespace, table_name
from featurestore.registry.base import Registry
from featurestore.timeline import format_instant
from featurestore.upkeep.needs import Needs
from featurestore.upkeep.sweeping import Finding

_WAIT_S = 10.0  # for another writer of a table
_SMALL_FILES = 8  # so many are joined
_UNNAMED_S = 3_600.0  # files that nothing names yet may be on their way for so long


@dataclass(frozen=True, slots=True)
class UnusedTables:
    """Offline tables of view versions that nobody uses."""

    needs: Needs

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        folder = self.needs.tables.directory
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if (path / "_delta_log").is_dir() and path.name not in self.needs.used_tables:
                pin = self.needs.pin_of(path.name)
                why = "no view version in use has it" if pin is None else pin
                yield Finding("drop", "offline table", path.name, why, _size(path), pin is not None, (path.name,))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        tables, (table,) = self.needs.tables, finding.key
        with tables.lease(table, _WAIT_S):
            shutil.rmtree(tables.directory / table)


@dataclass(frozen=True, slots=True)
class UnusedNamespaces:
    """Online records of view versions that nobody uses and whose table is gone or goes."""

    needs: Needs

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        needs, project = self.needs, self.needs.publisher.project
        tables = {namespace(project, view): table_name(view) for view in needs.records}
        used = {version.namespace for version in needs.used}
        for space in needs.publisher.store.namespaces():
            if not space.startswith(f"{project}/") or space in used:
                continue
            table = tables.get(space)
            newest = needs.tables.snapshot(table) if table else None
            lately = newest is not None and newest.committed_at_us >= needs.now_us - needs.retain_us
            why = "its table was committed to lately" if lately else "no view version in use answers from it"
            yield Finding("drop", "online records", space, why, None, lately, (space,))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        self.needs.publisher.store.drop(finding.key[0])


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """Small files of tables in use, joined into larger ones; every answer stays the same."""

    needs: Needs

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        for table in self.needs.used_tables:
            snapshot = self.needs.tables.snapshot(table)
            small = small_files(snapshot.files) if snapshot else 0
            if small >= _SMALL_FILES:
                yield Finding("join", "offline table", table, f"{small} small files", None, key=(table,))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper. Online records that were read from the version before are of the new one: the rows are equal."""
        needs, (table,) = self.needs, finding.key
        publisher = needs.publisher
        with needs.tables.lease(table, _WAIT_S) as token:
            before = needs.tables.snapshot(table)
            after = join_small_files(needs.tables, table, needs.now_us, token)
            for view in needs.records:
                published = publisher.published(view) if table_name(view) == table else None
                if before is not None and published is not None and published.version == before.version:
                    meta = replace(published, version=after.version).pack()
                    publisher.store.write(publisher.namespace(view), (), meta=meta)


@dataclass(frozen=True, slots=True)
class OldVersions:
    """Data files of which no version that must stay readable has need."""

    needs: Needs

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        for table in self._tables():
            needed = self.needs.versions(table)
            files = self._unneeded(table, needed)
            if files:
                size = sum(file.stat().st_size for file in files)
                yield Finding("remove", "old versions", table, f"{len(files)} files of no kept version", size,
                              key=(table,))  # fmt: skip
            for version, by in self.needs.pinned.get(table, {}).items():
                if needed.get(version) == by:
                    yield Finding("remove", "old versions", f"{table} version {version}", by, kept=True)

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        (table,) = finding.key
        with self.needs.tables.lease(table, _WAIT_S):
            for file in self._unneeded(table, self.needs.versions(table)):
                file.unlink()

    def _tables(self) -> list[str]:
        folder = self.needs.tables.directory
        found = sorted(folder.iterdir()) if folder.exists() else []
        return [path.name for path in found if (path / "_delta_log").is_dir()]

    def _unneeded(self, table: str, needed: dict[int, str]) -> list[Path]:
        tables = self.needs.tables
        kept = files_of(tables, table, needed)
        return [file for file in data_files(tables, table) if str(file) not in kept]


@dataclass(frozen=True, slots=True)
class OldLogs:
    """Files of a log of which all was served, or recorded, before `until_us`, and definitions that no file names.

    `kind` is audit log or predictions; a log of predictions has labels as well.
    """

    log: LogFiles
    until_us: int
    kind: str = "audit log"

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        for service in self.log.services():
            for path, facts in self.log.files(service):
                if facts.last_us < self.until_us:
                    yield self._found(self.kind, path, f"last served {format_instant(facts.last_us)}")
        for path, recorded_us in self.log.labels():
            if recorded_us < self.until_us:
                yield self._found("labels", path, f"recorded {format_instant(recorded_us)}")

    def _found(self, kind: str, path: Path, why: str) -> Finding:
        return Finding("remove", kind, path.name, why, path.stat().st_size, key=(str(path),))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        Path(finding.key[0]).unlink(missing_ok=True)
        log = self.log
        named = {facts.definitions for service in log.services() for _, facts in log.files(service)}
        for path in log.kept_definitions():
            if path.stem not in named and _is_old(path):
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class OldQuarantine:
    """Refusals older than what is kept; a release keeps letting its rows through, so it stays."""

    quarantine: Quarantine
    until_us: int

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        for entry in self.quarantine.list():
            if entry.at_us < self.until_us:
                released = entry.waiver is not None
                why = "its release lets rows through" if released else f"refused {format_instant(entry.at_us)}"
                yield Finding("remove", "quarantine", entry.id, why, None, released, (entry.id,))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        self.quarantine.remove(finding.key[0])


@dataclass(frozen=True, slots=True)
class UnnamedFiles:
    """Files of datasets and spines that the registry does not name, and files that were never finished."""

    root: Path
    folder: Path
    registry: Registry
    logs: tuple[LogFiles, ...]

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        named: set[Path] = set()
        for record in self.registry.datasets():
            named |= {self.root / record.path, self.root / Manifest.of(record).spine.path}
        places = [self.folder / "datasets", self.folder / "spines"]
        for path in (file for place in places for file in sorted(place.rglob("*"))):
            if path.is_file() and path not in named and _is_old(path):
                yield self._found(path, "no dataset names it")
        for place in (self.folder / "quarantine", self.folder / "pushed", *(log.folder for log in self.logs)):
            for path in sorted(place.rglob(".*.tmp")):
                if _is_old(path):
                    yield self._found(path, "it was never finished")

    def _found(self, path: Path, why: str) -> Finding:
        where = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        return Finding("remove", "file", where, why, path.stat().st_size, key=(str(path),))

    def sweep(self, finding: Finding) -> None:
        """As Sweeper."""
        Path(finding.key[0]).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class OnlineSpace:
    """What the online store still holds of records that were replaced, deleted, or left by publishers that died."""

    store: OnlineStore
    where: str

    def look(self) -> Iterator[Finding]:
        """As Sweeper."""
        yield Finding("compact", "online store", self.where, "gives back what was replaced, deleted or left behind")

    def sweep(self, _: Finding) -> None:
        """As Sweeper."""
        self.store.compact()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > _UNNAMED_S
    return False
