"""How much may be in work at once, and how long a request's head may take to arrive."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from featurestore.errors import ConfigurationError
from featurestore.project.configuration import Serving
from serving.errors import Refused
from serving.exchange import Answer, Request
from serving.load import Load
from serving.routes import Route, Scope
from serving.server import check_address
from tests.serving.servers import running, shop

ROUTE = Route("POST", "/work", Scope.FEATURES_READ, hot=lambda _: Answer(b"{}"))
HEALTH = Route("GET", "/healthz", Scope.OPEN, hot=lambda _: Answer(b"{}"))


def _refused(load: Load, request: Request) -> int:
    with pytest.raises(Refused) as refused, load.admitted(ROUTE, request):
        pass
    assert refused.value.retry_seconds == 1
    return refused.value.status


def test_beyond_the_most_in_work_is_refused_and_a_place_is_given_back() -> None:
    load = Load(most=2, most_of_one=2)
    with load.admitted(ROUTE, Request({})):
        with load.admitted(ROUTE, Request({})):
            assert _refused(load, Request({})) == 503
            with load.admitted(HEALTH, Request({})):
                assert load.in_work == 2
        with pytest.raises(KeyError), load.admitted(ROUTE, Request({})):
            raise KeyError
    assert load.in_work == 0


def test_one_key_cannot_take_all_places() -> None:
    load = Load(most=10, most_of_one=1)
    with load.admitted(ROUTE, Request({}, caller="ann")):
        assert _refused(load, Request({}, caller="ann")) == 429
        with load.admitted(ROUTE, Request({}, caller="bob")):
            assert load.in_work == 2


@pytest.mark.parametrize(
    ("settings", "has_keys", "message"),
    [
        (Serving(host="0.0.0.0"), False, "no key exists"),
        (Serving(host="0.0.0.0"), True, "without TLS"),
        (Serving(host="0.0.0.0", tls_certificate="c.pem"), True, "both a certificate and its key"),
        (Serving(host="feature.example", require_keys=True), False, "without TLS"),
    ],
)
def test_an_address_that_others_reach_wants_keys_and_tls(settings: Serving, has_keys: bool, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_address(settings, has_keys=has_keys)


@pytest.mark.parametrize(
    ("settings", "has_keys"),
    [
        (Serving(), False),
        (Serving(host="::1"), False),
        (Serving(host="0.0.0.0", behind_proxy=True), True),
        (Serving(host="0.0.0.0", tls_certificate="c.pem", tls_key="k.pem", require_keys=True), False),
    ],
)
def test_a_safe_address_is_served(settings: Serving, has_keys: bool) -> None:
    check_address(settings, has_keys=has_keys)


def test_senders_that_never_finish_a_head_are_cut_off_and_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(tmp_path).close()
    monkeypatch.setenv("FEATURESTORE_SERVING__RECEIVE_SECONDS", "0.5")
    with running(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(200)]
        for sender in slow:
            sender.sendall(b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
        began = time.monotonic()
        healthy = asyncio.run(_ask_many(host, int(port), 50))
        assert healthy == [b"HTTP/1.1 200 OK"] * 50
        assert time.monotonic() - began < 5
        for sender in slow:
            sender.settimeout(5)
            assert sender.recv(1000).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            sender.close()


async def _ask_many(host: str, port: int, times: int) -> list[bytes]:
    statuses = []
    for _ in range(times):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        statuses.append((await reader.read()).split(b"\r\n")[0])
        writer.close()
    return statuses
