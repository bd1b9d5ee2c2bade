"""Connections to one server: packed commands out, parsed replies in, all within a deadline.

A connection serves one exchange at a time; idle ones wait in a pool, the last used first. One that failed in any way
is closed, so no late reply can answer another question. A fork leaves the parent's connections to the parent.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis

from featurestore.errors import OnlineStoreError
from featurestore.online.redis.address import Endpoint, RedisAddress
from featurestore.online.redis.failures import Unreachable, refused, unreachable

Reply: TypeAlias = Any  # bytes, int, None, a list of these, or hiredis.ReplyError in place of any
Argument: TypeAlias = bytes | str | int

_RECEIVED_AT_ONCE = 1 << 16


def pack(*command: Argument) -> bytes:
    """A command as it is sent."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # it takes tuples of any length
    return packed


def pack_more(arguments: Sequence[bytes]) -> bytes:
    """Arguments of a command as they are sent, without the line that counts them: others may stand beside them."""
    packed: bytes = hiredis.pack_command(tuple(arguments))  # type: ignore[arg-type]  # as above
    return packed[packed.index(b"\n") + 1 :]


class Connection:
    """One open connection, logged in."""

    __slots__ = ("_reader", "_seconds", "_sent_at", "_socket")

    def __init__(self, endpoint: Endpoint, address: RedisAddress) -> None:
        try:
            self._socket = _connected(endpoint, address)
        except OSError as error:
            raise unreachable(error, address.connect_timeout_s, sent=False) from error
        self._reader = hiredis.Reader()
        self._seconds = address.connect_timeout_s
        self._sent_at = 0.0
        greeting = _greeting(address)
        try:
            replies = self.exchange(b"".join(pack(*command) for command in greeting), len(greeting))
        except Unreachable as error:
            raise Unreachable(error.reason, sent=False) from error
        answer = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if answer is not None:
            self.close()
            raise refused_login(endpoint, address, answer)
        self.wait_at_most(address.timeout_s)

    def exchange(self, commands: bytes, replies: int) -> list[Reply]:
        """The replies to packed commands; raises Unreachable and is closed when they do not come in time."""
        self.send(commands)
        return self.receive(replies)

    def wait_at_most(self, seconds: float) -> None:
        """Give each exchange from now on so much time."""
        self._seconds = seconds
        self._socket.settimeout(seconds)

    def send(self, commands: bytes) -> None:
        """Send packed commands."""
        self._sent_at = time.monotonic()
        try:
            self._socket.sendall(commands)
        except OSError as error:
            self.close()
            raise unreachable(error, self._seconds, sent=len(commands) > _RECEIVED_AT_ONCE) from error

    def receive(self, replies: int) -> list[Reply]:
        """The next replies, in order."""
        received = []
        gets, receive = self._reader.gets, self._socket.recv
        is_late = False
        try:
            for _ in range(replies):
                reply = gets()
                while reply is False:
                    data = receive(_RECEIVED_AT_ONCE)
                    if not data:
                        raise ConnectionResetError
                    self._reader.feed(data)
                    reply = gets()
                    if reply is False:
                        self._wait_for_the_rest()
                        is_late = True
                received.append(reply)
            if is_late:
                self._socket.settimeout(self._seconds)
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            if isinstance(error, OSError):
                raise unreachable(error, self._seconds, sent=True) from error
            raise Unreachable("does not speak as Redis does", sent=True) from error
        return received

    def _wait_for_the_rest(self) -> None:
        """Give what is still to come only the time that is left since the sending."""
        left = self._sent_at + self._seconds - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def is_alive(self) -> bool:
        """False when the server has closed the connection, or sent what nobody asked for."""
        try:
            self._socket.setblocking(False)
            try:
                self._socket.recv(1)
            finally:
                self._socket.settimeout(self._seconds)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as error:
            return isinstance(error, ssl.SSLWantReadError)
        return False

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._socket.close()


def _connected(endpoint: Endpoint, address: RedisAddress) -> socket.socket:
    if endpoint.is_socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(address.connect_timeout_s)
            opened.connect(endpoint.host)
        except OSError:
            opened.close()
            raise
        return opened
    opened = socket.create_connection((endpoint.host, endpoint.port), timeout=address.connect_timeout_s)
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls is not None:
            return address.tls.wrap_socket(opened, server_hostname=endpoint.host)
    except BaseException:
        opened.close()
        raise
    return opened


def _greeting(address: RedisAddress) -> list[tuple[Argument, ...]]:
    commands: list[tuple[Argument, ...]] = []
    if address.password is not None:
        commands.append(("AUTH", *((address.username,) if address.username else ()), address.password))
    commands.append(("PING",))  # refused by a server that asks for a password, or is loading
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


def refused_login(endpoint: Endpoint, address: RedisAddress, answer: Exception) -> OnlineStoreError:
    """The error for a server that refuses the first words."""
    text = str(answer)
    if "DB index" in text or "SELECT is not allowed" in text:
        return OnlineStoreError(
            f"The online store at {endpoint} has no database {address.database} ({text.removeprefix('ERR ')})."
        )
    if "without any password configured" in text:
        return OnlineStoreError(
            f"The online store at {endpoint} has no password, and one is given; leave it out of the URL."
        )
    return refused(endpoint, answer)


class Server:
    """One server and the idle connections to it; safe for threads."""

    def __init__(self, endpoint: Endpoint, address: RedisAddress) -> None:
        self.endpoint = endpoint
        self._address = address
        self._idle: deque[Connection] = deque()
        _SERVERS.add(self)

    def exchange(self, commands: Sequence[bytes], *, again: bool) -> list[Reply]:
        """The replies to packed commands, in one round trip.

        `again`: the commands change nothing, so they may be sent once more when an idle connection turns out closed.
        Raises Unreachable.
        """
        connection, is_new = self.connection(checked=not again)
        packed = b"".join(commands)
        try:
            replies = connection.exchange(packed, len(commands))
        except Unreachable as error:
            if is_new or not again or error.reason != "closed the connection":
                raise
            self.forget()
            connection = Connection(self.endpoint, self._address)
            replies = connection.exchange(packed, len(commands))
        self._idle.append(connection)
        return replies

    def connection(self, *, checked: bool) -> tuple[Connection, bool]:
        """A connection to use alone, and whether it is new; an idle one is looked at first when `checked`."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self.endpoint, self._address), True
            if not checked or connection.is_alive():
                return connection, False
            connection.close()

    def give_back(self, connection: Connection) -> None:
        """Let others use a connection on which no reply is outstanding."""
        self._idle.append(connection)

    def forget(self) -> None:
        """Close the idle connections."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def leave_to_parent(self) -> None:
        """Forget the connections that a fork has copied, without a word to the server."""
        self._idle = deque()


_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_SERVERS):
        server.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
