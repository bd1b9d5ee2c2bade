"""The one place that names the concrete online stores."""

from __future__ import annotations

from pathlib import Path

from featurestore.errors import ConfigurationError
from featurestore.online.base import OnlineStore
from featurestore.urls import without_secrets

_KNOWN = "lmdb://<directory>, memory://, redis://, rediss://, unix:// and redis+cluster://"


def open_online_store(url: str, root: Path) -> OnlineStore:
    """The online store at `url`, created when missing; a relative path starts at `root`.

    `lmdb://data/online` is a directory (`lmdb:///var/online` an absolute one); `memory://` lives in this
    process and is shared by all who open it under the same root; `redis://`, `rediss://` (TLS), `unix://` (a socket),
    `redis+cluster://` and `rediss+cluster://` name servers (docs/online.md). Raises ConfigurationError for another
    scheme.
    """
    scheme = url.partition("://")[0]
    location = url.partition("://")[2]
    match scheme:
        case "lmdb" if location:
            from featurestore.online.lmdb import LmdbOnlineStore

            return LmdbOnlineStore(root / location)
        case "lmdb":
            raise ConfigurationError(
                f"The online store '{url}' names no directory; write lmdb://data/online, relative to featurestore.toml."
            )
        case "memory":
            from featurestore.online.memory import MemoryOnlineStore

            return MemoryOnlineStore(f"{root.resolve()}?{location}")
        case "redis" | "rediss" | "unix" | "redis+cluster" | "rediss+cluster":
            return _open_redis(url, root)
        case _:
            raise ConfigurationError(
                f"The online store '{without_secrets(url)}' is not known; there are {_KNOWN} (set url under "
                "[online] in featurestore.toml, or FEATURESTORE_ONLINE__URL)."
            )


def is_remote(url: str) -> bool:
    """Whether reads of the store at `url` wait for another process, and so belong off an event loop."""
    return url.partition("://")[0] not in ("lmdb", "memory")


def _open_redis(url: str, root: Path) -> OnlineStore:
    try:
        from featurestore.online.redis.address import parse_address
        from featurestore.online.redis.store import RedisOnlineStore
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"An online store in Redis needs the package '{missing.name}'; install featurestore-platform[redis]."
        ) from missing
    return RedisOnlineStore(parse_address(url, root))
