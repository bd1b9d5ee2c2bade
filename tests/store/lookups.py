"""Lookups in the columns of history, so that one can be held against the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import pyarrow as pa

from featurestore.store import FeatureStore

Entities: TypeAlias = Sequence[Mapping[str, object]]
LookUp: TypeAlias = Callable[[FeatureStore, Sequence[str], Entities, datetime], pa.Table]


def looked_up(store: FeatureStore, features: Sequence[str], entities: Entities, at: datetime) -> pa.Table:
    """Each feature and its status, one row for each entity."""
    found = store.get_online_features(features, entities, at=at)
    values = found.to_arrow()
    cells = {}
    for name, statuses in found.statuses.items():
        cells[name] = values.column(name)
        cells[f"{name}__status"] = pa.array([status.name for status in statuses])
    return pa.table(cells)
