"""The one place that names the concrete online stores."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from featurestore.errors import ConfigurationError
from featurestore.online.base import OnlineStore

_NOT_BUILT_YET = ("redis", "rediss", "redis+cluster", "unix")


def open_online_store(url: str, root: Path) -> OnlineStore:
    """The online store at `url`, created when missing; a relative path starts at `root`.

    `lmdb://data/online` is a directory (`lmdb:///var/online` an absolute one); `memory://` lives in this
    process and is shared by all who open it under the same root. Raises ConfigurationError for another
    scheme.
    """
    scheme = urlsplit(url).scheme
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
        case _:
            found = f"'{url}' is not built yet" if scheme in _NOT_BUILT_YET else f"'{url}' is not known"
            raise ConfigurationError(
                f"The online store {found}; there are lmdb://<directory> and memory:// (set url under [online] in "
                "featurestore.toml, or FEATURESTORE_ONLINE__URL)."
            )
