"""Plans and published records for the tests of lookups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from featurestore.dtypes import Float64, Int64, Wire
from featurestore.online.keys import key_encoder
from featurestore.online.lookup import Lookup
from featurestore.online.memory import MemoryOnlineStore
from featurestore.online.values import Publication, pack_record
from featurestore.plan.lookup import LookupColumn, LookupPlan, ViewLookup
from featurestore.timeline import Status

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = Status
STATS = ViewLookup("user_stats", "p/user_stats", (("user", Int64),), (LookupColumn(0, "spend", Float64),))
NOW_US = 1_000

Steps = Sequence[tuple[Wire, ...]]  # event time, created time, values; of a marker no values


def plan_of(*views: ViewLookup, outputs: Sequence[str] = ()) -> LookupPlan:
    columns = {column.name: column.dtype for view in views for column in view.columns}
    return LookupPlan("svc", views, (), (), tuple((name, columns[name]) for name in outputs or columns))


def published(view: ViewLookup, records: dict[Any, Steps], since_us: int = 0) -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    publish(store, view, records, since_us)
    return store


def publish(store: MemoryOnlineStore, view: ViewLookup, records: dict[Any, Steps], since_us: int = 0) -> None:
    encode = key_encoder(view.keys)
    items = [
        (encode(key if isinstance(key, tuple) else (key,)) or b"", pack_record([list(step) for step in steps]))
        for key, steps in records.items()
    ]
    store.replace(view.namespace, items, meta=Publication(published_us=since_us, version=1).pack())


def asked(view: ViewLookup, steps: Steps, at_us: int) -> tuple[Any, Status, datetime | None]:
    """The value, status and event time of user 1 with these steps."""
    answer = Lookup(plan_of(view), published(view, {1: steps})).answer([{"user": 1}], at_us=at_us)
    return answer.to_dict()["spend"][0], answer.statuses["spend"][0], answer.event_timestamps["spend"][0]


def at(micros: int) -> datetime:
    return datetime(1970, 1, 1, 0, 0, 0, micros, UTC)
