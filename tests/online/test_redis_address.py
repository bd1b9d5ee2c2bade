"""What a Redis URL says, and what is refused in one sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from featurestore.errors import ConfigurationError
from featurestore.online.redis.address import Endpoint, RedisAddress, parse_address

ROOT = Path("/project")


def parsed(url: str) -> RedisAddress:
    return parse_address(url, ROOT)


def test_a_host_alone_has_the_usual_port_and_limits() -> None:
    address = parsed("redis://cache")
    assert address.endpoints == (Endpoint("cache", 6379),)
    assert (address.database, address.timeout_s, address.connect_timeout_s) == (0, 1.0, 1.0)
    assert (address.username, address.password, address.tls) == (None, None, None)
    assert not address.is_cluster


def test_everything_can_be_said() -> None:
    address = parsed("redis://ann:p%40ss%2Fword@[::1]:7000/3?timeout=0.25&connect_timeout=2&prefix=team-a")
    assert address.endpoints == (Endpoint("::1", 7000),)
    assert (address.username, address.password) == ("ann", "p@ss/word")
    assert (address.database, address.timeout_s, address.connect_timeout_s) == (3, 0.25, 2.0)
    assert address.prefix == "team-a"


def test_a_password_may_stand_alone() -> None:
    address = parsed("redis://:secret@cache")
    assert (address.username, address.password) == (None, "secret")


@pytest.mark.parametrize(
    ("url", "path"),
    [("unix:///run/redis.sock?db=2", "/run/redis.sock"), ("unix://run/redis.sock?db=2", "/project/run/redis.sock")],
)
def test_a_socket_is_a_path_from_the_project_or_absolute(url: str, path: str) -> None:
    address = parsed(url)
    assert address.endpoints == (Endpoint(path),)
    assert address.endpoints[0].is_socket
    assert address.database == 2


def test_a_cluster_has_several_servers() -> None:
    address = parsed("redis+cluster://a:7000,b,c:7002?buckets=16")
    assert address.endpoints == (Endpoint("a", 7000), Endpoint("b", 6379), Endpoint("c", 7002))
    assert address.is_cluster
    assert address.buckets == 16


def test_tls_verifies_the_host_unless_told_otherwise() -> None:
    full, ca, none = (parsed(f"rediss://cache{query}").tls for query in ("", "?verify=ca", "?verify=none"))
    assert full is not None
    assert ca is not None
    assert none is not None
    assert (full.check_hostname, full.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (ca.check_hostname, ca.verify_mode) == (False, ssl.CERT_REQUIRED)
    assert (none.check_hostname, none.verify_mode) == (False, ssl.CERT_NONE)


def test_neither_text_nor_repr_shows_the_password() -> None:
    address = parsed("redis://ann:s3cret@cache:7000/1")
    assert str(address) == "redis://cache:7000/1"
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://", "'redis://' names no server; write redis://localhost:6379/0."),
        ("unix://", "'unix://' names no server; write unix:///run/redis.sock?db=0."),
        ("redis+cluster://", "names no server; write redis+cluster://host1:7000,host2:7000."),
        ("redis://:pw@cache:port", "'redis://cache:port': 'cache:port' is no host:port."),
        ("redis://cache:70000", "'cache:70000' is no host:port."),
        ("redis://cache/first", "database must be a whole number from 0 on, got 'first'."),
        ("redis://cache/1?db=1", "names its database twice; leave out db=."),
        ("redis+cluster://cache/1", "names database 1; a cluster has database 0 only."),
        ("redis://cache?timeout=1s", "timeout must be seconds, such as 0.5, got '1s'."),
        ("redis://cache?timeout=0", "timeout must be seconds, such as 0.5, got '0'."),
        ("redis://cache?tiemout=1", "has no option 'tiemout'. Options: timeout,"),
        ("redis://:s3?cret@cache", "'redis://...' has a '?' before an '@'; in a user or a password write it as %3F."),
        ("redis://cache?prefix={x}", "prefix must be 1 to 64 letters"),
        ("redis+cluster://cache?buckets=0", "buckets must be a whole number from 1 on, got '0'."),
        ("redis://cache?verify=none", "has verify= without TLS; write rediss://."),
        ("rediss://cache?verify=no", "verify must be full, ca (any host name) or none, got 'no'."),
        ("rediss://cache?ca=missing.pem", "the TLS files /project/missing.pem cannot be used"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parsed(url)
    assert message in str(refused.value)
