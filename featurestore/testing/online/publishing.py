"""What a read answers, and what a write makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from featurestore.errors import InputError, OnlineStoreError
from featurestore.online.base import STAMP_SIZE, OnlineStore, WriteCount
from featurestore.testing.online.records import read, read_meta, record

OLD, NEW = record(10, value=b"old"), record(20, value=b"new")


class ReadRules:
    """One read: an order, an instant, and nothing for what is not there."""

    def test_an_unknown_namespace_answers_nothing(self, store: OnlineStore) -> None:
        assert store.read([("unknown", (b"k", b"l"))]) == [(None, [None, None])]

    def test_reading_nothing_answers_nothing(self, store: OnlineStore) -> None:
        assert store.read([]) == []

    def test_answers_come_in_the_order_asked_with_repetitions(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", OLD), (b"2", NEW)], meta=b"U")
        store.write("items", [(b"1", NEW)], meta=b"I")
        answers = store.read([("items", (b"1",)), ("users", (b"2", b"absent", b"1", b"2")), ("items", ())])
        assert answers == [(b"I", [NEW]), (b"U", [NEW, None, OLD, NEW]), (b"I", [])]

    def test_a_closed_store_says_so(self, store: OnlineStore) -> None:
        store.close()
        store.close()
        with pytest.raises(OnlineStoreError, match="closed"):
            store.read([("users", (b"1",))])
        with pytest.raises(OnlineStoreError, match="closed"):
            store.write("users", [(b"1", OLD)])
        with pytest.raises(OnlineStoreError, match="closed"):
            store.replace("users", [], meta=b"")


class WriteRules:
    """A write publishes all its items and the metadata, or nothing."""

    def test_items_and_metadata_are_published_together(self, store: OnlineStore) -> None:
        assert store.write("users", [(b"1", OLD), (b"2", NEW)], meta=b"m") == WriteCount(written=2)
        assert store.read([("users", (b"1", b"2"))]) == [(b"m", [OLD, NEW])]

    def test_a_write_without_metadata_keeps_what_was_there(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", OLD)], meta=b"m")
        store.write("users", [(b"2", OLD)])
        assert read_meta(store, "users") == b"m"

    def test_metadata_can_be_written_alone(self, store: OnlineStore) -> None:
        assert store.write("users", [], meta=b"") == WriteCount()
        assert read_meta(store, "users") == b""

    def test_a_namespace_written_without_metadata_has_none(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", OLD)])
        assert store.read([("users", (b"1",))]) == [(None, [OLD])]

    def test_items_that_fail_halfway_publish_nothing(self, store: OnlineStore) -> None:
        def items() -> Iterator[tuple[bytes, bytes]]:
            yield b"1", NEW
            raise RuntimeError("the source broke")

        store.write("users", [(b"1", OLD)], meta=b"m")
        with pytest.raises(RuntimeError, match="the source broke"):
            store.write("users", items(), meta=b"n")
        assert store.read([("users", (b"1",))]) == [(b"m", [OLD])]

    def test_a_record_without_stamp_is_refused_and_nothing_is_published(self, store: OnlineStore) -> None:
        with pytest.raises(InputError, match="stamp"):
            store.write("users", [(b"1", OLD), (b"2", b"short")])
        assert read(store, "users", b"1") == [None]

    def test_a_record_may_be_its_stamp_alone_or_a_megabyte(self, store: OnlineStore) -> None:
        bare, long = record(1), record(1, value=bytes(1 << 20))
        assert len(bare) == STAMP_SIZE
        store.write("users", [(b"bare", bare), (b"long", long)])
        assert read(store, "users", b"bare", b"long") == [bare, long]

    def test_ten_thousand_records_come_back(self, store: OnlineStore) -> None:
        items = [(b"%d" % i, record(i, value=b"%d" % i)) for i in range(10_000)]
        assert store.write("users", items).written == 10_000
        assert read(store, "users", *(key for key, _ in items)) == [stored for _, stored in items]
        assert store.count("users") == 10_000


class CompareRules:
    """Older never overwrites newer; deletions are explicit."""

    @pytest.mark.parametrize(
        ("stored", "offered", "replaces"),
        [
            (record(10), record(20, value=b"x"), True),  # later event
            (record(20), record(10, value=b"x"), False),  # earlier event
            (record(10, 5), record(10, 6, b"x"), True),  # equal event, created later: a correction
            (record(10, 6), record(10, 5, b"x"), False),
            (record(10, 5), record(10, 5, b"x"), True),  # equal stamps: the later write
            (record(10, None), record(10, 0, b"x"), True),  # null created is lowest
            (record(10, 0), record(10, None, b"x"), False),
            (record(10, 99), record(11, None, b"x"), True),  # event time decides before created time
        ],
    )
    def test_a_record_replaces_another_unless_its_stamp_is_below(
        self, store: OnlineStore, stored: bytes, offered: bytes, replaces: bool
    ) -> None:
        store.write("users", [(b"k", stored)])
        assert store.write("users", [(b"k", offered)]) == WriteCount(written=replaces, skipped=not replaces)
        assert read(store, "users", b"k") == [offered if replaces else stored]

    def test_of_equal_keys_in_one_write_the_greatest_stamp_stays(self, store: OnlineStore) -> None:
        count = store.write("users", [(b"k", OLD), (b"k", NEW), (b"k", record(15, value=b"between"))])
        assert count == WriteCount(written=2, skipped=1)
        assert read(store, "users", b"k") == [NEW]

    def test_without_compare_the_last_item_stands(self, store: OnlineStore) -> None:
        store.write("users", [(b"k", NEW)])
        assert store.write("users", [(b"k", OLD)], compare=False) == WriteCount(written=1)
        assert read(store, "users", b"k") == [OLD]

    def test_none_deletes_and_deleting_what_is_absent_is_not_counted(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", OLD), (b"2", OLD)])
        assert store.write("users", [(b"1", None), (b"absent", None)], compare=False) == WriteCount(deleted=1)
        assert read(store, "users", b"1", b"2") == [None, OLD]
        assert store.count("users") == 1

    def test_a_deletion_that_should_compare_is_refused(self, store: OnlineStore) -> None:
        store.write("users", [(b"1", OLD)])
        with pytest.raises(InputError, match="compare=False"):
            store.write("users", [(b"1", None)])
        assert read(store, "users", b"1") == [OLD]
