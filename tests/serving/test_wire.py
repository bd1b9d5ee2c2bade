"""What is on the wire, byte by byte: answers in one piece keep to HTTP/1.1 as messages of parts do."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.serving.servers import Running, running, shop

BODY = b'{"features":["last:items"],"entities":[{"customer":"ann"}]}'
ASK = b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("shop")
    shop(root).close()
    with running(root) as server:
        yield server


def said(server: Running, *pieces: bytes) -> bytes:
    """All that the server says to the pieces until it hangs up, or has said nothing for half a second."""
    host, port = server.url.removeprefix("http://").split(":")
    answered = b""
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(0.5)
        try:
            for piece in pieces:
                connection.sendall(piece)
                answered += connection.recv(1 << 16)
            while received := connection.recv(1 << 16):
                answered += received
        except TimeoutError:
            pass
    return answered


def statuses(answered: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d+)|\}HTTP/1\.1 (\d+)", answered) for code in code if code]


def test_an_answer_says_its_type_and_length_and_keeps_the_connection(server: Running) -> None:
    answered = said(server, ASK + LENGTH + b"\r\n" + BODY)
    head, body = answered.split(b"\r\n\r\n")
    first, date, *others = head.split(b"\r\n")
    assert first == b"HTTP/1.1 200 OK"
    assert abs(parsedate_to_datetime(date.decode().removeprefix("date: ")).timestamp() - time.time()) < 5
    assert others == [b"content-type: application/json", b"content-length: %d" % len(body)]


def test_requests_sent_together_are_answered_in_their_order(server: Running) -> None:
    other = BODY.replace(b"ann", b"nobody")
    together = b"".join(ASK + b"content-length: %d\r\n\r\n" % len(body) + body for body in (BODY, other, BODY))
    answered = said(server, together)
    assert statuses(answered) == [200, 200, 200]
    assert re.findall(rb'"customer":\["(\w+)"\]', answered) == [b"ann", b"nobody", b"ann"]


def test_hundreds_of_requests_sent_together_are_all_answered(server: Running) -> None:
    names = [f"c{number}" for number in range(900)]
    bodies = [BODY.replace(b"ann", name.encode()) for name in names]
    together = b"".join(ASK + b"content-length: %d\r\n\r\n" % len(body) + body for body in bodies)
    answered = said(server, together)
    assert [name.decode() for name in re.findall(rb'"customer":\["(\w+)"\]', answered)] == names


def test_requests_that_wait_and_that_do_not_keep_their_order(server: Running) -> None:
    views = b"GET /v1/views/last HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    answered = said(server, (ASK + LENGTH + b"\r\n" + BODY + views) * 3)
    assert (
        re.findall(rb'"customer"\:\["ann"\]|"name":"last"', answered) == [b'"customer":["ann"]', b'"name":"last"'] * 3
    )


def test_a_caller_that_wants_the_connection_closed_gets_that_said_and_done(server: Running) -> None:
    answered = said(server, ASK + LENGTH + b"connection: close\r\n\r\n" + BODY, b"")
    assert b"\r\nconnection: close\r\n" in answered
    assert statuses(answered) == [200]


def test_a_caller_of_http_1_0_is_answered_and_hung_up_on(server: Running) -> None:
    answered = said(server, ASK.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + BODY)
    assert b"\r\nconnection: close\r\n" in answered


def test_a_body_in_parts_is_put_together(server: Running) -> None:
    with_head = ASK + LENGTH + b"expect: 100-continue\r\n\r\n"
    assert said(server, with_head, BODY).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    chunked = ASK + b"transfer-encoding: chunked\r\n\r\n"
    whole = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:])) + b"0\r\n\r\n"
    assert statuses(said(server, chunked + whole)) == [200]


def test_a_chunked_body_that_is_whole_at_once_has_the_limit_too(tmp_path: Path) -> None:
    shop(tmp_path).close()
    with running(tmp_path, FEATURESTORE_SERVING__BODY_BYTES="1000") as small:
        for size, status in ((1000, 400), (1001, 413)):  # the body is no JSON
            whole = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
            assert statuses(said(small, ASK + b"transfer-encoding: chunked\r\n\r\n" + whole)) == [status]


def test_head_has_no_body(server: Running) -> None:
    head, body = said(server, b"HEAD /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert body == b""


def test_what_stands_between_server_and_gate_sees_the_answer(tmp_path: Path) -> None:
    shop(tmp_path).close()
    with running(tmp_path, FEATURESTORE_SERVING__CORS_ORIGINS="https://shop.example") as server:
        answered = said(server, ASK + LENGTH + b"origin: https://shop.example\r\n\r\n" + BODY)
    assert b"\r\naccess-control-allow-origin: https://shop.example\r\n" in answered


def test_fields_behind_a_body_replace_none_before_it(server: Running) -> None:
    chunked = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    for field in (b"host: 127.0.0.1", b"content-encoding: gzip", b"authorization: Bearer x"):
        assert statuses(said(server, ASK + chunked + field + b"\r\n\r\n")) == [200]
        other = ASK.replace(b"127.0.0.1", b"evil.example")
        assert statuses(said(server, other + chunked + field + b"\r\n\r\n")) == [421]


@pytest.mark.parametrize(
    "head",
    [
        ASK + b"host: evil.example\r\n",
        ASK.replace(b"127.0.0.1", b"evil.example") + b"Host: 127.0.0.1\r\n",
        ASK + b"authorization: Bearer x\r\nAuthorization: Bearer y\r\n",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(server: Running, head: bytes) -> None:
    answered = said(server, head + LENGTH + b"\r\n" + BODY)
    assert statuses(answered) == [400]
    assert b"two Host or Authorization headers" in answered


def test_who_asks_for_a_tunnel_is_told_that_there_is_none(server: Running) -> None:
    answered = said(server, b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert statuses(answered) == [400]
    assert b"no proxy" in answered
