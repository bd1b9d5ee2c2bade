"""What must stay, and because of what: views in use, datasets, models, the audit log, and what was committed lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from featurestore.audit.records import LogFiles
from featurestore.dataset import Manifest
from featurestore.errors import OfflineStoreError
from featurestore.materialization.publishing import Publisher
from featurestore.offline.tables import OfflineTables
from featurestore.offline.upkeep import commits
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.views import table_name
from featurestore.registry.base import Registry
from featurestore.registry.usage import UsedVersion


@dataclass(frozen=True)
class Needs:
    """What a project needs at `now_us`, when `retain_us` of history and `log_us` of the audit log are kept."""

    registry: Registry
    tables: OfflineTables
    publisher: Publisher
    log: LogFiles
    used: Sequence[UsedVersion]
    now_us: int
    retain_us: int
    log_us: int

    @cached_property
    def records(self) -> tuple[ViewRecord, ...]:
        """Every form that a view ever had in a version."""
        return tuple(version.record for version in self.registry.view_versions())

    @cached_property
    def used_tables(self) -> Mapping[str, str]:
        """Tables of the versions in use, with why."""
        return {used.table: f"view {used.version.view} v{used.version.version} {', '.join(used.reasons)}"
                for used in self.used}  # fmt: skip

    @cached_property
    def pinned(self) -> Mapping[str, Mapping[int, str]]:
        """Versions of tables that a dataset or the audit log rests on, with which."""
        found: dict[str, dict[int, str]] = {}
        for dataset in self.registry.datasets():
            for view in Manifest.of(dataset).views.values():
                if view.table_version is not None:
                    name = f"dataset {dataset.name}@{dataset.version}"
                    found.setdefault(view.table, {}).setdefault(view.table_version, name)
        for service in self.log.services():
            for _, facts in self.log.files(service):
                if facts.last_us >= self.now_us - self.log_us:
                    for table, versions in facts.versions.items():
                        for version in versions:
                            found.setdefault(table, {}).setdefault(version, f"audit log of {service}")
        return found

    @cached_property
    def trained(self) -> Mapping[str, str]:
        """Tables that a recorded model learned from, with the model."""
        versions = {(v.view, v.version): table_name(v.record) for v in self.registry.view_versions()}
        return {
            versions[view, version]: f"model {model.name} v{model.version}"
            for model in self.registry.models()
            for view, version in model.views.items()
            if (view, version) in versions
        }

    def pin_of(self, table: str) -> str | None:
        """What keeps a table that no version in use has; None when nothing does."""
        for version, by in self.pinned.get(table, {}).items():
            return f"{by} rests on its version {version}"
        if table in self.trained:
            return f"{self.trained[table]} learned from it"
        try:
            newest = self.tables.snapshot(table)
        except OfflineStoreError as error:
            return f"it cannot be read: {error}"
        if newest is not None and newest.committed_at_us >= self.now_us - self.retain_us:
            return "it was committed to lately"
        return None

    def versions(self, table: str) -> dict[int, str]:
        """The versions of a table that must stay readable, with why."""
        instants = commits(self.tables, table)
        since = self.now_us - self.retain_us
        before = max((version for version, at_us in instants.items() if at_us < since), default=None)
        needed = {version: "within the time that is kept" for version, at_us in instants.items() if at_us >= since}
        if before is not None:
            needed[before] = "stood when the time that is kept began"
        needed |= {version: by for version, by in self.pinned.get(table, {}).items() if version in instants}
        for view in self.records:
            published = self.publisher.published(view) if table_name(view) == table else None
            if published is not None:
                needed.setdefault(published.version, "online records were read from it")
        needed[max(instants)] = "newest"
        return needed
