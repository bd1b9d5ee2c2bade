"""One view of a lookup, compiled: from entity rows to keys, from records to columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from featurestore.dtypes import Value, wire_decoder
from featurestore.errors import NotPublishedError
from featurestore.online.values import FIRST_VALUE, Publication
from featurestore.plan.lookup import ViewLookup
from featurestore.timeline import Status, age_status, floor_to_grid

Step: TypeAlias = Sequence[Any]  # as unpacked: event time, created time, values
Found: TypeAlias = tuple[Any, ...] | None  # a record's only step, or its steps; None: no record
Origin: TypeAlias = tuple[Sequence[Status], Sequence[int | None]]  # per row: status, event time

_PRESENT, _NOT_FOUND = Status.PRESENT, Status.NOT_FOUND


class CompiledView:
    """What a lookup does for one view, with all that the plan decides worked out beforehand."""

    __slots__ = (
        "_absent", "_by_created", "_decoders", "_indices", "_known", "_project", "_view",
        "label", "namespace",
    )  # fmt: skip

    def __init__(self, view: ViewLookup) -> None:
        self.label = view.label
        self.namespace = view.namespace
        self._view = view
        self._by_created = view.visibility == "created"
        self._indices = [FIRST_VALUE + column.index for column in view.columns]
        self._project = _projection(self._indices)
        self._absent: Step = [None] * (max(self._indices, default=0) + 1)
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

    def answer(self, rows: Sequence[Found], at_us: int, watermark_us: int | None) -> tuple[list[list[Value]], Origin]:
        """The view's columns at an instant as Python values, one for each row; and how each row was found.

        Values are null unless the row is PRESENT. A windowed view's row has the time of the grid instant that it
        answers for, any other that of its step.
        """
        view = self._view
        latest_us = at_us - view.delay_us
        if view.windowed:
            latest_us = _window_end(latest_us, view.every_us, watermark_us)
        columns: list[list[Value]]
        if len(rows) == 1:
            step, status, time_us = self._one(rows[0], at_us, latest_us)
            columns = [[value] for value in self._project(step)]
            origin: Origin = [status], [time_us]
        elif (every := self._all_present(rows, at_us, latest_us)) is not None:
            columns = [list(every[i]) for i in self._indices]
            origin = [_PRESENT] * len(rows), [latest_us] * len(rows) if view.windowed else every[0]
        else:
            found = [self._one(row, at_us, latest_us) for row in rows]
            columns = [list(column) for column in zip(*[self._project(step) for step, _, _ in found], strict=True)]
            columns = columns or [[] for _ in self._indices]
            origin = [status for _, status, _ in found], [time_us for _, _, time_us in found]
        for i, decoder in self._decoders:
            columns[i] = [None if value is None else decoder(value) for value in columns[i]]
        return columns, origin

    def _all_present(self, rows: Sequence[Found], at_us: int, latest_us: int) -> list[tuple[Any, ...]] | None:
        """The rows turned into columns when each is a step of its own, visible and fresh; else None."""
        view = self._view
        if self._by_created or not rows:
            return None
        try:
            every: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
            times = every[0]
            if times.count(None) < len(times) if view.timeless else max(times) > latest_us:
                return None
            if view.ttl_us is not None:
                oldest_us = latest_us if view.windowed else min(times)
                if age_status(oldest_us, at_us, view.ttl_us) is not _PRESENT:
                    return None
        except (TypeError, ValueError, IndexError):  # some are absent, or lists of steps
            return None
        return every

    def _one(self, row: Found, at_us: int, latest_us: int) -> tuple[Step, Status, int | None]:
        """The step to project of one row, its status and its time."""
        if row is None:
            return self._absent, _NOT_FOUND, None
        view = self._view
        step: Step | None = row
        time_us = row[0]
        if type(time_us) is list:
            step = _last_visible(row, latest_us, at_us if self._by_created else None)
        elif not view.timeless and (self._by_created or time_us > latest_us):
            step = _last_visible((row,), latest_us, at_us if self._by_created else None)
        if step is None:
            return self._absent, _NOT_FOUND, None
        time_us = latest_us if view.windowed else step[0]
        if view.ttl_us is None or (status := age_status(time_us, at_us, view.ttl_us)) is _PRESENT:
            return step, _PRESENT, time_us
        return self._absent, status, time_us


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
