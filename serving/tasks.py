"""Work that seldom waits, done without a task of the event loop: making one takes a tenth as long as a small lookup."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Do the work up to where it waits, at once; a task that does the rest, or None when all of it is done.

    The work must call `in_task` before it awaits anything that may wait, or needs a task, as `asyncio.timeout` does.
    """
    try:
        waits = work.send(None)
    except StopIteration:
        return None
    assert waits is None, "work waits in a task"
    return asyncio.get_running_loop().create_task(work)


async def in_task() -> None:
    """Go on in a task."""
    if asyncio.current_task() is None:
        await _Pause()


class _Pause:
    """Gives the way free once, as `asyncio.sleep(0)` does."""

    def __await__(self) -> Generator[None, None, None]:
        yield
