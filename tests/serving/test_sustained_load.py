"""A server under load, at 70% of what it can do: no error, and memory that stays flat."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.callers import Caller, Told
from tests.serving.servers import Running, running, shop

CALLERS = 8
SHARE = 0.7
WARM_UP_SECONDS = 1.0
MOST_GROWTH_BYTES = 8_000_000  # what an allocator may still want; a leak of 1 kB a request shows in some seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("shop")
    shop(root).close()
    with running(root) as server:
        yield server


def questions() -> Iterator[dict[str, object]]:
    """Questions for one to ten entities, of which most are new; one in three is computed at request time."""
    for number in itertools.count():
        entities = [{"customer": f"{number}-{i}" if i else "a"} for i in range(1 + number % 10)]
        if number % 3:
            yield {"features": ["last:items", "last:amount"], "entities": entities}
        else:
            yield {"service": "buyer", "entities": entities, "request": [{"price": 1.5}] * len(entities)}


async def load(url: str, seconds: float, rate: float | None) -> list[Told]:
    """The answers to that many questions a second, or to as many as can be asked, from callers at once."""
    asked = questions()
    answers: list[Told] = []
    until = time.perf_counter() + seconds

    async def call(first_at: float) -> None:
        caller = await Caller.open(url)
        at = first_at
        while (now := time.perf_counter()) < until:
            if rate is not None and now < at:
                await asyncio.sleep(at - now)
            at = max(at, now - 1) + (0 if rate is None else CALLERS / rate)
            answers.append(await caller.features(**next(asked)))
        caller.close()

    began = time.perf_counter()
    await asyncio.gather(*(call(began + (0 if rate is None else i / rate)) for i in range(CALLERS)))
    return answers


def memory_bytes(pid: int) -> int:
    """What a process holds in memory."""
    [line] = [text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("VmRSS:")]
    return int(line.split()[1]) * 1_024


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at workers through /proc")
@pytest.mark.parametrize("seconds", [3.0, pytest.param(180.0, marks=pytest.mark.soak)])
def test_at_70_percent_of_capacity_nothing_fails_and_memory_stays_flat(server: Running, seconds: float) -> None:
    [worker] = server.workers()
    capacity = len(asyncio.run(load(server.url, WARM_UP_SECONDS, None))) / WARM_UP_SECONDS
    before = memory_bytes(worker)
    answers = asyncio.run(load(server.url, seconds, SHARE * capacity))
    assert {answer.status for answer in answers} == {200}
    assert len(answers) > 0.5 * SHARE * capacity * seconds, "the load was not offered"
    assert memory_bytes(worker) - before < MOST_GROWTH_BYTES
    assert server.workers() == {worker}
