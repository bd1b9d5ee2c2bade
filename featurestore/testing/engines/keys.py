"""How a spine row meets the rows of its key."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    DType,
    Int8,
    Int16,
    Int32,
    Int64,
    String,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from featurestore.engines.base import OfflineEngine
from featurestore.errors import InputError
from featurestore.plan.nodes import Column
from featurestore.testing.engines.suite import ABSENT, PRESENT, Answer, EngineSuite, answers, ask, history, join_of
from featurestore.testing.engines.tables import (
    Layout,
    ViewTable,
    array,
    global_table,
    instants,
    source_rows,
    view_table,
)

_KEYS: tuple[tuple[DType, object, object], ...] = (
    (Int8, -128, 127),
    (Int16, -(2**15), 2**15 - 1),
    (Int32, -(2**31), 2**31 - 1),
    (Int64, 2**53, 2**53 + 1),
    (Int64, -(2**63), 2**63 - 1),
    (UInt8, 0, 255),
    (UInt16, 0, 2**16 - 1),
    (UInt32, 2**31, 2**32 - 1),
    (UInt64, 2**63, 2**64 - 1),
    (Bool, False, True),
    (String, "", " "),
    (String, "Zürich", "zürich"),
    (String, "é", "e\u0301"),  # one letter and its two-letter spelling are two keys
    (String, "a", "a\x00"),
    (Bytes, b"", b"\x00"),
    (Bytes, b"\xff\x00", b"\xff"),
    (Date, date(1969, 12, 31), date(1970, 1, 1)),
    (Timestamp, -1, 0),
)

_SPELLINGS: tuple[tuple[DType, pa.Array], ...] = (
    (Int64, pa.array([7], pa.int8())),
    (Int64, pa.array([7], pa.int32())),
    (Int64, pa.array([7], pa.uint64())),
    (Int32, pa.array([7], pa.int64())),
    (UInt64, pa.array([7], pa.int64())),
    (Int64, pa.array([7]).dictionary_encode()),
    (String, pa.array(["7"], pa.large_string())),
    (String, pa.array(["7"], pa.string_view())),
    (String, pa.array(["7"]).dictionary_encode()),
    (Bytes, pa.array([b"7"], pa.large_binary())),
    (Date, pa.array([7], pa.date32())),
    (Timestamp, pa.array([7], pa.timestamp("us", tz="Asia/Kathmandu"))),
    (Timestamp, pa.array([7_000], pa.timestamp("ns", tz="UTC"))),
)

_WRONG: tuple[tuple[DType, pa.Array], ...] = (
    (Int64, pa.array(["7"])),
    (Int64, pa.array([7.0])),
    (Int64, pa.array([True])),
    (String, pa.array([7])),
    (String, pa.array([b"7"])),
    (Bool, pa.array([1])),
    (Date, pa.array(["1970-01-01"])),
    (Timestamp, pa.array([7])),
    (Timestamp, pa.array([7], pa.timestamp("us"))),
)


def _pair(*rows: tuple[str | None, str | None, int]) -> ViewTable:
    """A view with two text keys, all events at 10; a row is (first key, second key, value)."""
    cells = {
        "p": array([p for p, _, _ in rows], String),
        "q": array([q for _, q, _ in rows], String),
        "x": array([x for _, _, x in rows], Int64),
    }
    return ViewTable((Column("p", String), Column("q", String)), (Column("x", Int64),), cells, [10] * len(rows))


def _ask_pair(engine: OfflineEngine, layout: Layout, view: ViewTable, *spine: tuple[str | None, str | None]) -> object:
    table = pa.table(
        {
            "q": array([q for _, q in spine], String),
            "t": instants([10] * len(spine)),
            "p": array([p for p, _ in spine], String),
        }
    )
    return answers(history(engine, table, join_of(layout(view))))


def _ask_keys(engine: OfflineEngine, layout: Layout, view: ViewTable, keys: pa.Array) -> list[Answer]:
    table = pa.table({"k": keys, "t": instants([10] * len(keys))})
    return answers(history(engine, table, join_of(layout(view))))


class KeyRules(EngineSuite):
    """Equality of keys, of all types, composite, null, none at all."""

    def test_rows_of_other_keys_are_never_seen(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("b", 20, 2)))
        assert ask(engine, view, [("a", 30), ("b", 30), ("b", 15)]) == [(1, PRESENT), (2, PRESENT), ABSENT]

    def test_an_unknown_key_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        assert ask(engine, layout(view_table(("a", 10, 1))), [("A", 10), ("a ", 10)]) == [ABSENT, ABSENT]

    def test_a_null_key_in_the_spine_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(view_table(("a", 10, 1), ("", 10, 2)))
        assert ask(engine, view, [(None, 10), ("a", 10)]) == [ABSENT, (1, PRESENT)]

    def test_a_null_key_does_not_meet_a_null_key(self, engine: OfflineEngine) -> None:
        view = source_rows(view_table((None, 10, 9), ("a", 10, 1)))
        assert ask(engine, view, [(None, 10), ("a", 10)]) == [ABSENT, (1, PRESENT)]

    def test_a_key_column_of_nothing_but_nulls_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        assert _ask_keys(engine, layout, view_table(("a", 10, 1)), pa.nulls(2)) == [ABSENT, ABSENT]

    def test_composite_keys_are_not_glued_together(self, engine: OfflineEngine, layout: Layout) -> None:
        view = _pair(("1", "23", 1), ("12", "3", 2))
        found = _ask_pair(engine, layout, view, ("12", "3"), ("1", "23"), ("123", ""), ("", "123"))
        assert found == [(2, PRESENT), (1, PRESENT), ABSENT, ABSENT]

    def test_composite_keys_are_not_swapped(self, engine: OfflineEngine, layout: Layout) -> None:
        found = _ask_pair(engine, layout, _pair(("a", "b", 1)), ("a", "b"), ("b", "a"))
        assert found == [(1, PRESENT), ABSENT]

    def test_a_composite_key_that_is_partly_null_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        found = _ask_pair(engine, layout, _pair(("a", "b", 1)), ("a", None), (None, "b"), (None, None), ("a", "b"))
        assert found == [ABSENT, ABSENT, ABSENT, (1, PRESENT)]

    def test_a_global_view_answers_every_spine_row(self, engine: OfflineEngine, layout: Layout) -> None:
        view = layout(global_table((10, 1), (20, 2)))
        spine = pa.table({"t": instants([5, 10, 25])})
        assert answers(history(engine, spine, join_of(view))) == [ABSENT, (1, PRESENT), (2, PRESENT)]

    @pytest.mark.parametrize(("dtype", "one", "other"), _KEYS)
    def test_keys_of_every_type_are_told_apart(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, one: object, other: object
    ) -> None:
        view = view_table((one, 10, 1), (other, 10, 2), key=dtype)
        found = _ask_keys(engine, layout, view, array([other, None, one], dtype))
        assert found == [(2, PRESENT), ABSENT, (1, PRESENT)]

    @pytest.mark.parametrize(("dtype", "keys"), _SPELLINGS, ids=lambda value: str(getattr(value, "type", value)))
    def test_a_key_is_found_by_value_whatever_arrow_type_spells_it(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, keys: pa.Array
    ) -> None:
        value = {"String": "7", "Bytes": b"7", "Date": date(1970, 1, 8)}.get(dtype.name, 7)
        assert _ask_keys(engine, layout, view_table((value, 10, 1), key=dtype), keys) == [(1, PRESENT)]

    def test_a_spine_key_beyond_the_views_type_is_not_found(self, engine: OfflineEngine, layout: Layout) -> None:
        keys = pa.array([2**32 + 7, 7, -1], pa.int64())
        found = _ask_keys(engine, layout, view_table((7, 10, 1), key=UInt8), keys)
        assert found == [ABSENT, (1, PRESENT), ABSENT]

    @pytest.mark.parametrize(("dtype", "keys"), _WRONG, ids=lambda value: str(getattr(value, "type", value)))
    def test_a_key_of_another_kind_is_refused(
        self, engine: OfflineEngine, layout: Layout, dtype: DType, keys: pa.Array
    ) -> None:
        with pytest.raises(InputError, match="'k'"):
            _ask_keys(engine, layout, view_table(key=dtype), keys)

    def test_a_missing_key_column_is_named_with_those_there_are(self, engine: OfflineEngine, layout: Layout) -> None:
        spine = pa.table({"kk": ["a"], "t": instants([10])})
        with pytest.raises(InputError, match=r"'k'.*kk, t"):
            history(engine, spine, join_of(layout(view_table(("a", 10, 1)))))

    def test_a_missing_alias_column_is_named_by_the_alias(self, engine: OfflineEngine, layout: Layout) -> None:
        join = replace(join_of(layout(view_table(("a", 10, 1)))), keys=(("k", "origin"),))
        with pytest.raises(InputError, match="'origin'"):
            history(engine, pa.table({"k": ["a"], "t": instants([10])}), join)
