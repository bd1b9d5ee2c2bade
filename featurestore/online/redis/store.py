"""The OnlineStore on Redis."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence

from featurestore.errors import OnlineStoreError
from featurestore.online.base import Answer, WriteCount, check_namespace, checked_items
from featurestore.online.redis.address import RedisAddress
from featurestore.online.redis.checks import check_servers
from featurestore.online.redis.connection import pack
from featurestore.online.redis.layout import Layout
from featurestore.online.redis.leases import LEASE_S
from featurestore.online.redis.publishing import Publisher
from featurestore.online.redis.reading import Reader
from featurestore.online.redis.servers import Cluster, Servers, SingleServer


class RedisOnlineStore:
    """An OnlineStore in one Redis or a Redis Cluster; safe for threads and after a fork.

    Connects when it is made, and again whenever a connection is lost. Raises OnlineStoreError when no server answers,
    and ConfigurationError for a server that evicts, or is not of the kind that the URL says. A publisher that is
    silent for `lease_s` seconds has lost its turn.
    """

    def __init__(self, address: RedisAddress, *, lease_s: float = LEASE_S) -> None:
        self._address = address
        servers: Servers = Cluster(address) if address.is_cluster else SingleServer(address)
        self._servers = servers
        self._layout = Layout(address.prefix)
        self._reader: Reader | None = Reader(servers, self._layout, address)
        self._publisher = Publisher(servers, self._reader, address.buckets if address.is_cluster else 1, lease_s)
        self._release = weakref.finalize(self, servers.close)
        try:
            check_servers(servers.all(), address)
        except BaseException:
            self.close()
            raise

    def read(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[Answer]:
        """As OnlineStore. Raises RecordsLostError when records that were published are gone."""
        if self._reader is None:
            raise self._closed()
        return self._reader.read(requests)

    def write(
        self,
        namespace: str,
        items: Iterable[tuple[bytes, bytes | None]],
        *,
        compare: bool = True,
        meta: bytes | None = None,
    ) -> WriteCount:
        """As OnlineStore."""
        self._open_reader()
        check_namespace(namespace)
        listed = checked_items(items, compare=compare)
        return self._publisher.write(namespace, listed, meta, compare=compare)

    def replace(self, namespace: str, items: Iterable[tuple[bytes, bytes]], *, meta: bytes) -> int:
        """As OnlineStore."""
        self._open_reader()
        check_namespace(namespace)
        return self._publisher.replace(namespace, items, meta)

    def count(self, namespace: str) -> int:
        """As OnlineStore; raises RecordsLostError when a part of the namespace is gone."""
        self._open_reader()
        return self._publisher.count(namespace)

    def namespaces(self) -> list[str]:
        """As OnlineStore."""
        reader = self._open_reader()
        command = (self._layout.slot, pack("HKEYS", self._layout.catalog))
        [names] = reader.checked(self._servers.exchange([command], again=True))
        return sorted(name.decode() for name in names)

    def drop(self, namespace: str) -> None:
        """As OnlineStore."""
        self._open_reader()
        self._publisher.drop(namespace)

    def compact(self) -> int:
        """As OnlineStore: removes what nobody publishes or makes; about how many bytes of memory it took.

        The files to which a server saves its memory are the server's own business.
        """
        self._open_reader()
        return self._publisher.sweep()

    def close(self) -> None:
        """As OnlineStore."""
        self._reader = None
        self._release()

    def __repr__(self) -> str:
        return f"RedisOnlineStore({self._address})"

    def _open_reader(self) -> Reader:
        if self._reader is None:
            raise self._closed()
        return self._reader

    def _closed(self) -> OnlineStoreError:
        return OnlineStoreError("This online store is closed; open it again with open_online_store(...).")
