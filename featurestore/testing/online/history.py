"""A store against a dictionary, over random histories."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from featurestore.online.base import STAMP_SIZE, OnlineStore, WriteCount
from featurestore.testing.online.records import record

_ASKED = ("users", "items", "never written", "")
_KEYS = (b"", b"\x00", b"a", b"ab", b"a" * 510, b"a" * 511, b"a" * 600, b"a" * 600 + b"b")

namespaces = st.sampled_from(_ASKED[:2])
keys = st.sampled_from(_KEYS)
records = st.builds(record, st.integers(0, 3), st.none() | st.integers(0, 2), st.sampled_from((b"", b"x", b"y")))
metas = st.none() | st.sampled_from((b"", b"1", b"2"))


class History(RuleBasedStateMachine):
    """Does to a store what it does to dictionaries, and compares after each step."""

    store: ClassVar[OnlineStore]

    def __init__(self) -> None:
        super().__init__()
        for namespace in self.store.namespaces():
            self.store.drop(namespace)
        self.held: dict[str, dict[bytes, bytes]] = {}
        self.metas: dict[str, bytes | None] = {}

    @rule(namespace=namespaces, items=st.lists(st.tuples(keys, records)), meta=metas)
    def write(self, namespace: str, items: list[tuple[bytes, bytes]], meta: bytes | None) -> None:
        """A write that compares."""
        held = self._namespace(namespace, meta)
        written = 0
        for key, offered in items:
            if key not in held or offered[:STAMP_SIZE] >= held[key][:STAMP_SIZE]:
                held[key] = offered
                written += 1
        assert self.store.write(namespace, items, meta=meta) == WriteCount(written, len(items) - written)

    @rule(namespace=namespaces, items=st.lists(st.tuples(keys, st.none() | records)), meta=metas)
    def force(self, namespace: str, items: list[tuple[bytes, bytes | None]], meta: bytes | None) -> None:
        """A write that does not compare, with deletions."""
        held = self._namespace(namespace, meta)
        deleted = 0
        for key, offered in items:
            if offered is not None:
                held[key] = offered
            elif held.pop(key, None) is not None:
                deleted += 1
        written = sum(offered is not None for _, offered in items)
        assert self.store.write(namespace, items, compare=False, meta=meta) == WriteCount(written, 0, deleted)

    @rule(namespace=namespaces, items=st.dictionaries(keys, records), meta=metas)
    def replace(self, namespace: str, items: dict[bytes, bytes], meta: bytes | None) -> None:
        """A replace."""
        self.held[namespace], self.metas[namespace] = dict(items), meta or b""
        assert self.store.replace(namespace, items.items(), meta=meta or b"") == len(items)

    @rule(namespace=namespaces)
    def drop(self, namespace: str) -> None:
        """A drop."""
        self.held.pop(namespace, None)
        self.metas.pop(namespace, None)
        self.store.drop(namespace)

    @invariant()
    def holds_the_same(self) -> None:
        """Every key of every namespace, metadata, names and counts agree."""
        expected = [(self.metas.get(name), [self.held.get(name, {}).get(key) for key in _KEYS]) for name in _ASKED]
        assert self.store.read([(name, _KEYS) for name in _ASKED]) == expected
        assert self.store.namespaces() == sorted(self.held)
        assert [self.store.count(name) for name in self.held] == [len(held) for held in self.held.values()]

    def _namespace(self, name: str, meta: bytes | None) -> dict[bytes, bytes]:
        self.metas[name] = self.metas.get(name) if meta is None else meta
        return self.held.setdefault(name, {})


class HistoryLaw:
    """Whatever was done, the store holds what a dictionary would."""

    def test_any_history_leaves_what_a_dictionary_would_hold(self, store: OnlineStore) -> None:
        machine = type("History", (History,), {"store": store})
        run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=15))
