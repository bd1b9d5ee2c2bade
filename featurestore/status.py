"""How far each view is: what is committed offline, what is published online."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from featurestore.materialization.publishing import Publisher
from featurestore.offline.tables import OfflineTables
from featurestore.plan.catalog import Catalog
from featurestore.plan.views import namespace, table_name


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One view: None where nothing was committed, or nothing published.

    `rows` counts committed rows, `keys` online records; `in_step` whether what is online was read from the newest
    table version.
    """

    view: str
    version: int
    rows: int | None
    watermark_us: int | None
    committed_at_us: int | None
    table_version: int | None
    keys: int | None
    in_step: bool


def view_statuses(catalog: Catalog, tables: OfflineTables, publisher: Publisher) -> Iterator[ViewStatus]:
    """The status of every view, in the catalog's order."""
    for view in catalog.views.values():
        snapshot = tables.snapshot(table_name(view))
        published = publisher.published(view)
        yield ViewStatus(
            view=view.name,
            version=catalog.versions[view.name],
            rows=snapshot.rows if snapshot else None,
            watermark_us=snapshot.watermark_us if snapshot else None,
            committed_at_us=snapshot.committed_at_us if snapshot else None,
            table_version=snapshot.version if snapshot else None,
            keys=publisher.store.count(namespace(publisher.project, view)) if published else None,
            in_step=bool(published and snapshot and published.version == snapshot.version),
        )
