"""A namespace replaced as a whole, counted, listed and dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.errors import InputError
from featurestore.online.base import OnlineStore
from featurestore.testing.online.records import read, read_meta, record


class ReplaceRules:
    """A replace switches the whole at once, or not at all."""

    def test_what_is_not_among_the_items_is_gone(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", record(9)), (b"2", record(9))], meta=b"old")
        assert store.replace("users", [(b"2", record(1)), (b"3", record(1))], meta=b"new") == 2
        assert store.read([("users", (b"1", b"2", b"3"))]) == [(b"new", [None, record(1), record(1)])]
        assert store.count("users") == 2

    def test_no_items_leave_an_empty_published_namespace(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", record(1))], meta=b"old")
        assert store.replace("users", [], meta=b"new") == 0
        assert store.read([("users", (b"1",))]) == [(b"new", [None])]
        assert store.namespaces() == ["users"]

    def test_keys_may_come_in_any_order(self, store: OnlineStore) -> None:
        items = [(b"%d" % (i * 7919 % 20_000), record(i, value=bytes(1_000))) for i in range(20_000)]
        assert store.replace("users", items, meta=b"m") == 20_000
        assert read(store, "users", *(key for key, _ in items)) == [stored for _, stored in items]

    @pytest.mark.parametrize("between", [0, 1, 30_000])
    def test_a_key_given_twice_is_refused_and_the_old_stays(self, store: OnlineStore, between: int) -> None:
        store.write("users", [(b"old", record(1))], meta=b"m")
        others = [(b"%08d" % i, record(1, value=bytes(1_000))) for i in range(between)]
        with pytest.raises(InputError, match=r"'users' hold a key twice"):
            store.replace("users", [(b"twice", record(1)), *others, (b"twice", record(2))], meta=b"n")
        assert store.read([("users", (b"old", b"twice"))]) == [(b"m", [record(1), None])]
        assert store.count("users") == 1

    def test_items_that_fail_halfway_leave_the_old(self, store: OnlineStore) -> None:
        def items() -> Iterator[tuple[bytes, bytes]]:
            yield b"1", record(2)
            raise RuntimeError("the source broke")

        store.replace("users", [(b"1", record(1))], meta=b"old")
        with pytest.raises(RuntimeError, match="the source broke"):
            store.replace("users", items(), meta=b"new")
        assert store.read([("users", (b"1",))]) == [(b"old", [record(1)])]
        assert store.replace("users", [(b"3", record(3))], meta=b"new") == 1
        assert store.read([("users", (b"1", b"3"))]) == [(b"new", [None, record(3)])]

    def test_a_record_without_stamp_is_refused(self, store: OnlineStore) -> None:
        with pytest.raises(InputError, match="stamp"):
            store.replace("users", [(b"1", b"short")], meta=b"m")
        assert store.namespaces() == []

    def test_the_old_is_read_until_the_switch(self, store: OnlineStore) -> None:
        seen = []

        def items() -> Iterator[tuple[bytes, bytes]]:
            for i in range(3):
                yield b"%d" % i, record(2)
                seen.append(store.read([("users", (b"0", b"1", b"9"))]))

        store.replace("users", [(b"0", record(1)), (b"9", record(1))], meta=b"old")
        store.replace("users", items(), meta=b"new")
        assert seen == [[(b"old", [record(1), None, record(1)])]] * 3
        assert store.read([("users", (b"0", b"1", b"9"))]) == [(b"new", [record(2), record(2), None])]

    def test_other_namespaces_are_untouched(self, store: OnlineStore) -> None:
        store.write("items", [(b"1", record(1))], meta=b"i")
        for version in range(4):
            store.replace("users", [(b"1", record(version))], meta=b"u")
            store.replace("shops", [(b"2", record(version))], meta=b"s")
        assert store.read([("items", (b"1",)), ("users", (b"1", b"2")), ("shops", (b"1", b"2"))]) == [
            (b"i", [record(1)]),
            (b"u", [record(3), None]),
            (b"s", [None, record(3)]),
        ]


class NamespaceRules:
    """Namespaces come by writing and go by dropping."""

    def test_an_empty_store_has_no_namespaces(self, store: OnlineStore) -> None:
        assert store.namespaces() == []
        assert store.count("users") == 0

    def test_a_dropped_namespace_answers_nothing_and_begins_anew(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", record(9))], meta=b"m")
        store.write("items", [(b"1", record(1))])
        store.drop("users")
        assert store.namespaces() == ["items"]
        assert store.read([("users", (b"1",))]) == [(None, [None])]
        store.write("users", [(b"2", record(1))])
        assert store.read([("users", (b"1", b"2"))]) == [(None, [None, record(1)])]

    @pytest.mark.parametrize("name", ["", "n" * 401, "é" * 201])
    def test_a_name_that_is_empty_or_long_is_refused_and_answers_nothing(self, store: OnlineStore, name: str) -> None:
        with pytest.raises(InputError, match="1 to 400 bytes"):
            store.write(name, [])
        with pytest.raises(InputError, match="1 to 400 bytes"):
            store.replace(name, [], meta=b"")
        store.drop(name)
        assert store.read([(name, (b"1",))]) == [(None, [None])]
        assert store.count(name) == 0

    def test_dropping_what_is_not_there_does_nothing(self, store: OnlineStore) -> None:
        store.drop("users")
        assert store.namespaces() == []

    def test_a_namespace_that_takes_the_place_of_a_dropped_one_is_empty(self, store: OnlineStore) -> None:
        store.replace("users", [(b"%d" % i, record(1)) for i in range(100)], meta=b"m")
        read(store, "users", b"1")
        store.drop("users")
        store.write("items", [(b"new", record(1))])
        assert read(store, "items", b"1", b"new") == [None, record(1)]
        assert store.count("items") == 1
        assert read_meta(store, "items") is None
