"""A Redis for the contestants: a process of its own on a free port of the loopback, which saves nothing."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import redis

from benchmarks.http_load import free_port
from benchmarks.measure import keep_to

_READY_SECONDS = 30
_OPTIONS = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxmemory-policy", "noeviction")


@contextlib.contextmanager
def running_redis(core: int = 0) -> Iterator[str]:
    """The URL of a new, empty server on the first core (or the last, -1), from its first answer to the block's end."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    process = subprocess.Popen(["redis-server", "--port", str(port), *_OPTIONS], stdout=subprocess.DEVNULL)
    keep_to(core, process.pid)
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=_READY_SECONDS)


def address(url: str) -> str:
    """The host and port of a server."""
    return url.removeprefix("redis://")


def used_mb(url: str) -> float:
    """The memory that a server's data takes."""
    with redis.Redis.from_url(url) as client:
        return float(client.info("memory")["used_memory"]) / 2**20


def server_version(url: str) -> str:
    """The version of a server."""
    with redis.Redis.from_url(url) as client:
        return str(client.info("server")["redis_version"])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()
            return
        time.sleep(0.05)
    raise SystemExit("redis-server does not start; install Redis 7 or later.")
