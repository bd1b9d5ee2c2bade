"""What is done to a store beside filling and asking it: auditing, erasing, sweeping."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from featurestore.definitions import FeatureService
from featurestore.errors import UnknownNameError
from featurestore.rooms import Rooms
from featurestore.timeline import instant_us

if TYPE_CHECKING:
    from featurestore.audit.report import AuditReport
    from featurestore.dtypes import Value
    from featurestore.upkeep.report import EraseReport


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
