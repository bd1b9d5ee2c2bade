"""How far each view is: what is committed offline, what is published online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featurestore.materialization.publishing import Publisher
from featurestore.materialization.waiting import Waiting
from featurestore.offline.tables import OfflineTables
from featurestore.registry.usage import APPLIED, SERVES, UsedVersion


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One version of a view in use: None where nothing was committed, or nothing published.

    `rows` counts committed rows, `keys` online records; `in_step` whether what is online was read from the newest
    table version. `uses` says what uses the version (`UsedVersion.reasons`), `waits` why it does not serve as applied.
    """

    view: str
    version: int
    rows: int | None
    watermark_us: int | None
    committed_at_us: int | None
    table_version: int | None
    keys: int | None
    in_step: bool
    uses: tuple[str, ...] = (SERVES, APPLIED)
    waits: str | None = None


def view_statuses(
    used: Sequence[UsedVersion], waiting: Sequence[Waiting], tables: OfflineTables, publisher: Publisher
) -> Iterator[ViewStatus]:
    """The status of every version that is kept fresh, in the order of `used`."""
    reasons = {one.name: one.reason for one in waiting if one.kind == "view"}
    for version in used:
        if not version.fresh:
            continue
        view = version.version.record
        snapshot = tables.snapshot(version.table)
        published = publisher.published(view)
        yield ViewStatus(
            view=view.name,
            version=version.version.version,
            rows=snapshot.rows if snapshot else None,
            watermark_us=snapshot.watermark_us if snapshot else None,
            committed_at_us=snapshot.committed_at_us if snapshot else None,
            table_version=snapshot.version if snapshot else None,
            keys=publisher.store.count(version.namespace) if published else None,
            in_step=bool(published and snapshot and published.version == snapshot.version),
            uses=version.reasons,
            waits=reasons.get(view.name) if APPLIED in version.reasons else None,
        )
