"""The clients against a server process: the same answers as in process, and errors by their own types."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from featurestore import AsyncClient, Client, FeatureStore, Status
from featurestore.client.exchange import Attempts, Call
from featurestore.errors import (
    AccessRefusedError,
    ConfigurationError,
    InputError,
    NotPublishedError,
    ServerError,
    ServerUnavailableError,
    UnknownNameError,
)
from serving.app import keys_of
from tests.serving.servers import Running, running, shop
from tests.store.projects import NOW, day, open_project

ENTITIES = [{"customer": "a"}, {"customer": "b"}, {"customer": "nobody"}]
REQUEST = [{"price": 10.0}, {"price": float("nan")}, {"price": 1.5}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    shop(root).close()
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Running]:
    with running(root) as server:
        yield server


@pytest.fixture(scope="module")
def store(root: Path) -> Iterator[FeatureStore]:
    with open_project(root) as store:
        yield store


def test_a_client_answers_what_the_store_answers(server: Running, store: FeatureStore) -> None:
    with Client(server.url) as client:
        served = client.get_online_features("buyer", ENTITIES, REQUEST, at=NOW)
    mine = store.get_online_features("buyer", ENTITIES, REQUEST, at=NOW)
    assert served.to_polars().equals(mine.to_polars())
    assert served.to_arrow().schema == mine.to_arrow().schema
    assert repr(served.to_dict()) == repr(mine.to_dict())
    assert served.statuses == mine.statuses
    assert served.event_timestamps == mine.event_timestamps
    assert served.at == NOW
    assert served.versions["last"]["version"] == 1
    assert len(served) == 3


def test_a_client_on_an_event_loop_answers_the_same(server: Running, store: FeatureStore) -> None:
    async def ask() -> list[dict[str, list[object]]]:
        async with AsyncClient(server.url) as client:
            asked = (client.get_online_features(["last:items"], [entity], at=NOW) for entity in ENTITIES)
            return [answer.to_dict() for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [
        {"customer": ["a"], "items": [None]},
        {"customer": ["b"], "items": [None]},
        {"customer": ["nobody"], "items": [None]},
    ]
    expected = store.get_online_features(["last:items"], [ENTITIES[0]], at=NOW).statuses["items"]
    assert expected == [Status.OUTSIDE_MAX_AGE]


def test_errors_have_their_own_types_and_words(server: Running) -> None:
    with Client(server.url) as client:
        with pytest.raises(UnknownNameError, match=r"There is no service 'nobody'\. Available: buyer"):
            client.get_online_features("nobody", [])
        with pytest.raises(InputError, match="1 is no String"):
            client.get_online_features("last:items", [{"customer": np.int64(1)}])
        with pytest.raises(NotPublishedError):
            client.get_online_features("last:items", [{"customer": "a"}], at=day(1))
        with pytest.raises(InputError, match="has no time zone"):
            client.get_online_features("last:items", [{"customer": NOW.replace(tzinfo=None)}])
        with pytest.raises(InputError, match="'customer' is a object, which no feature or key can be"):
            client.get_online_features("last:items", [{"customer": object()}])
        with pytest.raises(InputError, match="`entities` is a list with a mapping for each row"):
            client.get_online_features("last:items", {"customer": ["a"]})  # type: ignore[arg-type]  # columns
        with pytest.raises(InputError, match="1,001 entities at once"):
            client.get_online_features("last:items", [{"customer": "a"}] * 1001)


@pytest.mark.parametrize("url", ["127.0.0.1:6566", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_of_a_server_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of a server"):
        Client(url)
    with pytest.raises(ConfigurationError, match="is no address of a server"):
        AsyncClient(url)


def test_a_key_travels_and_its_absence_is_told(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        _, key = keys_of(store).create("client", ["features:read"], "ann")
    with running(tmp_path) as server:
        with Client(server.url) as client, pytest.raises(AccessRefusedError, match="wants a key"):
            client.get_online_features("last:items", [{"customer": "a"}])
        with Client(server.url, key) as client:
            assert len(client.get_online_features("last:items", [{"customer": "a"}])) == 1
        assert key not in repr(client)


def test_a_server_that_is_not_there_is_told_within_the_timeout() -> None:
    with (
        Client("http://127.0.0.1:9", timeout=0.5) as client,
        pytest.raises(ServerUnavailableError, match="does not answer"),
    ):
        client.get_online_features("last:items", [])


def test_an_address_that_is_no_feature_server_is_told(server: Running) -> None:
    with Client(f"{server.url}/healthz") as client, pytest.raises(ServerError, match="no such path"):
        client.get_online_features("last:items", [])


def test_only_what_is_safe_is_sent_again_and_only_so_often() -> None:
    busy, fine = httpx.Response(503, headers={"retry-after": "0"}), httpx.Response(200)
    safe = Attempts(Call("POST", "/v1/features"), timeout=10, retries=2)
    assert [safe.wait_after(answer) for answer in (busy, None, busy)] == [0.0, 0.1, None]
    assert Attempts(Call("POST", "/v1/features"), 10, 2).wait_after(fine) is None
    assert Attempts(Call("POST", "/v1/features"), 10, 2).wait_after(httpx.Response(500)) is None
    assert Attempts(Call("POST", "/write", safe=False), 10, 2).wait_after(None) is None
    assert Attempts(Call("POST", "/v1/features"), 0.01, 2).wait_after(None) is None
