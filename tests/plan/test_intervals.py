"""Which intervals a run commits. Instants are small numbers; the present is 1000, a chunk is 30 long."""

from __future__ import annotations

import pytest

from featurestore.errors import MaterializationError
from featurestore.plan.intervals import Asked, Chunk, Committed, plan_chunks

NOW = 1000


def bounds(
    start: int | None, end: int, committed: Committed | None = None, first: int | None = None
) -> list[tuple[int | None, int]]:
    chunks = plan_chunks("v", Asked(start, end, NOW, 30), committed, first)
    return [(chunk.start_us, chunk.end_us) for chunk in chunks]


def plan(start: int | None, end: int, committed: Committed | None = None) -> tuple[Chunk, ...]:
    return plan_chunks("v", Asked(start, end, NOW, 30), committed, 0)


def test_a_first_run_without_start_takes_everything_in_chunks_cut_at_the_grid() -> None:
    assert bounds(None, 100, first=7) == [(None, 30), (30, 60), (60, 90), (90, 100)]


def test_a_first_run_whose_source_begins_after_the_end_commits_one_empty_chunk() -> None:
    assert bounds(None, 100, first=700) == [(None, 100)]


def test_a_first_run_with_start_also_takes_what_is_in_force_there() -> None:
    first, second = plan(20, 60)
    assert (first.start_us, first.end_us, first.in_force) == (20, 30, True)
    assert (second.start_us, second.end_us, second.in_force) == (30, 60, False)
    assert second.after == Committed(20, 60)


def test_a_run_without_start_goes_on_from_the_watermark() -> None:
    assert bounds(None, 100, Committed(None, 85)) == [(85, 90), (90, 100)]


def test_an_end_at_or_before_the_watermark_does_nothing_without_start() -> None:
    assert bounds(None, 85, Committed(None, 85)) == []
    assert bounds(None, 80, Committed(None, 85)) == []


def test_a_backfill_inside_what_is_committed_leaves_the_watermark() -> None:
    [chunk] = plan(60, 70, Committed(50, 90))
    assert chunk == Chunk(60, 70, Committed(50, 90), in_force=False)


def test_a_backfill_before_the_committed_start_reaches_it_in_its_first_commit() -> None:
    first, *rest = plan(10, 100, Committed(50, 90))
    assert first == Chunk(10, 50, Committed(10, 90), in_force=True)
    assert [(chunk.start_us, chunk.end_us) for chunk in rest] == [(50, 60), (60, 90), (90, 100)]
    assert rest[-1].after == Committed(10, 100)


def test_a_backfill_of_an_unbounded_view_keeps_it_unbounded() -> None:
    [chunk] = plan(35, 50, Committed(None, 90))
    assert chunk == Chunk(35, 50, Committed(None, 90), in_force=False)


@pytest.mark.parametrize(
    ("start", "end", "committed", "message"),
    [
        (None, 1001, None, "lies in the future"),
        (50, 50, None, "is not before the end"),
        (91, 95, Committed(None, 90), "would leave a gap after the watermark"),
        (10, 40, Committed(50, 90), "would leave a gap before the committed start"),
    ],
)
def test_an_interval_that_cannot_be_committed_is_refused(
    start: int | None, end: int, committed: Committed | None, message: str
) -> None:
    with pytest.raises(MaterializationError, match=message):
        plan(start, end, committed)


def test_an_end_at_the_present_is_no_future() -> None:
    assert bounds(None, NOW, Committed(None, 999)) == [(999, NOW)]


@pytest.mark.parametrize(("start", "committed"), [(None, None), (0, None), (None, Committed(None, 0))])
def test_a_step_that_makes_too_many_commits_is_refused_at_once(start: int | None, committed: Committed | None) -> None:
    year_us = 365 * 86_400_000_000
    asked = Asked(start, year_us, year_us, step_us=1)
    with pytest.raises(MaterializationError, match=r"31,536,000,000,000 commits; 100,000 are the most"):
        plan_chunks("last", asked, committed, 0)


@pytest.mark.parametrize("step_us", [0, -1_000_000])
def test_a_step_is_positive(step_us: int) -> None:
    with pytest.raises(MaterializationError, match="step must be positive"):
        Asked(None, 1, 1, step_us)
