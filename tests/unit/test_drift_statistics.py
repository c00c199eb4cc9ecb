"""The statistics of drift: their laws, and that they agree with SciPy."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from classifier.drift.statistics import (
    chi_square,
    chi_square_survival,
    kolmogorov_smirnov,
    kolmogorov_survival,
    population_stability_index,
    shares_of,
)

COUNTS = st.integers(0, 10_000)


@st.composite
def two_samples(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Counts of two samples, neither of them empty, in the same bins."""
    size = draw(st.integers(2, 12))
    first, second = (draw(st.lists(COUNTS, min_size=size, max_size=size)) for _ in range(2))
    assume(sum(first) and sum(second))
    return first, second


@given(two_samples())
def test_the_index_is_never_negative_and_the_same_in_both_directions(samples):
    first, second = samples
    index = population_stability_index(first, second)
    assert 0 <= index < math.inf
    assert index == pytest.approx(population_stability_index(second, first), rel=1e-12)


@given(st.lists(COUNTS, min_size=2, max_size=12).filter(any), st.integers(1, 100))
def test_equal_shares_have_the_index_0_whatever_the_number_of_texts(counts, factor):
    assert population_stability_index(counts, [factor * count for count in counts]) == pytest.approx(
        0, abs=1e-12
    )


@given(two_samples())
def test_other_shares_have_an_index_above_0(samples):
    first, second = samples
    assume(np.abs(shares_of(first) - shares_of(second)).max() > 1e-6)
    assert population_stability_index(first, second) > 0


@given(two_samples(), st.randoms(use_true_random=False))
def test_the_order_of_the_bins_does_not_change_the_index_or_chi_square(samples, random):
    order = list(range(len(samples[0])))
    random.shuffle(order)
    shuffled = [[counts[place] for place in order] for counts in samples]
    assert population_stability_index(*shuffled) == pytest.approx(population_stability_index(*samples))
    assert chi_square(*shuffled).statistic == pytest.approx(chi_square(*samples).statistic)


def test_the_index_of_large_samples_is_that_of_its_definition():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    index = population_stability_index((p * 10**9).astype(int).tolist(), (q * 10**9).astype(int).tolist())
    assert index == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-6)


def test_an_empty_bin_counts_as_much_as_the_smaller_sample_can_prove():
    indices = [population_stability_index([9000, 1000], [texts, 0]) for texts in (10, 100, 1000)]
    assert indices == sorted(indices)
    assert indices[0] < 0.2 < indices[2]


@pytest.mark.parametrize("samples", [([0, 0], [3, 4]), ([3, 4], [0, 0]), ([0, 0], [0, 0])])
def test_a_sample_without_texts_differs_from_no_other(samples):
    assert population_stability_index(*samples) == 0
    for test in (kolmogorov_smirnov, chi_square):
        outcome = test(*samples)
        assert (outcome.statistic, outcome.p_value) == (0, 1)


@given(two_samples())
def test_chi_square_agrees_with_scipy(samples):
    first, second = (np.array(counts) for counts in samples)
    filled = first + second > 0
    assume(filled.sum() > 1)
    expected = stats.chi2_contingency(np.array([first[filled], second[filled]]), correction=False)
    found = chi_square(*samples)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-300)


@given(st.floats(1e-6, 2000), st.integers(1, 200))
def test_the_survival_function_of_chi_square_agrees_with_scipy(value, freedom):
    assert chi_square_survival(value, freedom) == pytest.approx(
        stats.chi2.sf(value, freedom), rel=1e-8, abs=1e-14
    )


@given(st.floats(1e-6, 20))
def test_the_survival_function_of_kolmogorov_agrees_with_scipy(value):
    assert kolmogorov_survival(value) == pytest.approx(stats.kstwobign.sf(value), rel=1e-9, abs=1e-14)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.lists(st.integers(0, 9), min_size=2))
def test_kolmogorov_smirnov_agrees_with_scipy_on_values_with_a_bin_each(first, second):
    found = kolmogorov_smirnov(
        np.bincount(first, minlength=10).tolist(), np.bincount(second, minlength=10).tolist()
    )
    expected = stats.ks_2samp(first, second, method="asymp").statistic
    scale = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    assert found.statistic == pytest.approx(expected, abs=1e-12)
    assert found.p_value == pytest.approx(stats.kstwobign.sf(scale * expected), abs=1e-9)


@given(two_samples())
def test_p_values_are_probabilities(samples):
    assert 0 <= kolmogorov_smirnov(*samples).p_value <= 1
    assert 0 <= chi_square(*samples).p_value <= 1 + 1e-12


def test_one_bin_proves_nothing():
    assert chi_square([10], [20]).p_value == 1
    assert kolmogorov_smirnov([10], [20]).p_value == 1
