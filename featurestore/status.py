"""How far each view is: what is committed offline, what is published online."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from featurestore.errors import OnlineStoreError, RecordsLostError
from featurestore.materialization.publishing import Publisher
from featurestore.materialization.waiting import Waiting
from featurestore.offline.tables import OfflineTables
from featurestore.online.values import Publication
from featurestore.plan.freshness import Age, age_of
from featurestore.registry.usage import APPLIED, SERVES, UsedVersion
from featurestore.statistics.views import last_event_us


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """One version of a view in use: None where nothing was committed, or nothing published.

    `rows` counts committed rows, `keys` online records; `in_step` whether what is online was read from the newest
    table version, `lost` whether the online store has lost records of it. `last_event_us` is the greatest event time
    that is committed. `uses` says what uses the version (`UsedVersion.reasons`), `waits` why it does not serve as
    applied. `online_error` says why the online store was not asked: it is not known then what is in it, nor what waits.
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
    online_error: str | None = None


@dataclass(frozen=True, slots=True)
class _Online:
    """What the online store has of a version."""

    publication: Publication | None = None
    keys: int | None = None
    lost: bool = False


def view_statuses(
    used: Sequence[UsedVersion],
    tables: OfflineTables,
    ask_online: Callable[[], tuple[Publisher, Sequence[Waiting]]],
    now_us: int,
) -> Iterator[ViewStatus]:
    """The status at `now_us` of every version that is kept fresh, in the order of `used`.

    An online store that does not answer is not asked again for the versions that follow.
    """
    publisher: Publisher | None = None
    reasons: dict[str, str] = {}
    error: str | None = None
    try:
        publisher, waiting = ask_online()
        reasons = {one.name: one.reason for one in waiting if one.kind == "view"}
    except OnlineStoreError as failure:
        error = str(failure)
    for version in used:
        if not version.fresh:
            continue
        view = version.version.record
        snapshot = tables.snapshot(version.table)
        online = _Online()
        if publisher is not None and error is None:
            try:
                online = _look(publisher, version)
            except OnlineStoreError as failure:
                error = str(failure)
        watermark = snapshot.watermark_us if snapshot else None
        last_event = last_event_us(view, tables, snapshot.statistics) if snapshot else None
        in_step = online.publication and snapshot and online.publication.version == snapshot.version
        yield ViewStatus(
            view=view.name,
            version=version.version.version,
            rows=snapshot.rows if snapshot else None,
            watermark_us=watermark,
            committed_at_us=snapshot.committed_at_us if snapshot else None,
            table_version=snapshot.version if snapshot else None,
            keys=online.keys,
            in_step=bool(in_step and not online.lost),
            last_event_us=last_event,
            age=age_of(view, watermark, last_event, now_us),
            uses=version.reasons,
            waits=reasons.get(view.name) if APPLIED in version.reasons else None,
            lost=online.lost,
            online_error=error,
        )


def _look(publisher: Publisher, version: UsedVersion) -> _Online:
    publication = publisher.published(version.version.record)
    if publication is None:
        return _Online()
    try:
        return _Online(publication, publisher.store.count(version.namespace))
    except RecordsLostError:
        return _Online(publication, lost=True)
