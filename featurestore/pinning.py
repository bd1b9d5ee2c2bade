"""What a retrieval reads, fixed: the records it is built from, and one version of each view's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from featurestore.errors import InputError, MaterializationError
from featurestore.offline.tables import OfflineTables, Snapshot
from featurestore.plan.building import ViewInput
from featurestore.plan.catalog import Catalog, ViewRecord
from featurestore.plan.intervals import Committed
from featurestore.plan.selection import Selection, view_members
from featurestore.plan.views import stored_rows, table_name
from featurestore.timeline import Clock, format_instant


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
        """The view's rows in that version; raises MaterializationError when nothing was committed.

        A windowed view has no step before rows of its source were committed, whatever was pushed.
        """
        if self.snapshot is None or (self.record.aggregations and self.watermark_us is None):
            raise MaterializationError(
                f"View '{self.record.name}' was never materialized; run `featurestore materialize`, or ask with "
                "from_source=True."
            )
        return ViewInput(stored_rows(self.record, self.snapshot.files), self.snapshot.watermark_us)


@dataclass(frozen=True, slots=True)
class Pins:
    """A selection with all that its answer rests on: equal pins give equal answers, whatever is committed later.

    `catalog` has the records of the selection's views and on-demand views, `views` a pin for each view it reads (by
    reference: `last@2` for one that the selection pins itself), and `revision` is the registry's when they were taken.
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
        records = {name: catalog.view(name) for name in view_members(selection, catalog)}
        views = {name: ViewPin(r, catalog.version(name), snapshot(r)) for name, r in records.items()}
        return Pins(selection, catalog, revision, views)

    @property
    def committed(self) -> dict[str, Committed]:
        """The committed interval of each view that has one."""
        return {
            name: committed
            for name, pin in self.views.items()
            if (committed := committed_interval(pin.snapshot)) is not None and not pin.record.source.timeless
        }


def committed_interval(snapshot: Snapshot | None) -> Committed | None:
    """What a version of a table holds without a gap; None when nothing was taken from the source yet."""
    if snapshot is None or snapshot.watermark_us is None:
        return None
    return Committed(snapshot.start_us, snapshot.watermark_us)


def committed_by(as_of_us: int | None, tables: OfflineTables, now_us: Clock) -> Callable[[ViewRecord], Snapshot | None]:
    """What finds the newest version of a view's table that was committed by an instant (None: by now).

    Raises InputError for an instant in the future, whose answer may still change.
    """
    if as_of_us is None:
        return lambda view: tables.snapshot(table_name(view))
    if as_of_us > now_us():
        raise InputError(f"as_of {format_instant(as_of_us)} lies in the future; more may be committed before it.")
    return lambda view: tables.snapshot_at(table_name(view), as_of_us)
