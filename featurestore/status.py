"""How far each view is: what is committed offline, what is published online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featurestore.errors import RecordsLostError
from featurestore.materialization.publishing import Publisher
from featurestore.materialization.waiting import Waiting
from featurestore.offline.tables import OfflineTables
from featurestore.plan.freshness import Age, age_of
from featurestore.registry.usage import APPLIED, SERVES, UsedVersion
from featurestore.statistics.views import last_event_us


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One version of a view in use: None where nothing was committed, or nothing published.

    `rows` counts committed rows, `keys` online records; `in_step` whether what is online was read from the newest
    table version, `lost` whether the online store has lost records of it. `last_event_us` is the greatest event time
    that is committed. `uses` says what uses the version (`UsedVersion.reasons`), `waits` why it does not serve as
    applied.
    """

    view: str
    version: int
    rows: int | None
    watermark_us: int | None
    committed_at_us: int | None
    table_version: int | None
    keys: int | None
    in_step: bool
    last_event_us: int | None
    age: Age
    uses: tuple[str, ...] = (SERVES, APPLIED)
    waits: str | None = None
    lost: bool = False


def view_statuses(
    used: Sequence[UsedVersion], waiting: Sequence[Waiting], tables: OfflineTables, publisher: Publisher, now_us: int
) -> Iterator[ViewStatus]:
    """The status at `now_us` of every version that is kept fresh, in the order of `used`."""
    reasons = {one.name: one.reason for one in waiting if one.kind == "view"}
    for version in used:
        if not version.fresh:
            continue
        view = version.version.record
        snapshot = tables.snapshot(version.table)
        published = publisher.published(view)
        keys, lost = None, False
        if published:
            try:
                keys = publisher.store.count(version.namespace)
            except RecordsLostError:
                lost = True
        watermark = snapshot.watermark_us if snapshot else None
        last_event = last_event_us(view, tables, snapshot.statistics) if snapshot else None
        yield ViewStatus(
            view=view.name,
            version=version.version.version,
            rows=snapshot.rows if snapshot else None,
            watermark_us=watermark,
            committed_at_us=snapshot.committed_at_us if snapshot else None,
            table_version=snapshot.version if snapshot else None,
            keys=keys,
            in_step=bool(published and snapshot and published.version == snapshot.version and not lost),
            last_event_us=last_event,
            age=age_of(view, watermark, last_event, now_us),
            uses=version.reasons,
            waits=reasons.get(view.name) if APPLIED in version.reasons else None,
            lost=lost,
        )
