"""Work is done at once up to where it waits, and the rest of it in a task."""

from __future__ import annotations

import asyncio

import pytest

from serving.tasks import begin, in_task


def test_work_that_waits_for_nothing_is_done_without_a_task() -> None:
    done: list[asyncio.Task[None] | None] = []

    async def work() -> None:
        done.append(asyncio.current_task())

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: done.append(begin(work())))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert done == [None, None]


def test_work_that_waits_goes_on_in_a_task_where_it_may_be_timed_and_cancelled() -> None:
    said: list[object] = []

    async def work() -> None:
        said.append("begun")
        await in_task()
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        except TimeoutError:
            said.append("late")
        await in_task()  # it is in one
        said.append(asyncio.current_task())

    async def main() -> None:
        begun: list[asyncio.Task[None] | None] = []
        asyncio.get_running_loop().call_soon(lambda: begun.append(begin(work())))
        await asyncio.sleep(0)
        assert said == ["begun"]
        (task,) = begun
        assert task is not None
        await task
        assert said == ["begun", "late", task]

    asyncio.run(main())


def test_what_goes_wrong_at_once_is_raised_at_once() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            begin(work())

    asyncio.run(main())
