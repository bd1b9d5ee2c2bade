"""Threads that publish and read at the same time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from featurestore.online.base import OnlineStore, WriteCount
from featurestore.testing.online.records import read, record

_KEYS = [b"%03d" % i for i in range(40)]


class RaceRules:
    """No interleaving shows a half, loses a record or lets an older one win."""

    def test_of_racing_writers_the_greatest_stamp_wins_each_key(self, store: OnlineStore) -> None:
        stamps = [(key, version) for key in _KEYS[:10] for version in range(40)]
        random.Random(7).shuffle(stamps)
        shares = [stamps[i::4] for i in range(4)]

        def publish(share: list[tuple[bytes, int]]) -> list[WriteCount]:
            return [
                store.write("users", [(key, record(version)) for key, version in share[i : i + 10]])
                for i in range(0, 100, 10)
            ]

        with ThreadPoolExecutor(4) as pool:
            counts = [count for published in pool.map(publish, shares) for count in published]
        assert read(store, "users", *_KEYS[:10]) == [record(39)] * 10
        assert sum(count.written + count.skipped for count in counts) == 400

    def test_a_concurrent_reader_sees_each_replace_whole(self, store: OnlineStore) -> None:
        def publish() -> None:
            for version in range(1, 25):
                store.replace("users", [(key, record(version)) for key in _KEYS], meta=b"%d" % version)

        store.replace("users", [(key, record(0)) for key in _KEYS], meta=b"0")
        versions = []
        for meta, records in _reads_during(store, publish):
            assert meta is not None
            assert records == [record(int(meta))] * len(_KEYS)
            versions.append(int(meta))
        assert versions == sorted(versions)
        assert versions[-1] == 24

    def test_a_concurrent_reader_sees_each_write_whole(self, store: OnlineStore) -> None:
        def publish() -> None:
            for version in range(1, 25):
                store.write("users", [(key, record(version)) for key in _KEYS], meta=b"%d" % version)

        store.write("users", [(key, record(0)) for key in _KEYS], meta=b"0")
        for meta, records in _reads_during(store, publish):
            assert meta is not None
            assert records == [record(int(meta))] * len(_KEYS)

    def test_a_write_during_a_replace_is_not_lost(self, store: OnlineStore) -> None:
        begun = threading.Event()

        def items() -> Iterator[tuple[bytes, bytes]]:
            yield b"1", record(1)
            begun.set()
            writer.join(timeout=0.2)  # it waits for the switch, so it is still there
            yield b"2", record(1)

        def push() -> None:
            begun.wait(10)
            store.write("users", [(b"1", record(5))])

        store.replace("users", [(b"1", record(0))], meta=b"old")
        writer = threading.Thread(target=push)
        writer.start()
        store.replace("users", items(), meta=b"new")
        writer.join(10)
        assert store.read([("users", (b"1", b"2"))]) == [(b"new", [record(5), record(1)])]


def _reads_during(store: OnlineStore, publish: Callable[[], None]) -> Iterator[tuple[bytes | None, list[bytes | None]]]:
    """What reading `users` again and again answers while `publish` runs, and once after it."""
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        while not publishing.done():
            yield store.read([("users", _KEYS)])[0]
        publishing.result()
    yield store.read([("users", _KEYS)])[0]
