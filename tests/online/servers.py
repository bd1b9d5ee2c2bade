"""Real Redis servers for the tests: started on free ports of the loopback in a temporary folder, stopped in the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from featurestore.online.base import OnlineStore
from featurestore.online.open import open_online_store
from featurestore.testing.online.records import read, record

TIMEOUT_S = 0.3
KEYS = [b"%03d" % i for i in range(100)]

_PATIENCE_S = 20.0
_SLOTS = 16_384


@dataclass(slots=True)
class RedisServer:
    """One running redis-server."""

    folder: Path
    port: int
    options: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> Path:
        """Its Unix socket."""
        return self.folder / "redis.sock"

    def client(self, **options: Any) -> redis.Redis:
        """A client of another make, to look at it from outside."""
        return redis.Redis(port=self.port, **options)

    def ask(self, *command: str | bytes | int) -> Any:
        """The reply to one command."""
        client = self.client()
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped in redis-py
        finally:
            client.close()

    def pause(self) -> None:
        """Stop it as if the machine hung."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it where it was, with what it had saved."""
        self.process = _started(self.folder, self.port, self.options)
        _wait_for(self)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A running server; `options` as on the command line of redis-server."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = RedisServer(folder, port, options, _started(folder, port, options))
    try:
        _wait_for(server)
        yield server
    finally:
        server.go_on()
        server.kill()


@contextmanager
def redis_cluster(folder: Path, nodes: int = 3) -> Iterator[list[RedisServer]]:
    """A running cluster without replicas; each node has an equal share of the slots."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        servers = [stack.enter_context(redis_server(folder / f"node-{i}", *options)) for i in range(nodes)]
        for i, server in enumerate(servers):
            first, end = _SLOTS * i // nodes, _SLOTS * (i + 1) // nodes
            server.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for server in servers[1:]:
            server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        _wait_until_all_agree(servers)
        yield servers


def cluster_url(servers: Sequence[RedisServer]) -> str:
    """Where a cluster is."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


@contextmanager
def opened(url: str) -> Iterator[OnlineStore]:
    """The store at a URL, impatient."""
    store = open_online_store(f"{url}{'&' if '?' in url else '?'}timeout={TIMEOUT_S}", Path())
    yield store
    store.close()


@contextmanager
def published(url: str) -> Iterator[OnlineStore]:
    """The same, with a record for each of KEYS under `users`."""
    with opened(url) as store:
        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"m")
        assert read(store, "users", *KEYS) == [record(1)] * len(KEYS)
        yield store


def needs_redis() -> None:
    """Skip where there is no redis-server; in CI that is a failure."""
    _needs("redis-server")


def needs_openssl() -> None:
    """Skip where nothing makes certificates; in CI that is a failure."""
    _needs("openssl")


def _needs(program: str) -> None:
    if shutil.which(program) is None:
        message = f"{program} is missing; install it (Debian: apt-get install {program})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """A port on which nobody listens, with room for the bus of a cluster 10,000 above it."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port < 55_000:
            return port


def _started(folder: Path, port: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    needs_redis()
    command = [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
        "--unixsocket", str(folder / "redis.sock"), "--logfile", str(folder / "redis.log"), *options,
    ]  # fmt: skip
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(server: RedisServer) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(server.socket_path))
                probe.sendall(b"PING\r\n")
                if not probe.recv(64).startswith(b"-LOADING"):
                    return
        except OSError:
            if server.process.poll() is not None or time.monotonic() > until:
                log = (server.folder / "redis.log").read_text(encoding="utf-8")
                raise RuntimeError(f"redis-server did not start:\n{log[-2000:]}") from None
        time.sleep(0.005)


def _wait_until_all_agree(servers: Sequence[RedisServer]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        told = [server.ask("CLUSTER", "INFO") for server in servers]
        states = [told_by if isinstance(told_by, dict) else _parsed(told_by) for told_by in told]
        if all(s["cluster_state"] == "ok" and int(s["cluster_known_nodes"]) == len(servers) for s in states):
            return
        if time.monotonic() > until:
            raise RuntimeError(f"the cluster did not form: {states}")
        time.sleep(0.02)


def _parsed(text: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.decode().split() if ":" in line)
