"""Which intervals a materialization commits, and what is committed without a gap afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import MaterializationError
from featurestore.timeline import chunks, floor_to_grid, format_duration, format_instant

_MOST_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What a table holds without a gap: [start_us, watermark_us); `start_us` None is from the beginning."""

    start_us: int | None
    watermark_us: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One commit: rows in [start_us, end_us) replace what stands there; `after` is what is committed then.

    `start_us` None: from the beginning. `in_force`: each key's last row before the start is committed as well, and
    everything before the start is replaced.
    """

    start_us: int | None
    end_us: int
    after: Committed
    in_force: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asked for, at the present instant `now_us`; `step_us` is the length of a chunk.

    Raises MaterializationError for an end in the future, an empty interval and a step that is not positive.
    """

    start_us: int | None
    end_us: int
    now_us: int
    step_us: int

    def __post_init__(self) -> None:
        if self.end_us > self.now_us:
            raise MaterializationError(
                f"The end {format_instant(self.end_us)} lies in the future (it is "
                f"{format_instant(floor_to_grid(self.now_us, 1_000_000))}); events may still happen before it. Give an "
                "end in the past."
            )
        if self.step_us <= 0:
            raise MaterializationError(
                f"The step must be positive, got {format_duration(self.step_us)}; it is the length of one commit."
            )
        if self.start_us is not None and self.start_us >= self.end_us:
            raise MaterializationError(
                f"The start {format_instant(self.start_us)} is not before the end {format_instant(self.end_us)}."
            )


def plan_chunks(view: str, asked: Asked, committed: Committed | None, first_event_us: int | None) -> tuple[Chunk, ...]:
    """The chunks of a run, in order; none when everything up to the end is committed already.

    `first_event_us` is the source's earliest event time, needed when nothing is committed and no start is given.
    Raises MaterializationError for an interval that leaves a gap, and for a step that cuts it into too many chunks.
    """
    _check(view, asked, committed)
    start, end, step = asked.start_us, asked.end_us, asked.step_us
    if committed is None:
        begin = (end if first_event_us is None else min(first_event_us, end)) if start is None else start
        bounds = _cut(view, begin, end, step) or [(begin, end)]
        kept = start
    elif start is None:
        bounds = _cut(view, committed.watermark_us, end, step)
        kept = committed.start_us
    else:
        bounds = _cut(view, start, end, step)
        kept = committed.start_us if committed.start_us is None else min(start, committed.start_us)
        if committed.start_us is not None and start < committed.start_us:
            # the first chunk reaches the old start, so that no commit leaves a gap before it
            joined = max(bounds[0][1], committed.start_us)
            bounds = [(start, joined), *((max(a, joined), b) for a, b in bounds if b > joined)]
    return tuple(_chunk(index, bound, start, kept, committed) for index, bound in enumerate(bounds))


def _cut(view: str, start: int, end: int, step: int) -> list[tuple[int, int]]:
    if (end - start) // step > _MOST_CHUNKS:
        raise MaterializationError(
            f"View '{view}': steps of {format_duration(step)} cut {format_instant(start)} to {format_instant(end)} "
            f"into {(end - start) // step:,} commits; {_MOST_CHUNKS:,} are the most. Give a longer step."
        )
    return list(chunks(start, end, step))


def _chunk(
    index: int, bound: tuple[int, int], start: int | None, kept: int | None, committed: Committed | None
) -> Chunk:
    begin, end = bound
    watermark = max(end, committed.watermark_us) if committed else end
    opens = index == 0 and (committed is None or (start is not None and kept == start != committed.start_us))
    return Chunk(
        start_us=None if opens and start is None else begin,
        end_us=end,
        after=Committed(kept, watermark),
        in_force=opens and start is not None,
    )


def _check(view: str, asked: Asked, committed: Committed | None) -> None:
    if asked.start_us is None or committed is None:
        return
    if asked.start_us > committed.watermark_us:
        raise MaterializationError(
            f"View '{view}': start {format_instant(asked.start_us)} would leave a gap after the watermark "
            f"{format_instant(committed.watermark_us)}. Leave start out to go on from the watermark."
        )
    if committed.start_us is not None and asked.end_us < committed.start_us:
        raise MaterializationError(
            f"View '{view}': end {format_instant(asked.end_us)} would leave a gap before the committed start "
            f"{format_instant(committed.start_us)}. Give an end at or after it."
        )
