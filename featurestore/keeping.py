"""What is done to a store beside filling and asking it: auditing, erasing, sweeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from featurestore.definitions import FeatureService
from featurestore.errors import UnknownNameError
from featurestore.registry.usage import used_versions
from featurestore.rooms import Rooms
from featurestore.timeline import duration_us, instant_us, parse_duration

if TYPE_CHECKING:
    from featurestore.audit.report import AuditReport
    from featurestore.dtypes import Value
    from featurestore.upkeep.report import EraseReport
    from featurestore.upkeep.sweeping import MaintenanceReport, Sweeper


class Keeping(Rooms):
    """The rooms of a project with what keeps them trustworthy and small."""

    def audit(
        self, service: FeatureService | str, since: datetime | None = None, until: datetime | None = None
    ) -> AuditReport:
        """What a service served in [since, until), as logged, held against history as of the versions it was read from.

        On a healthy store every cell is equal. Raises UnknownNameError for a service that is neither applied nor in the
        log, and OfflineStoreError when the log cannot be read.
        """
        name = service.name if isinstance(service, FeatureService) else service
        if self.served is not None:
            self.served.flush()
        known = {*self._auditor.files.services(), *self.registry.catalog()[1].services}
        if name not in known:
            raise UnknownNameError("service", name, known)
        bounds = (None if at is None else instant_us(at, what) for at, what in ((since, "since"), (until, "until")))
        return self._auditor.audit(name, *bounds)

    def erase(self, entity: Mapping[str, Value], *, dry_run: bool = False) -> EraseReport:
        """Take an entity out of everything that is kept, in all versions, and say what still holds it.

        Versions of tables, and answers as of earlier instants, that rest on a file with its rows are gone afterwards.
        Raises UnknownNameError, InputError for keys that no view has together, and ConflictError while a table is being
        written.
        """
        if self.served is not None:
            self.served.flush()
        return self._eraser.erase(entity, dry_run=dry_run)

    def maintain(self, retain: timedelta = timedelta(days=30), *, dry_run: bool = False) -> MaintenanceReport:
        """Join small files, and sweep what nothing needs; with `dry_run` only say what would go.

        Nothing goes that is in use or can be rolled back to, nor what a dataset, a model or the audit log within its
        retention rests on, nor what was committed, or refused, within `retain`. Every answer stays the same, except as
        of instants before that. Raises ConflictError while a table is being written.
        """
        from featurestore.upkeep.sweeping import maintain

        return maintain(self._sweepers(duration_us(retain)), dry_run=dry_run)

    def _sweepers(self, retain_us: int) -> Sequence[Sweeper]:
        """In the order in which they run."""
        from featurestore.audit.records import LogFiles
        from featurestore.upkeep import sweepers
        from featurestore.upkeep.needs import Needs
        from featurestore.urls import without_secrets

        retention = duration_us(parse_duration(self.configuration.audit.retention))
        settings = self.configuration.predictions
        predictions = LogFiles(self.root / settings.path)
        predicted_us = duration_us(parse_duration(settings.retention))
        log, project, now_us = self._auditor.files, self.configuration.project, self.now_us()
        used = used_versions(self.registry.state(), self.registry.view_versions(), self.registry.moves(), project)
        needs = Needs(
            registry=self.registry,
            tables=self.tables,
            publisher=self._materializer.publisher,
            log=log,
            used=used,
            now_us=now_us,
            retain_us=retain_us,
            log_us=retention,
        )
        return (
            sweepers.UnusedTables(needs),
            sweepers.UnusedNamespaces(needs),
            sweepers.SmallFiles(needs),
            sweepers.OldLogs(log, now_us - retention),
            sweepers.OldLogs(predictions, now_us - predicted_us, "predictions"),
            sweepers.OldVersions(needs),
            sweepers.OldQuarantine(self.quarantine, now_us - retain_us),
            sweepers.UnnamedFiles(self.root, self._offline_path, self.registry, (log, predictions)),
            sweepers.OnlineSpace(self.online, without_secrets(self.configuration.online.url)),
        )
