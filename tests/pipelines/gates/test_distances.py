"""Distances between distributions, by hand, beside scipy, and as laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, ks_2samp

from pipelines.gates.distances import (
    DISTANCE,
    _chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    largest_change,
    noise,
    population_stability,
    shares_of,
)

BEFORE, AFTER = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])

counts = st.lists(st.integers(0, 1_000), min_size=2, max_size=12).filter(any)
pairs = st.integers(2, 12).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, 1_000), min_size=size, max_size=size).filter(any),) * 2)
)


def test_psi_by_hand() -> None:
    # (0.2 - 0.5) ln(0.2 / 0.5) + 0 + (0.5 - 0.2) ln(0.5 / 0.2)
    assert population_stability(BEFORE, AFTER) == pytest.approx(0.6 * math.log(2.5))


def test_a_bin_that_was_empty_counts_as_one_in_ten_thousand() -> None:
    moved = population_stability(np.array([1.0, 0.0]), np.array([0.9, 0.1]))
    assert moved == pytest.approx(-0.1 * math.log(0.9) + (0.1 - 0.0001) * math.log(0.1 / 0.0001))


def test_distances_of_shares_by_hand() -> None:
    assert kolmogorov_smirnov(BEFORE, AFTER) == pytest.approx(0.3)  # 0.5 | 0.8 | 1 beside 0.2 | 0.5 | 1
    assert largest_change(BEFORE, AFTER) == pytest.approx(0.3)
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


@given(pairs)
def test_jensen_shannon_is_that_of_scipy(both: tuple[list[int], list[int]]) -> None:
    before, after = map(shares_of, both)
    expected = float(np.nan_to_num(jensenshannon(before, after, base=2)))  # scipy: the root of less than zero
    assert jensen_shannon(before, after) == pytest.approx(expected, abs=1e-7)


@given(*(st.lists(st.integers(0, 5), min_size=4, max_size=60),) * 2)
def test_kolmogorov_smirnov_with_a_bin_for_each_value_is_that_of_scipy(first: list[int], second: list[int]) -> None:
    before, after = (shares_of(np.bincount(values, minlength=6).tolist()) for values in (first, second))
    expected = ks_2samp(first, second, method="asymp").statistic
    assert kolmogorov_smirnov(before, after) == pytest.approx(expected, abs=1e-12)


@given(pairs)
def test_every_distance_is_symmetric_and_in_its_bounds(both: tuple[list[int], list[int]]) -> None:
    before, after = map(shares_of, both)
    for name, distance in DISTANCE.items():
        there, back = distance(before, after), distance(after, before)
        assert there == pytest.approx(back, abs=1e-12)
        assert there >= 0
        assert name == "psi" or there <= 1


@given(counts, st.integers(1, 5))
def test_equal_shares_have_no_distance_whatever_the_sizes(filled: list[int], times: int) -> None:
    before, after = shares_of(filled), shares_of([count * times for count in filled])
    assert all(distance(before, after) == pytest.approx(0, abs=1e-7) for distance in DISTANCE.values())


@pytest.mark.parametrize("degrees", [1, 2, 9, 33])
def test_the_quantile_of_chi_square_is_that_of_scipy(degrees: int) -> None:
    assert _chi_square(degrees) == pytest.approx(chi2.ppf(0.99, degrees), rel=0.015)


@pytest.mark.parametrize("rows", [500, 5_000])
def test_samples_of_one_distribution_stay_below_the_noise_about_99_times_in_100(rows: int) -> None:
    draw, shares = np.random.default_rng(3), np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.25])
    pairs = [(draw.multinomial(2 * rows, shares), draw.multinomial(rows, shares)) for _ in range(600)]
    for name, distance in DISTANCE.items():
        above = [
            distance(shares_of(first.tolist()), shares_of(second.tolist()))
            > noise(first.tolist(), second.tolist())[name]
            for first, second in pairs
        ]
        assert np.mean(above) < 0.025, name
        if name in ("psi", "js"):
            assert np.mean(above) > 0.001, name


def test_noise_shrinks_with_more_rows_and_is_none_where_all_lie_in_one_bin() -> None:
    few, many = noise([50, 50], [50, 50]), noise([5_000, 5_000], [5_000, 5_000])
    assert all(few[name] > many[name] > 0 for name in DISTANCE)
    assert (noise([7, 0], [9, 0])["psi"], noise([7, 0], [9, 0])["js"], noise([7, 0], [9, 0])["linf"]) == (0, 0, 0)


def test_distances_and_noise_are_numbers_that_the_ledger_can_keep() -> None:
    counts = [5, 7, 0], [6, 2, 4]
    found = [*noise(*counts).values(), *(one(*map(shares_of, counts)) for one in DISTANCE.values())]
    assert {type(number) for number in found} == {float}
