"""Server processes: a worker that dies is replaced, SIGTERM drains, and what is applied meanwhile is followed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import polars as pl
import pytest

from featurestore.store import FeatureStore
from tests.serving.servers import Running, running, wait_for
from tests.store.projects import day, define, make_project

PAIRS = """
customer = Entity("customer", join_keys={{"customer": String}})
pairs = ParquetSource("pairs", path="data/pairs.parquet", event_timestamp="at")
pair = FeatureView(
    "pair", entities=[customer], source=pairs,
    features=[Feature("left", Int64, expr="number + {offset}"), Feature("right", Int64, expr="number + {offset}")],
)
both = FeatureService("both", features=[pair])
"""


def _pairs() -> pl.DataFrame:
    """A row a day: its number is the day's."""
    days = range(1, 29)
    return pl.DataFrame({"customer": ["a"] * 28, "at": [day(d) for d in days], "number": list(days)})


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FeatureStore]:
    with make_project(tmp_path, PAIRS.format(offset=0), pairs=_pairs()) as store:
        store.apply()
        store.materialize(day(2))
        yield store


@dataclass
class Load:
    """What callers saw: answers, other statuses, and connections that were refused or broken."""

    answers: list[dict[str, object]] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def pairs(self) -> set[tuple[object, object, object]]:
        """What was answered: version, left and right."""
        return {
            (a["views"]["pair"]["version"], *(a["features"][n]["values"][0] for n in ("left", "right")))  # type: ignore[index]
            for a in self.answers
        }


@contextmanager
def asked(server: Running, callers: int = 2) -> Iterator[Load]:
    """Callers that ask without a pause, each on a connection of its own that it opens anew when it is closed."""
    load = Load()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=10) as client:
            while not stop.is_set():
                question = {"service": "both", "entities": [{"customer": "a"}]}
                try:
                    answer = client.post("/v1/features", json=question)
                except httpx.TransportError as error:
                    load.broken.append(repr(error))
                    stop.wait(0.02)
                    continue
                load.statuses.add(answer.status_code)
                if answer.status_code == 200:
                    load.answers.append(answer.json())

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_requests_see_whole_versions_while_apply_and_materialize_run(project: FeatureStore) -> None:
    with running(project.root, "--workers", "2") as server, asked(server) as load:
        wait_for(lambda: len(load.answers) > 20, "the first answers")
        for end in (5, 9):
            project.materialize(day(end))
        define(project.root, PAIRS.format(offset=100))
        project.apply()
        before = len(load.answers)
        wait_for(lambda: len(load.answers) > before + 20, "answers of the earlier version")
        project.materialize(day(28))
        wait_for(lambda: (2, 127, 127) in load.pairs(), "the new version")
        ready = server.http.get("/readyz").json()
    assert load.broken == []
    assert load.statuses == {200}
    seen = load.pairs()
    assert all(left == right for _, left, right in seen), "a torn row"
    assert {version for version, *_ in seen} == {1, 2}
    assert all((left > 100) == (version == 2) for version, left, _ in seen), "a mixed version"  # type: ignore[operator]
    assert ready["status"] == "ready"
    assert ready["views"] == {"pair": 2}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_a_worker_that_dies_is_replaced_and_sigterm_drains(project: FeatureStore) -> None:
    with running(project.root, "--workers", "2") as server:
        first = server.workers()
        assert len(first) == 2
        with asked(server) as load:
            wait_for(lambda: len(load.answers) > 20, "the first answers")
            killed = min(first)
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda: len(server.workers() - {killed}) == 2, "a replacement")
            before = len(load.answers)
            wait_for(lambda: len(load.answers) > before + 50, "answers after the replacement")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(15) == 0
            assert time.monotonic() - began < 12
        assert load.statuses == {200}, "whatever was answered was answered well"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


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
    with make_project(tmp_path, definitions, pairs=_pairs()) as store:
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
