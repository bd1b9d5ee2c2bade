"""The limits of a request, each through a server process: just within is answered, just beyond is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from featurestore.store import FeatureStore
from serving.app import keys_of
from tests.serving.callers import Caller, Told
from tests.serving.servers import Running, running, shop
from tests.store.projects import PURCHASES

DEADLINE_SECONDS = 2.0
SLACK_SECONDS = 1.5  # a machine may be busy
SLOW_PRICE = 77.0
DEFINITIONS = (
    PURCHASES
    + f"""
import time
def waited(frame: pl.DataFrame) -> pl.DataFrame:
    if frame["price"].to_list() == [{SLOW_PRICE}]:
        time.sleep({DEADLINE_SECONDS} + 0.5)
    return frame.select(same=pl.col("price"))

slow = OnDemandFeatureView("slow", inputs=[request], features={{"same": Float64}}, function=waited)
wide = OnDemandFeatureView("wide", inputs=[request], features={{f"w{{i}}": pl.col("price") + i for i in range(201)}})
waiting = FeatureService("waiting", features=[last, slow])
widest = FeatureService("widest", features=[wide])
"""
)
CUSTOMER = {"customer": "a"}
SLOW = {"service": "waiting", "entities": [CUSTOMER], "request": [{"price": SLOW_PRICE}]}
FAST = {"service": "waiting", "entities": [CUSTOMER], "request": [{"price": 1.0}]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shop")
    shop(root, DEFINITIONS).close()
    return root


@pytest.fixture(scope="module")
def keys(root: Path) -> dict[str, str]:
    with FeatureStore(root) as store:
        return {name: keys_of(store).create(name, ["features:read"], "ann")[1] for name in ("ann", "bob")}


@pytest.fixture(scope="module")
def server(root: Path, keys: dict[str, str]) -> Iterator[Running]:
    limits = {"MAX_IN_WORK": "3", "MAX_IN_WORK_OF_KEY": "2"}
    settings = {f"FEATURESTORE_SERVING__{name}": value for name, value in limits.items()}
    with running(root, key=keys["ann"], **settings) as server:
        yield server


def items(entities: object) -> dict[str, object]:
    return {"features": ["last:items"], "entities": entities}


def wide(count: int) -> dict[str, object]:
    features = [f"wide:w{i}" for i in range(count)]
    return {"features": features, "entities": [{}], "request": [{"price": 1.0}]}


@pytest.mark.parametrize(
    ("question", "status"),
    [
        pytest.param(items([CUSTOMER] * 1_000), 200, id="1,000 rows"),
        pytest.param(items([CUSTOMER] * 1_001), 413, id="1,001 rows"),
        pytest.param(items({"customer": ["a"] * 1_000}), 200, id="columns of 1,000"),
        pytest.param(items({"customer": ["a"] * 1_001}), 413, id="columns of 1,001"),
        pytest.param(wide(200), 200, id="200 features"),
        pytest.param(wide(201), 413, id="201 features"),
        pytest.param({**wide(1), "features": ["wide:*"]}, 413, id="all 201 features of a view"),
        pytest.param({**wide(1), "features": None, "service": "widest"}, 413, id="a service of 201 features"),
        pytest.param(items([{"customer": ["a"]}]), 422, id="a list as a key"),
        pytest.param(items([{"customer": [["a"]]}]), 400, id="lists in lists"),
        pytest.param(items([{"customer": {"a": 1}}]), 400, id="an object as a key"),
    ],
)
def test_counts_and_nesting_are_limited(server: Running, question: dict[str, object], status: int) -> None:
    answer = server.features(**question)
    assert answer.status_code == status, answer.text


def test_nesting_without_end_is_refused(server: Running) -> None:
    deep = b'{"features":["last:items"],"entities":' + b"[" * 400_000 + b"]" * 400_000 + b"}"
    assert server.http.post("/v1/features", content=deep).status_code == 400
    assert server.http.post("/get-online-features", content=deep).status_code == 400


def test_a_body_is_limited_declared_or_not(server: Running) -> None:
    question = msgspec.json.encode(items([CUSTOMER]))
    whole, beyond = question.ljust(2**20), question.ljust(2**20 + 1)

    def sent(content: object, **headers: str) -> int:
        return server.http.post("/v1/features", content=content, headers=headers).status_code  # type: ignore[arg-type]  # as httpx has it

    assert [sent(whole), sent(beyond)] == [200, 413]
    assert [sent(iter([whole])), sent(iter([beyond]))] == [200, 413], "in chunks"
    assert [sent(b"x", **{"content-encoding": encoding}) for encoding in ("gzip", "br", "deflate")] == [415] * 3


def test_deadlines_and_places_are_limited_and_health_is_not(server: Running, keys: dict[str, str]) -> None:
    async def ask() -> tuple[list[Told], list[Told]]:
        """Three slow questions of ann, then two of bob; and what health answers meanwhile."""
        callers = [await Caller.open(server.url, keys[name]) for name in ("ann", "ann", "ann", "bob", "bob")]
        prober = await Caller.open(server.url)
        asking = []
        for caller in callers:
            asking.append(asyncio.create_task(caller.features(**SLOW)))
            await asyncio.sleep(0.05)
        probes = [await prober.get("/healthz") for _ in range(5)]
        told = [await task for task in asking]
        for caller in (*callers, prober):
            caller.close()
        return told, probes

    assert server.features(**FAST).status_code == 200
    told, probes = asyncio.run(ask())
    assert [answer.status for answer in told] == [503, 503, 429, 503, 503]
    assert {answer.headers["retry-after"] for answer in told} == {"1"}
    messages = [msgspec.json.decode(answer.body)["error"]["message"] for answer in told]
    assert messages == [
        "No answer within 2 s; try again.",
        "No answer within 2 s; try again.",
        "2 requests of this key are in work already; wait for one of them.",
        "No answer within 2 s; try again.",
        "3 requests are in work already; try again.",
    ]
    late = [answer.seconds for answer, message in zip(told, messages, strict=True) if "2 s" in message]
    assert DEADLINE_SECONDS - 0.1 < min(late) <= max(late) < DEADLINE_SECONDS + SLACK_SECONDS
    assert max(told[2].seconds, told[4].seconds) < SLACK_SECONDS
    assert {probe.status for probe in probes} == {200}
    assert server.features(**FAST).status_code == 200
