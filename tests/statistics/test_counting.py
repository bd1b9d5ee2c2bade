"""Profiles of columns: literal values by hand, and numpy for quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.arrow import arrow_type
from featurestore.dtypes import Decimal, DType, List, Vector, parse
from featurestore.plan.nodes import Column
from featurestore.statistics import _arrays, _kernels
from featurestore.statistics.bins import ENOUGH, Bins, number_bins, text_bins
from featurestore.statistics.counting import bins_of_values, counted_type, profiles_of
from featurestore.statistics.distinct import estimate_distinct, merge_registers
from featurestore.statistics.profile import QUANTILES, Profile, binned, merged
from featurestore.statistics.records import FeatureStatistics, statistics_of


def counted(values: Sequence[object], dtype: DType, bins: Bins | None = None) -> tuple[Profile, Bins | None]:
    column = pa.chunked_array([pa.array(part, arrow_type(dtype)) for part in (values[:3], values[3:])])
    table = pa.table({"x": column})
    return profiles_of(table, [Column("x", dtype)], {"x": bins} if bins else {}, {}, 1)["x"]


def described(values: Sequence[object], dtype: DType) -> FeatureStatistics:
    profile, _ = counted(values, dtype)
    bins = bins_of_values(profile.values, dtype)
    return statistics_of("x", dtype, binned(profile, bins), bins, exact=True)


def test_nulls_nans_and_infinities_are_counted_apart() -> None:
    found = described([1.0, None, math.nan, math.inf, 3.0, -math.inf, None], parse("Float64"))
    assert (found.rows, found.nulls, found.nans, found.infinities, found.counted) == (7, 2, 1, 2, 2)
    assert (found.min, found.max, found.mean, found.distinct) == (1.0, 3.0, 2.0, 2)
    assert found.stddev == pytest.approx(math.sqrt(2))
    assert found.quantiles[0.5] == 2.0
    assert found.null_share == 2 / 7


def test_a_column_of_nulls_has_no_values() -> None:
    found = described([None, None], parse("Int64"))
    assert (found.rows, found.nulls, found.counted, found.distinct) == (2, 2, 0, 0)
    assert (found.min, found.max, found.mean, found.stddev, found.quantiles) == (None, None, None, None, {})


def test_no_row_at_all_has_a_profile() -> None:
    found = described([], parse("String"))
    assert (found.rows, found.null_share, found.histogram.counts) == (0, None, (0,))


def test_few_different_numbers_have_a_bin_each() -> None:
    found = described([0, 1, 1, 3, 3, 3], parse("Int64"))
    assert found.histogram.edges == (0.0, 1.0, 3.0, 4.0)
    assert found.histogram.counts == (0, 1, 2, 3, 0)


def test_negative_zero_is_zero() -> None:
    found = described([0.0, -0.0], parse("Float64"))
    assert (found.distinct, math.copysign(1, float(str(found.min)))) == (1, 1.0)


@pytest.mark.parametrize(
    ("dtype", "values", "least", "greatest"),
    [
        (parse("Int64"), [2**63 - 1, -(2**63), 2**63 - 2], -(2**63), 2**63 - 1),
        (parse("UInt64"), [2**64 - 1, 5], 5, 2**64 - 1),
        (Decimal(30, 2), [PyDecimal("1234567890123456789012345678.91"), PyDecimal("-0.01")],
         PyDecimal("-0.01"), PyDecimal("1234567890123456789012345678.91")),
        (parse("Float32"), [0.5, -1.5], -1.5, 0.5),
        (parse("Date"), [date(2024, 3, 1), date(1960, 1, 1)], date(1960, 1, 1), date(2024, 3, 1)),
        (parse("Timestamp"), [datetime(2024, 1, 1, 0, 0, 0, 1, UTC), datetime(2024, 1, 1, tzinfo=UTC)],
         datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 0, 0, 1, UTC)),
        (List(parse("String")), [["a", "b"], [], ["c"]], 0, 2),
        (Vector(parse("Float32"), 2), [[1.0, 2.0]], 2, 2),
        (parse("Bytes"), [b"", b"abc"], 0, 3),
    ],
    ids=str,
)  # fmt: skip
def test_extremes_are_exact_for_every_type(dtype: DType, values: list[object], least: object, greatest: object) -> None:
    found = described([*values, None], dtype)
    assert (found.min, found.max, found.nulls, found.rows) == (least, greatest, 1, len(values) + 1)
    assert found.distinct == len(set(map(str, values)))


def test_the_mean_of_times_is_a_time() -> None:
    found = described([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)], parse("Timestamp"))
    assert found.mean == found.quantiles[0.5] == datetime(2024, 1, 2, tzinfo=UTC)


def test_truth_values_are_categories() -> None:
    found = described([True, False, True, None], parse("Bool"))
    assert (found.histogram.categories, found.histogram.counts) == (("false", "true"), (1, 2, 0))
    assert (found.min, found.mean, found.nulls, found.distinct) == (None, None, 1, 2)


def test_texts_seen_twice_are_categories_and_the_others_are_together() -> None:
    found = described(["b", "a", "b", "once", "a", "b", "ünïcode", "ünïcode", "x" * 300, "x" * 300], parse("String"))
    assert found.histogram.categories == ("b", "a", "ünïcode")
    assert found.histogram.counts == (3, 2, 2, 3)
    assert found.distinct == 5


def test_a_thousand_values_make_bins_and_fewer_are_kept() -> None:
    few, none = counted(list(range(ENOUGH - 1)), parse("Int64"))
    many, bins = counted(list(range(ENOUGH)), parse("Int64"))
    assert none is None
    assert few.values == tuple((float(value), 1) for value in range(ENOUGH - 1))
    assert bins is not None
    assert sum(many.counts) == ENOUGH
    assert many.values == ()


def test_the_greatest_number_of_all_has_a_bin_without_end() -> None:
    greatest = float(np.finfo(np.float64).max)
    assert number_bins(np.array([1.0, greatest]), whole=False).edges == (1.0, greatest)


def test_bins_cut_a_continuous_sample_into_equal_parts() -> None:
    bins = number_bins(np.arange(100_000.0), whole=True)
    assert (bins.edges[0], bins.edges[1], bins.edges[16], bins.edges[-1]) == (99.0, 3124.0, 49999.0, 99899.0)
    assert len(bins) == 34


def test_frequent_categories_come_first_and_equally_frequent_ones_in_order() -> None:
    texts = [("c", 2), ("b", 3), ("a", 2), *((f"z{n:02}", 2) for n in range(40))]
    assert text_bins(texts).categories[:4] == ("b", "a", "c", "z00")
    assert len(text_bins(texts).categories) == 32


def test_values_beyond_frozen_bins_are_in_the_open_ones() -> None:
    bins = Bins(edges=(0.0, 10.0))
    profile, after = counted([-5.0, 0.0, 9.9, 10.0, 1e300], parse("Float64"), bins)
    assert profile.counts == (1, 2, 2)
    assert after == bins


numbers = st.lists(
    st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0]) | st.floats(-10, 10), max_size=60
)


@given(numbers)
def test_quantiles_and_moments_are_those_of_numpy(values: list[float | None]) -> None:
    finite = np.array([v for v in values if v is not None and math.isfinite(v) and abs(v) < 1e150])
    kept = [v for v in values if v is None or not math.isfinite(v) or abs(v) < 1e150]
    profile, _ = counted(kept, parse("Float64"))
    assert profile.counted == finite.size
    if finite.size:
        np.testing.assert_allclose(profile.quantiles, np.quantile(finite, QUANTILES), rtol=1e-9, atol=1e-12)
        assert profile.mean == pytest.approx(math.fsum(finite / finite.size), rel=1e-12, abs=1e-300)
        spread = math.fsum((finite - profile.mean) ** 2)
        assert profile.squares == pytest.approx(spread, rel=1e-9, abs=1e-12 * float(np.abs(finite).max()) ** 2 + 1e-300)


@given(numbers, numbers, numbers)
def test_parts_merged_are_the_whole(a: list[float | None], b: list[float | None], c: list[float | None]) -> None:
    bins = Bins(edges=(-1.0, 0.0, 1.0, 5.0))
    parts = [
        counted([v for v in part if v is None or not abs(v) > 1e150], parse("Float64"), bins)[0] for part in (a, b, c)
    ]
    together = [v for v in (*a, *b, *c) if v is None or not abs(v) > 1e150]
    whole, _ = counted(together, parse("Float64"), bins)
    found = merged(parts, parse("Float64"))
    assert (found.rows, found.nulls, found.nan, found.infinite) == (whole.rows, whole.nulls, whole.nan, whole.infinite)
    assert (found.least, found.greatest, found.counts) == (whole.least, whole.greatest, whole.counts)
    if whole.counted:
        assert (found.lows, found.highs) == (whole.lows, whole.highs)
        assert estimate_distinct(found.registers) == estimate_distinct(whole.registers)
        assert found.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9)
        assert min(whole.quantiles) - 1e-9 <= found.quantiles[3] <= max(whole.quantiles) + 1e-9


@given(st.lists(st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0]), max_size=40), st.lists(st.binary(max_size=40)))
def test_compiled_code_counts_as_numpy_does(values: list[float], texts: list[bytes]) -> None:
    numbers = pa.array([value for value in values if not 1e150 < abs(value) < math.inf], pa.float64()).to_numpy()
    ends = np.frombuffer(np.cumsum([0, *map(len, texts)], dtype=np.int64).tobytes(), np.int64)
    answers, moments = [], []
    for passes in (_arrays, _kernels):
        bins = (np.zeros(4, np.int64), np.full(4, np.inf), np.full(4, -np.inf))
        registers = np.zeros((2, _arrays.REGISTERS), np.uint8)
        edges, into = Bins(edges=(-1.0, 0.0, 1.0)).filled(), np.zeros(41)
        found = passes.count_numbers(numbers, numbers.view(np.uint64), edges, bins, registers[0])
        passes.hash_texts(np.frombuffer(b"".join(texts), np.uint8), ends, registers[1])
        picked = passes.pick_numbers(numbers, edges, np.arange(64) % 2 == 0, into)
        answers.append((found[:3], *(part.tolist() for part in bins), registers.tolist(), into[:picked].tolist()))
        moments.append(found[3:])
    assert answers[0] == answers[1]
    assert moments[0] == pytest.approx(moments[1], rel=1e-9, abs=1e-9 * (1 + max(map(abs, moments[1]))))


def test_quantiles_of_merged_intervals_are_exact_where_bins_hold_one_number() -> None:
    bins = Bins(edges=(0.0, 1.0, 2.0, 3.0))
    parts = [counted(values, parse("Int64"), bins)[0] for values in ([0, 0, 1], [2, 2, 2, 1])]
    expected = np.quantile([0, 0, 1, 2, 2, 2, 1], QUANTILES)
    np.testing.assert_allclose(merged(parts, parse("Int64")).quantiles, expected)


def test_quantiles_are_exact_over_many_blocks() -> None:
    values = np.random.default_rng(7).lognormal(size=300_000)
    table = pa.table({"x": values})
    profile, bins = profiles_of(table, [Column("x", parse("Float64"))], {}, {}, 1)["x"]
    np.testing.assert_allclose(profile.quantiles, np.quantile(values, QUANTILES), rtol=1e-12)
    assert profile.mean == pytest.approx(values.mean(), rel=1e-12)
    assert profile.squares == pytest.approx(values.var() * values.size, rel=1e-9)
    assert bins is not None
    assert profile.counts == tuple(np.histogram(values, [-np.inf, *bins.edges, np.inf])[0])


@pytest.mark.parametrize("size", [1, 10, 1_000, 100_000])
def test_distinct_counts_are_within_a_tenth(size: int) -> None:
    table = pa.table({"n": np.repeat(np.arange(size) * 7.5, 2), "t": [f"user-{i}" for i in range(size)] * 2})
    columns = [Column("n", parse("Float64")), Column("t", parse("String"))]
    for profile, _ in profiles_of(table, columns, {}, {}, 1).values():
        assert abs(estimate_distinct(profile.registers) - size) <= size * 0.1


def test_distinct_counts_of_overlapping_parts_do_not_add_up() -> None:
    parts = [counted(list(range(start, start + 600)), parse("Int64"))[0] for start in (0, 300)]
    assert estimate_distinct(merge_registers(part.registers for part in parts)) == pytest.approx(900, rel=0.1)


def test_huge_numbers_stop_nothing() -> None:
    found = described([1e308, 1e308, -1e308, 1e-308], parse("Float64"))
    assert (found.min, found.max, found.counted) == (-1e308, 1e308, 4)


def test_lengths_are_counted_as_integers() -> None:
    assert counted_type(List(parse("String"))) == counted_type(parse("Bytes")) == parse("Int64")
