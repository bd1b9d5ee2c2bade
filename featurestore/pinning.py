"""What a retrieval reads, fixed: the records it is built from, and one version of each view's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from featurestore.errors import MaterializationError
from featurestore.offline.tables import Snapshot
from featurestore.plan.building import ViewInput
from featurestore.plan.catalog import Catalog, ViewRecord
from featurestore.plan.intervals import Committed
from featurestore.plan.selection import Selection, view_members
from featurestore.plan.views import stored_rows, table_name


@dataclass(frozen=True, slots=True)
class ViewPin:
    """One view as it is read: its record, the version of its meaning, and one version of its table.

    `snapshot` None: nothing was committed, so only its source can answer. The snapshot's watermark bounds windows.
    """

    record: ViewRecord
    version: int
    snapshot: Snapshot | None

    @property
    def table(self) -> str:
        """The folder of the offline table."""
        return table_name(self.record)

    @property
    def table_version(self) -> int | None:
        """The version of the table."""
        return None if self.snapshot is None else self.snapshot.version

    @property
    def watermark_us(self) -> int | None:
        """Up to where that version is committed without a gap."""
        return None if self.snapshot is None else self.snapshot.watermark_us

    def stored(self) -> ViewInput:
        """The view's rows in that version; raises MaterializationError when nothing was committed."""
        if self.snapshot is None:
            raise MaterializationError(
                f"View '{self.record.name}' was never materialized; run `featurestore materialize`, or ask with "
                "from_source=True."
            )
        return ViewInput(stored_rows(self.record, self.snapshot.files), self.snapshot.watermark_us)


@dataclass(frozen=True, slots=True)
class Pins:
    """A selection with all that its answer rests on: equal pins give equal answers, whatever is committed later.

    `catalog` has the records of the selection's views and on-demand views, `views` a pin for each view it reads, and
    `revision` is the registry's when they were taken.
    """

    selection: Selection
    catalog: Catalog
    revision: int
    views: Mapping[str, ViewPin]

    @staticmethod
    def of(
        selection: Selection, catalog: Catalog, revision: int, snapshot: Callable[[ViewRecord], Snapshot | None]
    ) -> Pins:
        """The pins of a selection; `snapshot` says which version of a view's table to read."""
        records = (catalog.views[name] for name in view_members(selection, catalog))
        views = {r.name: ViewPin(r, catalog.versions[r.name], snapshot(r)) for r in records}
        return Pins(selection, catalog, revision, views)

    @property
    def committed(self) -> dict[str, Committed]:
        """The committed interval of each view that has one."""
        return {
            name: Committed(pin.snapshot.start_us, pin.snapshot.watermark_us)
            for name, pin in self.views.items()
            if pin.snapshot is not None and not pin.record.source.timeless
        }
