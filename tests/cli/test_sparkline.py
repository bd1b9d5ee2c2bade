"""Small pictures, by eye."""

from __future__ import annotations

from featurestore.cli.sparkline import null_shares, shape, sparkline
from featurestore.dtypes import Float64, Int64, String
from featurestore.statistics.records import FeatureStatistics, Histogram, IntervalStatistics


def feature(histogram: Histogram, nulls: int = 0) -> FeatureStatistics:
    rows = sum(histogram.counts) + nulls
    dtype = String if histogram.categories else Int64 if len(histogram.counts) < 10 else Float64
    return FeatureStatistics("x", dtype, rows, nulls, 0, 0, 0, None, None, None, None, {}, True, histogram)


def test_heights_are_blocks_and_zero_is_a_blank() -> None:
    assert sparkline([0, 1, 2, 4, 8]) == " ▂▃▅█"
    assert sparkline([0.001, 1], greatest=1) == "▁█"
    assert sparkline([]) == sparkline([0, 0]).strip() == ""


def test_few_bins_are_drawn_one_by_one() -> None:
    counts = Histogram((0.0, 1.0, 2.0, 3.0), (), (0, 8, 4, 1, 0), 0.0, 2.0)
    assert shape(feature(counts)) == "█▅▂"
    assert shape(feature(counts), feature(counts)) == " █▅▂ "
    assert shape(feature(Histogram((), ("a", "b"), (4, 8, 0)))) == "▅█"


def test_bins_of_equal_counts_are_drawn_by_their_width() -> None:
    edges = tuple(float(2**power) for power in range(31))  # each bin twice as wide as the one before
    found = shape(feature(Histogram(edges, (), (0, *[100] * 30, 0), 1.0, 2.0**30)))
    assert (len(found), found[0], found[-1]) == (16, "█", "▁")


def test_a_feature_without_values_has_no_shape() -> None:
    assert shape(feature(Histogram((0.0,), (), (0, 0)), nulls=3)) == ""


def test_null_shares_are_of_full_height_when_all_is_null() -> None:
    parts = [feature(Histogram((0.0,), (), (0, counted)), nulls) for counted, nulls in ((4, 0), (2, 2), (0, 4))]
    intervals = [IntervalStatistics(at, at + 1, 4, False, (part,)) for at, part in enumerate(parts)]
    assert null_shares(0, intervals) == " ▅█"
    assert null_shares(0, intervals[:1]) == ""
    assert len(null_shares(0, intervals * 20)) == 20  # three intervals in each block
