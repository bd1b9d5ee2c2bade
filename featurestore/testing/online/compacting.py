"""A store compacted."""

from __future__ import annotations

from featurestore.online.base import OnlineStore
from featurestore.testing.online.records import read, record


class CompactRules:
    """Compacting changes no answer."""

    def test_what_is_there_stays_and_what_was_deleted_stays_away(self, store: OnlineStore) -> None:
        store.replace("users", [(b"%04d" % i, record(i)) for i in range(1_000)], meta=b"m")
        store.write("items", [(b"1", record(1))])
        store.write("users", [(b"%04d" % i, None) for i in range(0, 1_000, 2)], compare=False)
        before = store.read([("users", [b"%04d" % i for i in range(1_000)]), ("items", (b"1",)), ("none", (b"1",))])
        assert store.compact() >= 0
        after = store.read([("users", [b"%04d" % i for i in range(1_000)]), ("items", (b"1",)), ("none", (b"1",))])
        assert after == before
        assert (store.count("users"), store.namespaces()) == (500, ["items", "users"])

    def test_a_compacted_store_takes_writes_and_is_compacted_again(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", record(1))], meta=b"m")
        for round_ in range(3):
            store.compact()
            store.write("users", [(b"1", record(2 + round_))])
            store.replace(f"items{round_}", [(b"2", record(1))], meta=b"m")
        assert read(store, "users", b"1") == [record(4)]
        assert store.namespaces() == ["items0", "items1", "items2", "users"]
