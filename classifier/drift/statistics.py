"""Statistics of the difference between two samples that are counted in the same bins.

The statistics take two vectors of counts (bins), in either order. A sample without any text differs from no
other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PRECISION = 1e-15
_MAX_TERMS = 10_000


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """A test of whether two samples come from the same distribution."""

    name: Literal["kolmogorov-smirnov", "chi-square"]
    statistic: float
    p_value: float
    """The probability of a statistic at least as large if the distributions are the same."""


def shares_of(counts: ArrayLike) -> NDArray[np.float64]:
    """Return the share of each bin; zeros if nothing was counted."""
    counted = np.asarray(counts, np.float64)
    shares: NDArray[np.float64] = counted / max(counted.sum(), 1)
    return shares


def population_stability_index(first: Sequence[int], second: Sequence[int]) -> float:
    """Return the sum of (p - q) * ln(p / q) over the bins, where p and q are the shares of the two samples.

    It is Jeffreys' divergence (Jeffreys, 1946), and at least 0. Half a text of the smaller sample is added
    to each bin of both as a share, as Krichevsky and Trofimov (1981) add half a count. So an empty bin
    counts as much as the smaller sample can prove, and equal shares still give exactly 0.
    """
    smaller = min(sum(first), sum(second))
    if not smaller:
        return 0.0
    added = 0.5 / smaller
    p, q = shares_of(first) + added, shares_of(second) + added
    return float(((p - q) * np.log(p / q)).sum() / (1 + added * len(p)))


def kolmogorov_smirnov(first: Sequence[int], second: Sequence[int]) -> HypothesisTest:
    """Return the largest difference between the two cumulative distributions at the edges of the bins.

    The p-value is that of Smirnov's asymptotic distribution (Smirnov, 1948). Between the edges the
    difference may be larger, so for binned values it is too large rather than too small.
    """
    n, m = sum(first), sum(second)
    if not n or not m:
        return HypothesisTest("kolmogorov-smirnov", 0.0, 1.0)
    distance = float(np.abs(np.cumsum(shares_of(first)) - np.cumsum(shares_of(second))).max())
    scale = math.sqrt(n * m / (n + m))
    return HypothesisTest("kolmogorov-smirnov", distance, kolmogorov_survival(scale * distance))


def chi_square(first: Sequence[int], second: Sequence[int]) -> HypothesisTest:
    """Return Pearson's chi-square statistic for the hypothesis that both samples have the same shares.

    Bins that are empty in both samples have no part in it (Pearson, 1900; Cramer, 1946, section 30.6).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    filled = (a + b) > 0
    a, b = a[filled], b[filled]
    n, m = a.sum(), b.sum()
    if not n or not m:
        return HypothesisTest("chi-square", 0.0, 1.0)
    statistic = float(((a * math.sqrt(m / n) - b * math.sqrt(n / m)) ** 2 / (a + b)).sum())
    return HypothesisTest("chi-square", statistic, chi_square_survival(statistic, len(a) - 1))


def kolmogorov_survival(value: float) -> float:
    """Return the probability that a variable with Kolmogorov's distribution is larger than `value`.

    For small values the series of Kolmogorov (1933) converges slowly. Then the form that its theta function
    transforms into is used (Marsaglia, Tsang and Wang, 2003).
    """
    if value <= 0:
        return 1.0
    if value < 1:
        powers = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * value**2)) for k in range(1, 8))
        return max(0.0, 1 - math.sqrt(2 * math.pi) / value * sum(powers))
    return 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * (k * value) ** 2) for k in range(1, 8))


def chi_square_survival(value: float, freedom: int) -> float:
    """Return the probability that a chi-square variable with `freedom` degrees is larger than `value`.

    It is the regularized upper incomplete gamma function Q(freedom / 2, value / 2), by its series or by its
    continued fraction, whichever converges faster (Press et al., Numerical Recipes, 3rd ed., section 6.2).
    """
    if freedom < 1 or value <= 0:
        return 1.0
    a, x = freedom / 2, value / 2
    factor = math.exp(a * math.log(x) - x - math.lgamma(a))
    return max(0.0, 1 - factor * _gamma_series(a, x)) if x < a + 1 else factor * _gamma_fraction(a, x)


def _gamma_series(a: float, x: float) -> float:
    """Return the series for the lower incomplete gamma function without its factor x^a * exp(-x)/gamma(a)."""
    total = term = 1 / a
    for k in range(1, _MAX_TERMS):
        term *= x / (a + k)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _gamma_fraction(a: float, x: float) -> float:
    """Return the continued fraction for the upper incomplete gamma function without the same factor.

    It is evaluated by the method of Lentz (1976). No denominator can be 0, because x is at least a + 1.
    """
    b = x + 1 - a
    c, d = math.inf, 1 / b
    value = d
    for k in range(1, _MAX_TERMS):
        numerator = -k * (k - a)
        b += 2
        d = 1 / (numerator * d + b)
        c = b + numerator / c
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value
