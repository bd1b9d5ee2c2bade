"""Lanes: the values of one column that count (not null, mask true), side by side, and windows in their positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.windows import columns
from featurestore.windows.spec import WindowEvents


@dataclass(frozen=True, slots=True)
class Lane:
    """`values`: dense and canonical, in the events' order; None for rows. `kept`: which events are in it; None: all.

    `before[i]` is how many values of the lane stand before event i; None when that is i.
    """

    values: pa.Array | None
    kept: NDArray[np.bool_] | None = None
    before: NDArray[np.int32] | None = None

    def positions(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions among the events as positions in the lane."""
        return edges if self.before is None else self.before[edges].astype(np.int64)


def open_lane(events: WindowEvents, value: int | None, mask: int | None, *, only_counted: bool = False) -> Lane:
    """The lane of a column (None: rows) under a mask (None: all events); without values when they are only counted."""
    column = None if value is None else columns.single_array(events.columns[value])
    kept = None if mask is None else _truth(columns.single_array(events.masks[mask]))
    if column is not None and column.null_count:
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        kept = valid if kept is None else kept & valid
    if only_counted:
        column = None
    if kept is None or kept.all():
        return Lane(None if column is None else columns.canonical(column))
    before = np.zeros(kept.size + 1, np.int32)
    np.cumsum(kept, out=before[1:])
    return Lane(None if column is None else columns.canonical(column.filter(pa.array(kept))), kept, before)


def in_order(lane: Lane, events: WindowEvents) -> tuple[pa.Array, NDArray[np.int64]]:
    """Values and keys of a lane, sorted among equal group and time by created time, then value."""
    assert lane.values is not None
    keys = columns.keys(lane.values)
    group, time = _of(lane, events.group), _of(lane, events.time_us)
    ties = (group[1:] == group[:-1]) & (time[1:] == time[:-1])
    tied = np.flatnonzero(np.append(ties, False) | np.append(False, ties)) if ties.size else np.empty(0, np.int64)
    if not tied.size:
        return lane.values, keys
    order = [keys[tied], group[tied]]
    if events.created_us is not None:
        order.insert(1, _of(lane, events.created_us)[tied])
    order.insert(-1, time[tied])
    places = np.arange(keys.size)
    places[tied] = tied[np.lexsort(tuple(order))]
    return lane.values.take(pa.array(places)), keys[places]


def _of(lane: Lane, column: NDArray[np.int64]) -> NDArray[np.int64]:
    return column if lane.kept is None else column[lane.kept]


def _truth(mask: pa.Array) -> NDArray[np.bool_]:
    truth: NDArray[np.bool_] = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return truth
