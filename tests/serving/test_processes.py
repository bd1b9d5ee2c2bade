"""Server processes: a worker that dies is replaced, SIGTERM drains, and what is applied meanwhile is followed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from featurestore.store import FeatureStore
from serving.app import keys_of
from tests.serving.callers import Caller, Told
from tests.serving.servers import Running, running, wait_for
from tests.store.projects import day, define, make_project, open_project

PAIRS = """
customer = Entity("customer", join_keys={{"customer": String}})
pairs = ParquetSource("pairs", path="data/pairs.parquet", event_timestamp="at")
pair = FeatureView(
    "pair", entities=[customer], source=pairs,
    features=[Feature("left", Int64, expr="number + {offset}"), Feature("right", Int64, expr="number + {offset}")],
)
both = FeatureService("both", features=[pair])
"""


CUSTOMERS = ["a", "b", "c", "d", "e"]
QUESTION = {"service": "both", "entities": [{"customer": name} for name in CUSTOMERS]}


def _pairs(days: range) -> pl.DataFrame:
    """A row of each customer a day, with the day's number: whoever sees two numbers sees half a publish."""
    rows = [(name, day(d), d) for d in days for name in CUSTOMERS]
    return pl.DataFrame(rows, schema=["customer", "at", "number"], orient="row")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FeatureStore]:
    with make_project(tmp_path, PAIRS.format(offset=0), pairs=_pairs(range(1, 29))) as store:
        store.apply()
        store.materialize(day(2))
        yield store


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: the version of the view, the numbers of all customers and when they were told."""

    version: int
    numbers: frozenset[int]
    at: frozenset[str]


@dataclass
class Load:
    """What each caller saw: answers, other statuses, and connections that were refused or broken."""

    callers: list[list[Seen]] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    @property
    def answers(self) -> list[Seen]:
        """The answers to all callers."""
        return [seen for caller in self.callers for seen in caller]

    def has_seen(self, version: int, number: int) -> bool:
        """Whether somebody was told this."""
        return any(seen.version == version and seen.numbers == {number} for seen in self.answers)

    def wait_for_more(self, count: int) -> None:
        """Until as many more answers came."""
        before = len(self.answers)
        wait_for(lambda: len(self.answers) >= before + count, f"{count} more answers")


@contextmanager
def asked(server: Running, callers: int = 2) -> Iterator[Load]:
    """Callers that ask all the time, each on a connection of its own that it opens anew when it is closed."""
    load = Load([[] for _ in range(callers)])
    stop = threading.Event()

    def ask(seen: list[Seen]) -> None:
        with httpx.Client(base_url=server.url, headers=server.http.headers, timeout=10) as client:
            while not stop.wait(0.005):
                try:
                    answer = client.post("/v1/features", json=QUESTION)
                except httpx.TransportError as error:
                    load.broken.append(repr(error))
                    stop.wait(0.02)
                    continue
                load.statuses.add(answer.status_code)
                if answer.status_code == 200:
                    seen.append(_seen(answer.json()))

    threads = [threading.Thread(target=ask, args=(seen,)) for seen in load.callers]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _seen(answer: dict[str, Any]) -> Seen:
    view, features = answer["views"]["pair"], answer["features"]
    numbers = frozenset([*features["left"]["values"], *features["right"]["values"]])
    return Seen(view["version"], numbers, frozenset(view["event_timestamps"]))


def _pushed(server: Running, hour: int) -> None:
    """Push a row of each customer, later than all before, whose number is 30 and the hour."""
    rows = [{"customer": name, "at": f"2024-01-28T{hour:02}:00:00Z", "number": 30 + hour} for name in CUSTOMERS]
    pushed = server.http.post("/v1/push/pair", json={"rows": rows})
    assert pushed.status_code == 200, pushed.text


def test_requests_see_whole_versions_while_others_materialize_push_and_apply(project: FeatureStore) -> None:
    _, key = keys_of(project).create("tests", ["features:read", "push"], "ann")

    def materialize() -> None:
        with open_project(project.root) as store:
            for end in range(3, 8):
                store.materialize(day(end))

    def push(hours: range) -> None:
        for hour in hours:
            _pushed(server, hour)

    with running(project.root, "--workers", "2", key=key) as server, asked(server) as load:
        load.wait_for_more(20)
        with ThreadPoolExecutor() as pool:
            for writer in [pool.submit(materialize), pool.submit(push, range(5))]:
                writer.result()
        define(project.root, PAIRS.format(offset=100))
        project.apply()
        with ThreadPoolExecutor() as pool:
            materializing = pool.submit(project.materialize, day(28))
            pool.submit(push, range(5, 9)).result()
            materializing.result()
        project.materialize(day(28))  # a push that came in between has kept the new version from serving
        wait_for(lambda: load.has_seen(2, 138), "the last push in the new version")
        ready = server.http.get("/readyz").json()
    assert load.broken == []
    assert load.statuses == {200}
    assert {len(seen.numbers) for seen in load.answers} == {1}, "a torn row, or half a publish"
    assert {len(seen.at) for seen in load.answers} == {1}, "half a publish"
    assert {seen.version for seen in load.answers} == {1, 2}
    assert all((max(seen.numbers) > 100) == (seen.version == 2) for seen in load.answers), "a mixed version"
    for caller in load.callers:
        told = [(seen.version, max(seen.at)) for seen in caller]
        assert told == sorted(told), "a step back"
    assert ready["status"] == "ready"
    assert ready["views"] == {"pair": 2}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_a_worker_that_dies_is_replaced_and_sigterm_drains(project: FeatureStore) -> None:
    with running(project.root, "--workers", "2") as server:
        first = server.workers()
        assert len(first) == 2
        with asked(server) as load:
            load.wait_for_more(20)
            killed = min(first)
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda: len(server.workers() - {killed}) == 2, "a replacement")
            load.wait_for_more(50)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(15) == 0
            assert time.monotonic() - began < 12
        assert load.statuses == {200}, "whatever was answered was answered well"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


def test_a_caller_who_asks_all_the_time_loses_no_request_to_a_drain(project: FeatureStore) -> None:
    """He is told to go with the last answer, and the connection ends after it."""

    async def last(caller: Caller) -> Told:
        while (told := await caller.get("/healthz")).headers.get("connection") != "close":
            await asyncio.sleep(0.01)
        return told

    async def asked_to_the_end(server: Running) -> list[Told]:
        callers = [await Caller.open(server.url) for _ in range(8)]
        for caller in callers:
            await caller.get("/healthz")
        server.process.send_signal(signal.SIGTERM)
        told = await asyncio.gather(*(last(caller) for caller in callers))
        for caller in callers:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await caller.get("/healthz")
            caller.close()
        return told

    with running(project.root) as server:
        assert {told.status for told in asyncio.run(asked_to_the_end(server))} == {200}
        assert server.process.wait(15) == 0


def test_what_is_applied_is_taken_up_though_nobody_asks(project: FeatureStore) -> None:
    with running(project.root) as server:
        define(project.root, PAIRS.format(offset=0) + 'half = FeatureService("half", features=[pair[["left"]]])\n')
        with open_project(project.root) as store:
            store.apply()
        wait_for(lambda: "Serving revision 2; services: 2" in server.log.read_text(), "the new revision")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_workers_end_when_their_supervisor_was_killed(project: FeatureStore) -> None:
    with running(project.root) as server:
        [worker] = server.workers()
        server.process.kill()
        wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the worker to end")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


def test_a_function_whose_source_changed_leaves_the_old_plan_serving(tmp_path: Path) -> None:
    definitions = (
        PAIRS.format(offset=0)
        + """
def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(twice=pl.col("left") * 2)

twice = OnDemandFeatureView("twice", inputs=[pair[["left"]]], features={"twice": Int64}, function=doubled)
doubles = FeatureService("doubles", features=[twice])
"""
    )
    question = {"service": "doubles", "entities": [{"customer": "a"}]}
    with make_project(tmp_path, definitions, pairs=_pairs(range(1, 29))) as store:
        store.apply()
        store.materialize(day(2))
        with running(tmp_path) as server:
            assert server.features(**question).json()["features"]["twice"]["values"] == [2]
            tripled = definitions.replace("* 2", "* 3")
            define(tmp_path, tripled)
            store.apply()
            define(tmp_path, definitions)  # the machine that serves was not given the code that was applied
            ready = server.http.get("/readyz").json()
            answered = server.features(**question)
        assert answered.status_code == 200
        assert answered.json()["features"]["twice"]["values"] == [2]
        assert "is not the registered one" in ready["faults"]["doubles"]
        assert ready["status"] == "ready"
        assert "its last compiled plan goes on serving" in server.log.read_text()
