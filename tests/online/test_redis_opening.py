"""What a Redis must be before it is used: within reach, willing, of the right kind, and never evicting."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from featurestore.errors import ConfigurationError, OnlineStoreError
from featurestore.online.open import open_online_store
from featurestore.testing.online.records import read, record
from tests.online.servers import KEYS, RedisServer, needs_openssl, opened, published, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused(server: RedisServer, policy: str) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        with pytest.raises(ConfigurationError, match=rf"would evict records \(maxmemory-policy {policy}\); set"):
            open_online_store(server.url, Path())
    finally:
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_server_that_does_not_tell_its_policy_is_warned_of(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config", "-info")
    with pytest.warns(RuntimeWarning, match="does not tell its eviction policy"):
        open_online_store(f"redis://app:pw@127.0.0.1:{server.port}", Path()).close()
    server.ask("ACL", "SETUSER", "app", "+info")
    open_online_store(f"redis://app:pw@127.0.0.1:{server.port}", Path()).close()


def test_a_user_without_a_right_is_told_which(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@all", "-hmget")
    with (
        opened(f"redis://reader:pw@127.0.0.1:{server.port}") as store,
        pytest.raises(OnlineStoreError, match=r"does not permit this user.*hmget"),
    ):
        store.read([("users", KEYS)])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("redis://127.0.0.1:{port}/99", "has no database 99"),
        ("redis://:s3cret@127.0.0.1:{port}", "has no password, and one is given"),
        ("redis://ann:s3cret@127.0.0.1:{port}", "refuses this user or password"),
        ("redis+cluster://127.0.0.1:{port}", "is a single server; write redis:// instead of redis+cluster://"),
        ("redis://127.0.0.1:1", "is not running there"),
        ("unix:///nowhere/redis.sock", "is not running there"),
        ("redis://no-such-host.invalid", "has no known address"),
    ],
)
def test_a_wrong_place_is_said_in_one_sentence(server: RedisServer, place: str, message: str) -> None:
    with pytest.raises(OnlineStoreError) as refused:
        open_online_store(place.format(port=server.port), Path())
    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_node_of_a_cluster_is_no_single_server(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "r", "--cluster-enabled", "yes") as node,
        pytest.raises(ConfigurationError, match=r"is a node of a cluster; write redis\+cluster:// instead of redis://"),
    ):
        open_online_store(node.url, Path())


def test_a_password_is_asked_for_and_never_shown(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r", "--requirepass", "s3cret") as server:
        with pytest.raises(OnlineStoreError, match="asks for a password"):
            open_online_store(server.url, tmp_path)
        with pytest.raises(OnlineStoreError, match="refuses this user or password") as refused:
            open_online_store(f"redis://:wr0ng@127.0.0.1:{server.port}", tmp_path)
        assert "wr0ng" not in str(refused.value)
        with published(f"redis://:s3cret@127.0.0.1:{server.port}") as store:
            assert "s3cret" not in repr(store)
            server.kill()
            with pytest.raises(OnlineStoreError) as down:
                store.read([("users", KEYS)])
            assert "s3cret" not in f"{down.value!r}{down.value.__cause__!r}"


def test_tls_is_spoken_and_the_certificate_verified(tmp_path: Path) -> None:
    needs_openssl()
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with redis_server(tmp_path / "r") as server:
        _enable_tls(server, tmp_path)
        url = f"rediss://localhost:{server.port}"
        with published(f"{url}?ca={tmp_path / 'cert.pem'}") as store:
            assert store.write("users", [(b"%d" % i, record(2)) for i in range(5_000)]).written == 5_000
            assert store.count("users") >= 5_000
        with pytest.raises(OnlineStoreError, match=r"certificate that is not trusted.*give its authority by ca="):
            open_online_store(url, tmp_path)
        with opened(f"{url}?verify=none") as store:
            assert read(store, "users", KEYS[0]) is not None
        with pytest.raises(OnlineStoreError, match=r"127\.0\.0\.1"):
            open_online_store(f"rediss://127.0.0.1:{server.port}?ca={tmp_path / 'cert.pem'}", tmp_path)
        with pytest.raises(OnlineStoreError, match=re.escape(f"redis://localhost:{server.port} closed the connection")):
            open_online_store(f"redis://localhost:{server.port}", tmp_path)


def _enable_tls(server: RedisServer, folder: Path) -> None:
    """Let a running server speak TLS on its port, and nothing else there."""
    client = redis.Redis(unix_socket_path=str(server.socket_path))
    settings: dict[str, str | int] = {
        "tls-cert-file": str(folder / "cert.pem"),
        "tls-key-file": str(folder / "key.pem"),
        "tls-ca-cert-file": str(folder / "cert.pem"),
        "tls-auth-clients": "no",
        "port": 0,
        "tls-port": server.port,
    }
    client.execute_command(  # type: ignore[no-untyped-call]  # untyped in redis-py
        "CONFIG", "SET", *(part for setting in settings.items() for part in setting)
    )
    client.close()
