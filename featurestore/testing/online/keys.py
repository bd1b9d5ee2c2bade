"""Keys of every length, kept apart."""

from __future__ import annotations

import pytest

from featurestore.online.base import OnlineStore, WriteCount
from featurestore.testing.online.records import read, record

LENGTHS = [0, 1, 8, 478, 479, 480, 509, 510, 511, 512, 513, 5_000]


class KeyRules:
    """A key is any bytes."""

    @pytest.mark.parametrize("length", LENGTHS)
    def test_a_key_of_any_length_is_found_replaced_and_deleted(self, store: OnlineStore, length: int) -> None:
        key = b"k" * length
        store.write("users", [(key, record(2, value=b"first"))])
        assert store.write("users", [(key, record(1)), (key, record(3, value=b"second"))]) == WriteCount(1, 1)
        assert read(store, "users", key) == [record(3, value=b"second")]
        assert store.write("users", [(key, None)], compare=False) == WriteCount(deleted=1)
        assert read(store, "users", key) == [None]

    def test_long_keys_that_differ_at_their_end_are_apart(self, store: OnlineStore) -> None:
        keys = [b"k" * 600 + bytes([i]) for i in range(4)] + [b"k" * 600, b"k" * 599]
        items = [(key, record(1, value=b"%d" % i)) for i, key in enumerate(keys)]
        assert store.replace("users", items, meta=b"m") == 6
        assert read(store, "users", *keys) == [stored for _, stored in items]
        assert store.count("users") == 6

    def test_a_key_is_not_found_by_its_beginning(self, store: OnlineStore) -> None:
        store.write("users", [(b"12\x00", record(1))])
        assert read(store, "users", b"12", b"1", b"", b"12\x00\x00") == [None] * 4

    def test_one_key_in_two_namespaces_is_two_records(self, store: OnlineStore) -> None:
        names = ["a", "ab", "aé", "项目/view@1", "a b"]
        for i, name in enumerate(names):
            store.write(name, [(b"k", record(i))])
        assert store.read([(name, (b"k",)) for name in names]) == [(None, [record(i)]) for i in range(len(names))]
        assert store.namespaces() == sorted(names)
