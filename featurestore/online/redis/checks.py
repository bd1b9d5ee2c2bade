"""What a server must be before it is used: new enough, of the kind that the URL says, and never evicting."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import hiredis

from featurestore.errors import ConfigurationError, OnlineStoreError
from featurestore.online.redis.address import RedisAddress
from featurestore.online.redis.connection import Reply, Server, pack
from featurestore.online.redis.failures import Unreachable, lost, refused

_OLDEST = (7, 0)
_KEEPS_ALL = "noeviction"


def check_servers(servers: Sequence[Server], address: RedisAddress) -> None:
    """Raise ConfigurationError for a server that cannot be used, and OnlineStoreError for one that does not answer.

    Warns when a server does not tell its eviction policy.
    """
    for server in servers:
        where = f"{address} (its node {server.endpoint})" if address.is_cluster else str(address)
        try:
            info, policy = server.exchange([pack("INFO"), pack("CONFIG", "GET", "maxmemory-policy")], again=True)
        except Unreachable as error:
            raise lost(where, error) from error
        told = _told(info)
        _check_version(told, where)
        _check_mode(told, where, address)
        found = policy[1].decode() if isinstance(policy, list) and len(policy) == 2 else told.get("maxmemory_policy")
        _check_policy(found, where)
        if isinstance(info, hiredis.ReplyError) and not str(info).startswith("NOPERM"):
            raise refused(where, info)


def _told(info: Reply) -> dict[str, str]:
    if isinstance(info, Exception):
        return {}
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _check_version(told: dict[str, str], where: str) -> None:
    version = told.get("redis_version")
    if version is not None and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise OnlineStoreError(
            f"The online store at {where} is Redis {version}; {'.'.join(map(str, _OLDEST))} or newer is needed."
        )


def _check_mode(told: dict[str, str], where: str, address: RedisAddress) -> None:
    if not address.is_cluster and told.get("redis_mode") == "cluster":
        raise ConfigurationError(
            f"The online store at {where} is a node of a cluster; write {_cluster_scheme(address)}:// instead of "
            f"{address.scheme}://."
        )


def _cluster_scheme(address: RedisAddress) -> str:
    return "rediss+cluster" if address.scheme == "rediss" else "redis+cluster"


def _check_policy(policy: str | None, where: str) -> None:
    if policy is None:
        warnings.warn(
            f"The online store at {where} does not tell its eviction policy; see to it that it is {_KEEPS_ALL}.",
            RuntimeWarning,
            stacklevel=2,
        )
    elif policy != _KEEPS_ALL:
        raise ConfigurationError(
            f"The online store at {where} would evict records (maxmemory-policy {policy}); set maxmemory-policy "
            f"{_KEEPS_ALL}, or use another Redis."
        )
