"""Points from which some events are hidden, since they were created too late to be known there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.compilation import read_only
from featurestore.errors import InputError
from featurestore.windows import columns
from featurestore.windows.extremes import smallest_positions
from featurestore.windows.requests import GROUP_START, NOW, Request
from featurestore.windows.spec import WindowEvents, WindowPoints

_MOST_COPIED = 1 << 22  # events at a time

Positions = NDArray[np.int64]


def times(events: WindowEvents, points: WindowPoints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When the events were created, and up to when each point knows them."""
    if events.created_us is None or points.known_us is None:
        raise InputError("Points that know events up to an instant need the events' created times.")
    return events.created_us, points.known_us


def earliest_and_latest_created(
    created_us: NDArray[np.int64], edges: Positions, requests: Sequence[Request]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each point the earliest created time of its group before v, and the latest among events its windows touch.

    Where there is no such event: the greatest and the smallest int64.
    """
    limits = np.iinfo(np.int64)
    group_start, now = read_only(edges[:1]), read_only(edges[NOW])
    touched = read_only(first_touched(edges, requests)[np.newaxis])
    found = np.empty((2, 1, now.size), np.int64)
    smallest_positions(read_only(created_us), 0, group_start, now, found[0])
    smallest_positions(read_only(created_us), -1, touched, now, found[1])
    padded = np.append(created_us, 0)  # position -1 reads the padding, and is replaced
    earliest = np.where(found[0, 0] < 0, limits.max, padded[found[0, 0]])
    return earliest, np.where(found[1, 0] < 0, limits.min, padded[found[1, 0]])


def first_touched(edges: Positions, requests: Sequence[Request]) -> Positions:
    """For each point the first event that one of its windows may hold."""
    rows = sorted({request.low for request in requests} | {NOW})
    first: Positions = edges[GROUP_START] if GROUP_START in rows else edges[rows].min(axis=0)
    return first


def blocks(edges: Positions, requests: Sequence[Request], which: Positions) -> Iterator[Positions]:
    """The points `which`, cut so that the events their windows may hold are not too many to copy."""
    copied = np.cumsum((edges[NOW] - first_touched(edges, requests))[which]) // _MOST_COPIED
    yield from (block for block in np.split(which, np.flatnonzero(np.diff(copied)) + 1) if block.size)


def known_events(
    events: WindowEvents, points: WindowPoints, edges: Positions, requests: Sequence[Request], which: Positions
) -> tuple[WindowEvents, WindowPoints]:
    """The points `which`, each as a group of its own, with copies of the events that are known there."""
    created, known_us = times(events, points)
    starts = first_touched(edges, requests)[which]
    lengths = edges[NOW, which] - starts
    owner = np.repeat(np.arange(which.size), lengths)
    places = np.arange(owner.size) + (starts - np.cumsum(lengths) + lengths)[owner]
    known = created[places] <= known_us[which][owner]
    places, owner = places[known], owner[known]
    rows = pa.array(places)
    copied = WindowEvents(
        owner,
        events.time_us[places],
        tuple(columns.single_array(column).take(rows) for column in events.columns),
        tuple(columns.single_array(mask).take(rows) for mask in events.masks),
        created[places],
    )
    return copied, WindowPoints(np.arange(which.size), points.end_us[which])
