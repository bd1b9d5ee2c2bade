"""What any lookup of three views must do: get the records, decode their MessagePack, make one dict of the columns."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

import hiredis
import lmdb
import msgspec
import pyarrow.parquet as pq
import redis

from benchmarks.inputs import FEATURES, ONLINE_VIEWS
from benchmarks.measure import measured_batches

Columns = dict[str, list[float]]
LookUp = Callable[[Sequence[int]], Columns]
Ask = Callable[[list[bytes]], list[bytes]]

_KEY = struct.Struct(">q")
_NAMES = [f"{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]
_AT_ONCE = 10_000  # records of one command
_decode = msgspec.msgpack.Decoder(list).decode  # untyped items decode fastest


def publish_lmdb(workspace: Path) -> None:
    """A database per view in one environment: the key big-endian, the values a MessagePack array."""
    with lmdb.open(str(workspace / "raw"), map_size=1 << 32, max_dbs=len(ONLINE_VIEWS)) as environment:
        for view in ONLINE_VIEWS:
            database = environment.open_db(view.encode())
            with environment.begin(write=True, db=database) as transaction:
                for key, record in _records(workspace, view):
                    transaction.put(key, record, append=True)


def publish_redis(workspace: Path, url: str) -> None:
    """A string per view and entity."""
    with redis.Redis.from_url(url) as client:
        for view in ONLINE_VIEWS:
            records = _records(workspace, view)
            while some := {_redis_key(view, key): record for key, record in islice(records, _AT_ONCE)}:
                client.mset(some)


def _records(workspace: Path, view: str) -> Iterator[tuple[bytes, bytes]]:
    rows = pq.read_table(workspace / "inputs" / f"{view}.parquet").drop_columns(["event_timestamp"])
    keys, *features = (column.to_pylist() for column in rows.columns)
    for key, *values in zip(keys, *features, strict=True):
        yield _KEY.pack(key), msgspec.msgpack.encode(values)


def _redis_key(view: str, key: bytes) -> bytes:
    return b"raw:%b:%b" % (view.encode(), key)


def from_lmdb(workspace: Path) -> LookUp:
    """A get for each record, in one transaction."""
    environment = lmdb.open(str(workspace / "raw"), max_dbs=len(ONLINE_VIEWS), readonly=True, lock=True)
    databases = [environment.open_db(view.encode()) for view in ONLINE_VIEWS]

    def look_up(entities: Sequence[int]) -> Columns:
        keys = [_KEY.pack(entity) for entity in entities]
        with environment.begin() as transaction:
            get = transaction.get
            views = [zip(*[_decode(get(key, b"", database)) for key in keys], strict=True) for database in databases]
            columns = [list(column) for column in chain(*views)]
        return dict(zip(_NAMES, columns, strict=True))

    return look_up


def from_redis(ask: Ask) -> LookUp:
    """One MGET for all records."""
    prefixes = [_redis_key(view, b"") for view in ONLINE_VIEWS]

    def look_up(entities: Sequence[int]) -> Columns:
        keys = [_KEY.pack(entity) for entity in entities]
        found = iter(ask([prefix + key for prefix in prefixes for key in keys]))
        views = [zip(*[_decode(next(found)) for _ in keys], strict=True) for _ in prefixes]
        return dict(zip(_NAMES, [list(column) for column in chain(*views)], strict=True))

    return look_up


def by_client(url: str) -> Ask:
    """An MGET of redis-py, with the parser of hiredis."""
    return redis.Redis.from_url(url).mget  # type: ignore[return-value]  # it is no coroutine


def by_socket(url: str) -> Ask:
    """An MGET over a socket, with nothing but what hiredis does."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = hiredis.Reader()

    def ask(keys: list[bytes]) -> list[bytes]:
        command: tuple[str | bytes, ...] = ("MGET", *keys)
        connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # it takes tuples of any length
        while (reply := reader.gets()) is False:
            reader.feed(connection.recv(1 << 16))
        found: list[bytes] = reply
        return found

    return ask


def main() -> None:
    """Arguments: workspace, entities, lookups of one entity, URL of the store, how it is asked."""
    workspace, entities, lookups, url = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    match sys.argv[5]:
        case "lmdb":
            look_up = from_lmdb(workspace)
        case "client":
            look_up = from_redis(by_client(url))
        case "socket":
            look_up = from_redis(by_socket(url))
        case other:
            raise SystemExit(f"There is no way {other!r} to ask.")
    measured_batches(look_up, entities, lookups)


if __name__ == "__main__":
    main()
