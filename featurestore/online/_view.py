"""One view of a lookup, compiled: from entity rows to keys, from records to columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from featurestore.dtypes import Value, wire_decoder
from featurestore.errors import NotPublishedError
from featurestore.online.base import STAMP_SIZE
from featurestore.online.keys import entity_encoder
from featurestore.online.values import FIRST_VALUE, Publication, decode_steps
from featurestore.plan.lookup import ViewLookup
from featurestore.timeline import Status, age_status, floor_to_grid

Step: TypeAlias = list[Any]  # as decoded: event time, created time, values
Found: TypeAlias = tuple[list[Step], list[Status], list[int | None]]  # per record: row to project, status, event time

_PRESENT, _NOT_FOUND, _OUTSIDE_MAX_AGE = Status.PRESENT, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE


class CompiledView:
    """What a lookup does for one view, with all that the plan decides worked out beforehand."""

    __slots__ = ("_decoders", "_known", "_project", "_width", "encode", "find", "label", "namespace")

    def __init__(self, view: ViewLookup) -> None:
        self.label = view.label
        self.namespace = view.namespace
        self.encode: Callable[[Mapping[str, object]], bytes | None] = entity_encoder(view.keys)
        self.find: Callable[[Sequence[bytes | None], int, int | None], Found] = _finder(view)
        self._width = len(view.columns)
        self._project = _projection([FIRST_VALUE + column.index for column in view.columns])
        decoders = ((i, wire_decoder(column.dtype)) for i, column in enumerate(view.columns))
        self._decoders = [(i, decoder) for i, decoder in decoders if decoder is not None]
        self._known: tuple[bytes, Publication] | None = None

    def publication(self, meta: bytes | None) -> Publication:
        """What the metadata says; decoded when it is not that of the last call."""
        known = self._known
        if known is not None and known[0] == meta:
            return known[1]
        if meta is None:
            raise NotPublishedError(
                f"View '{self.label}' was never published to the online store; run `featurestore materialize`, or "
                "`featurestore online rebuild` when the store was emptied."
            )
        publication = Publication.unpack(meta)
        self._known = (meta, publication)
        return publication

    def columns(self, steps: Sequence[Step]) -> list[list[Value]]:
        """The view's columns as Python values, each with one value per step."""
        columns: list[list[Value]]
        if len(steps) == 1:
            columns = [[value] for value in self._project(steps[0])]
        else:
            columns = [list(column) for column in zip(*map(self._project, steps), strict=True)]
            columns = columns or [[] for _ in range(self._width)]
        for i, decoder in self._decoders:
            columns[i] = [None if value is None else decoder(value) for value in columns[i]]
        return columns


def _projection(indices: list[int]) -> Callable[[Step], Sequence[Any]]:
    match indices:
        case []:
            return itemgetter(slice(0))
        case [index]:
            return lambda step: (step[index],)
        case [first, *_] if indices == list(range(first, first + len(indices))):
            return itemgetter(slice(first, first + len(indices)))
        case _:
            return itemgetter(*indices)


def _finder(view: ViewLookup) -> Callable[[Sequence[bytes | None], int, int | None], Found]:
    """What finds in each record the step in force at an instant, given the namespace's watermark.

    The row to project is all null unless the step is PRESENT. A windowed view's step reports the grid instant that it
    answers for, any other its own event time.
    """
    absent: Step = [None] * (FIRST_VALUE + max((column.index for column in view.columns), default=0) + 1)
    delay_us, ttl_us, timeless, windowed, every_us = (
        view.delay_us, view.ttl_us, view.timeless, view.windowed, view.every_us
    )  # fmt: skip
    by_created = view.visibility == "created"

    def find(records: Sequence[bytes | None], at_us: int, watermark_us: int | None) -> Found:
        latest_us = at_us - delay_us
        if windowed:
            latest_us = _window_end(latest_us, every_us, watermark_us)
        rows: list[Step] = []
        statuses: list[Status] = []
        times: list[int | None] = []
        for record in records:
            step: Step | None = None
            if record is not None:
                steps: list[Step] = decode_steps(record[STAMP_SIZE:])
                step = steps[-1]
                if not timeless and (by_created or step[0] > latest_us):
                    step = _last_visible(steps, latest_us, at_us if by_created else None)
            if step is None:
                rows.append(absent)
                statuses.append(_NOT_FOUND)
                times.append(None)
            else:
                event_us = latest_us if windowed else step[0]
                status = _PRESENT if ttl_us is None else age_status(event_us, at_us, ttl_us)
                rows.append(step if status is _PRESENT else absent)
                statuses.append(status)
                times.append(event_us)
        return rows, statuses, times

    return find


def _window_end(latest_us: int, every_us: int | None, watermark_us: int | None) -> int:
    """The instant at which a windowed view's value stands (`featurestore.plan.windows`)."""
    bounded = latest_us if watermark_us is None else min(latest_us, watermark_us)
    return bounded if every_us is None else floor_to_grid(bounded, every_us)


def _last_visible(steps: Sequence[Step], latest_us: int, created_until_us: int | None) -> Step | None:
    """The last step with event time up to `latest_us`, and created time up to `created_until_us` or null; or None.

    A marker among them is no step, nor are those of its event time that stand before it.
    """
    cancelled_us: int | None = None
    for step in reversed(steps):
        event_us, created_us, *values = step
        created_in_time = created_until_us is None or created_us is None or created_us <= created_until_us
        if event_us <= latest_us and created_in_time and event_us != cancelled_us:
            if values:
                return step
            cancelled_us = event_us
    return None
