"""One server or a cluster of them: commands by slot go out, replies come back in order, in one round trip."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import hiredis

from featurestore.errors import OnlineStoreError
from featurestore.online.redis.address import Endpoint, RedisAddress
from featurestore.online.redis.connection import Connection, Reply, Server, pack
from featurestore.online.redis.failures import Unreachable, lost, refused

Command: TypeAlias = tuple[int, bytes]  # the slot of its keys, and the packed command

_ASKING = pack("ASKING")
_TOPOLOGY = pack("CLUSTER", "SLOTS")
_ELSEWHERE = ("MOVED", "TRYAGAIN", "CLUSTERDOWN", "LOADING")
_PAUSE_S = 0.02


class Servers(Protocol):
    """What keeps the keys; safe for threads."""

    def exchange(self, commands: Sequence[Command], *, again: bool = False) -> list[Reply]:
        """The reply to each command; one that the server refuses is a hiredis.ReplyError in its place.

        `again`: the commands change nothing, so they may be sent again. Raises OnlineStoreError when a server does
        not answer in time.
        """
        ...

    def exchange_with(self, server: Server, commands: Sequence[bytes]) -> list[Reply]:
        """One server's replies to packed commands that change nothing; raises OnlineStoreError, as `exchange` does."""
        ...

    def all(self) -> Sequence[Server]:
        """Every server that holds keys."""
        ...

    def server(self, slot: int) -> Server:
        """The server that holds a slot."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class SingleServer:
    """All slots on one server."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._server = Server(address.endpoints[0], address)

    def exchange(self, commands: Sequence[Command], *, again: bool = False) -> list[Reply]:
        """As Servers."""
        try:
            return self._server.exchange([packed for _, packed in commands], again=again)
        except Unreachable as error:
            raise lost(self._address, error, publishing=not again) from error

    def exchange_with(self, server: Server, commands: Sequence[bytes]) -> list[Reply]:
        """As Servers."""
        try:
            return server.exchange(commands, again=True)
        except Unreachable as error:
            raise lost(self._address, error) from error

    def all(self) -> Sequence[Server]:
        """As Servers."""
        return [self._server]

    def server(self, slot: int) -> Server:  # noqa: ARG002  all slots are here
        """As Servers."""
        return self._server

    def close(self) -> None:
        """As Servers."""
        self._server.forget()


class Cluster:
    """The servers of a cluster, by slot; follows slots that move and servers that fail over.

    One that hangs uses up the time of an exchange; where its slots are by then is learned for the next one.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._servers: dict[Endpoint, Server] = {}
        self._slots: list[Server | None] = []
        self._away: set[Server] = set()  # those that did not answer when they were asked last
        self._learning = threading.Lock()
        self._learned = 0
        try:
            self._learn(self._learned)
        except BaseException:
            self.close()
            raise

    def exchange(self, commands: Sequence[Command], *, again: bool = False) -> list[Reply]:
        """As Servers; the commands for different servers travel at the same time."""
        replies: list[Reply] = [None] * len(commands)
        pending = list(range(len(commands)))
        deadline = time.monotonic() + self._address.timeout_s
        while True:
            learned = self._learned
            try:
                failure = self._attempt(commands, pending, replies, again=again)
            except OnlineStoreError:
                self._learn_for_the_next(learned)
                raise
            left = [i for i in pending if replies[i] is _UNANSWERED or _is_elsewhere(replies[i])]
            if not left:
                return replies
            if time.monotonic() >= deadline:
                if failure is not None:
                    self._learn_for_the_next(learned)
                    raise failure
                return replies
            if not all(_has_moved(replies[i]) for i in left):
                time.sleep(_PAUSE_S)
            pending = left
            try:
                self._learn(learned)
            except OnlineStoreError as unknown:
                raise failure or unknown from unknown

    def exchange_with(self, server: Server, commands: Sequence[bytes]) -> list[Reply]:
        """As Servers."""
        try:
            return server.exchange(commands, again=True)
        except Unreachable as error:
            raise lost(self._where(server), error) from error

    def _attempt(
        self, commands: Sequence[Command], pending: Sequence[int], replies: list[Reply], *, again: bool
    ) -> OnlineStoreError | None:
        """Fill in the replies to the pending commands; those that may be sent again are left _UNANSWERED.

        Returns what went wrong with them.
        """
        shares: dict[Server, list[int]] = {}
        for i in pending:
            shares.setdefault(self.server(commands[i][0]), []).append(i)
        asked: list[tuple[Server, Connection, list[int]]] = []
        failures: list[tuple[Server, Unreachable]] = []
        for server, share in shares.items():
            try:
                connection, _ = server.connection(checked=not again)
                connection.send(b"".join([commands[i][1] for i in share]))
            except Unreachable as error:
                failures.append((server, error))
                _leave(replies, share)
            else:
                asked.append((server, connection, share))
        for server, connection, share in asked:
            try:
                for i, reply in zip(share, connection.receive(len(share)), strict=True):
                    replies[i] = reply
                server.give_back(connection)
                self._away.discard(server)
            except Unreachable as error:
                failures.append((server, error))
                _leave(replies, share)
        for i in pending:
            if isinstance(replies[i], hiredis.ReplyError) and str(replies[i]).startswith("ASK "):
                replies[i] = self._asked_elsewhere(str(replies[i]), commands[i][1])
        self._away.update(server for server, _ in failures)
        for server, failure in failures:
            server.forget()
            if failure.sent and not again:
                raise lost(self._where(server), failure, publishing=True)
        return lost(self._where(failures[0][0]), failures[0][1]) if failures else None

    def _asked_elsewhere(self, answer: str, packed: bytes) -> Reply:
        """The reply of the server to which a slot is just moving."""
        host, _, port = answer.split(" ")[2].rpartition(":")
        server = self._known(Endpoint(host, int(port)))
        try:
            return server.exchange([_ASKING, packed], again=False)[1]
        except Unreachable as error:
            raise lost(self._where(server), error, publishing=True) from error

    def all(self) -> Sequence[Server]:
        """As Servers."""
        return list(dict.fromkeys(server for server in self._slots if server is not None))

    def server(self, slot: int) -> Server:
        """As Servers."""
        server = self._slots[slot]
        if server is None:
            raise OnlineStoreError(
                f"The online store at {self._address} serves a part of its slots only (slot {slot} has no server); "
                "ask again when all are served."
            )
        return server

    def close(self) -> None:
        """As Servers."""
        for server in list(self._servers.values()):
            server.forget()

    def _known(self, endpoint: Endpoint) -> Server:
        return self._servers.setdefault(endpoint, Server(endpoint, self._address))

    def _where(self, server: Server) -> str:
        return f"{self._address} (its node {server.endpoint})"

    def _learn(self, learned: int) -> None:
        """Ask which server has which slots, unless that was done since `learned` was read."""
        with self._learning:
            if self._learned == learned:
                self._learn_now()

    def _learn_for_the_next(self, learned: int) -> None:
        """The same for exchanges to come, unless somebody is at it; what fails is told to them."""
        if self._learning.acquire(blocking=False):
            try:
                if self._learned == learned:
                    self._learn_now()
            except OnlineStoreError:
                pass
            finally:
                self._learning.release()

    def _learn_now(self) -> None:
        """Ask the servers, one after the other till one answers; those that were away come last."""
        failure: OnlineStoreError | None = None
        known = [self._known(endpoint) for endpoint in dict.fromkeys((*self._servers, *self._address.endpoints))]
        for server in sorted(known, key=self._away.__contains__):
            try:
                [reply] = server.exchange([_TOPOLOGY], again=True)
            except Unreachable as error:
                self._away.add(server)
                failure = failure or lost(self._where(server), error)
                continue
            if isinstance(reply, hiredis.ReplyError):
                raise self._no_cluster(reply)
            self._slots = self._parsed(reply, server.endpoint)
            self._learned += 1
            return
        assert failure is not None
        raise failure

    def _parsed(self, ranges: Sequence[Sequence[Reply]], asked: Endpoint) -> list[Server | None]:
        slots: list[Server | None] = [None] * 16_384
        for first, last, (host, port, *_), *_ in ranges:
            server = self._known(Endpoint(host.decode() if host else asked.host, port))
            slots[first : last + 1] = [server] * (last - first + 1)
        return slots

    def _no_cluster(self, reply: Exception) -> OnlineStoreError:
        if "cluster support disabled" in str(reply):
            return OnlineStoreError(
                f"The online store at {self._address} is a single server; write "
                f"{self._address.scheme.removesuffix('+cluster')}:// instead of {self._address.scheme}://."
            )
        return refused(self._address, reply)


class _Unanswered:
    """In place of a reply that did not come."""


_UNANSWERED = _Unanswered()


def _leave(replies: list[Reply], share: Sequence[int]) -> None:
    for i in share:
        replies[i] = _UNANSWERED


def _is_elsewhere(reply: Reply) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_ELSEWHERE)


def _has_moved(reply: Reply) -> bool:
    return str(reply).startswith("MOVED")
