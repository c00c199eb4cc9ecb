"""How good predictions are at every threshold, and how sure the figures are.

A label is measured against the rest. All intervals are at the level of 95 %.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Scores = NDArray[np.floating]

RESAMPLES = 1000
RESAMPLED_BINS = 256
"""A resample groups the rows into so many bins, each of about as many rows, so that it takes little time."""

RELIABILITY_BINS = 15
"""As in the figures of a model that `text-classifier train` makes, so that both can be compared."""

_Z = 1.959963984540054
"""The quantile 0.975 of the standard normal distribution."""

_SEED = 20


@dataclass(frozen=True)
class Interval:
    """Where a figure probably is, if it were measured on all texts of this kind. NaN if nobody can say."""

    low: float
    high: float


UNKNOWN = Interval(nan, nan)


def wilson(successes: float, trials: float) -> Interval:
    """The interval of a share (Wilson, 1927). It is also right for few rows, and for shares of 0 and 1."""
    if not trials:
        return UNKNOWN
    share, square = successes / trials, _Z * _Z
    middle = share + square / (2 * trials)
    half = _Z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    return Interval(max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


@dataclass(frozen=True)
class Ranking:
    """The rows by their score for one label: m distinct scores, the lowest first."""

    scores: Scores
    """Shape (m,)."""
    positives: Counts
    """Shape (m,); the rows with this score that have the label."""
    negatives: Counts
    """Shape (m,); the rows with this score that do not have it."""

    @property
    def has_both(self) -> bool:
        """Whether there are rows with the label and rows without it."""
        return bool(self.positives.any() and self.negatives.any())


def ranking(scores: Scores, has_label: NDArray[np.bool_]) -> Ranking:
    """Rank n rows by their scores; both arrays have the shape (n,)."""
    distinct, places = np.unique(scores, return_inverse=True)
    rows = np.bincount(places, minlength=len(distinct))
    positives = np.bincount(places[has_label], minlength=len(distinct))
    return Ranking(distinct, positives, rows - positives)


@dataclass(frozen=True)
class Sweep:
    """What becomes of the rows at t thresholds: a row whose score reaches the threshold gets the label."""

    thresholds: Scores
    """Shape (t,), the lowest first."""
    true_positives: Counts
    """Shape (t,)."""
    false_positives: Counts
    """Shape (t,)."""
    positives: int
    """The rows that have the label."""
    negatives: int

    @cached_property
    def predicted(self) -> Counts:
        """The rows that get the label."""
        return self.true_positives + self.false_positives

    @cached_property
    def false_negatives(self) -> Counts:
        """The rows that have the label and do not get it."""
        return self.positives - self.true_positives

    @cached_property
    def right(self) -> Counts:
        """The rows with the label that get it, and those without it that do not."""
        return self.true_positives + self.negatives - self.false_positives

    @cached_property
    def precision(self) -> Floats:
        """The share with the label of the rows that get it; NaN if no row gets it."""
        return _share(self.true_positives, self.predicted)

    @cached_property
    def recall(self) -> Floats:
        """The share that gets the label of the rows that have it; NaN if no row has it."""
        return _share(self.true_positives, self.positives)

    @cached_property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall; NaN if no row has the label or gets it."""
        return _share(2 * self.true_positives, self.predicted + self.positives)

    @cached_property
    def accuracy(self) -> Floats:
        """The share of all rows that is right."""
        return _share(self.right, self.positives + self.negatives)

    @cached_property
    def share(self) -> Floats:
        """The share of all rows that gets the label."""
        return _share(self.predicted, self.positives + self.negatives)


def _share(part: Counts, whole: ArrayLike) -> Floats:
    total = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    shares: Floats = np.divide(part, total, out=np.full(part.shape, nan), where=total > 0)
    return shares


def sweep(ranked: Ranking, thresholds: Scores) -> Sweep:
    """Count what becomes of the rows at each threshold, which ascend."""
    # A probability of 0.7 in 32 bits is below 0.7 in 64 bits, so both are compared in the type of the scores.
    places = np.searchsorted(ranked.scores, thresholds.astype(ranked.scores.dtype))
    true_positives, false_positives = _from_each_on(ranked.positives), _from_each_on(ranked.negatives)
    return Sweep(
        thresholds,
        true_positives[places],
        false_positives[places],
        int(true_positives[0]),
        int(false_positives[0]),
    )


def _from_each_on(counts: Counts) -> Counts:
    """The sums of the counts from each place to the end, and 0 for the place after the last."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)


def exactly_right(
    probabilities: NDArray[np.floating], has_label: NDArray[np.bool_], thresholds: Scores
) -> Counts:
    """Count the rows that get exactly their labels at each threshold, which is the same for all labels.

    `probabilities` and `has_label` have the shape (n, k). A row is right from above the highest probability
    of the labels that it lacks, up to the lowest one of the labels that it has.
    """
    lacking = np.where(has_label, -np.inf, probabilities).max(axis=1)
    having = np.where(has_label, probabilities, np.inf).min(axis=1)
    can_be_right = lacking < having
    compared = thresholds.astype(probabilities.dtype)
    begun = np.searchsorted(np.sort(lacking[can_be_right]), compared)
    over = np.searchsorted(np.sort(having[can_be_right]), compared)
    counts: Counts = begun - over
    return counts


def roc_curve(ranked: Ranking) -> tuple[Floats, Floats]:
    """False positive rates and true positive rates of all m thresholds, from (0, 0) to (1, 1)."""
    return (
        _share(_from_each_on(ranked.negatives)[::-1], ranked.negatives.sum()),
        _share(_from_each_on(ranked.positives)[::-1], ranked.positives.sum()),
    )


def precision_recall_curve(ranked: Ranking) -> tuple[Floats, Floats]:
    """Recalls and precisions of all m thresholds, the highest threshold first."""
    found = _from_each_on(ranked.positives)[-2::-1]
    return _share(found, ranked.positives.sum()), _share(
        found, found + _from_each_on(ranked.negatives)[-2::-1]
    )


def roc_auc(ranked: Ranking) -> float:
    """The chance that a row with the label has a higher score than one without; equal scores count half.

    NaN unless there are rows of both kinds.
    """
    above = _from_each_on(ranked.positives)[1:]
    pairs = int(ranked.positives.sum()) * int(ranked.negatives.sum())
    return float(ranked.negatives @ (above + ranked.positives / 2)) / pairs if pairs else nan


def average_precision(ranked: Ranking) -> float:
    """The mean of the precision over the rows that have the label: the area under the curve's steps.

    NaN unless there are rows of both kinds.
    """
    if not ranked.has_both:
        return nan
    _, precision = precision_recall_curve(ranked)
    return float(precision @ ranked.positives[::-1] / ranked.positives.sum())


def f1_interval(true_positives: int, errors: int) -> Interval:
    """The interval of F1, by Wilson's for the share `j` of the true positives in them and all errors.

    F1 is 2j / (1 + j), which grows with j (Takahashi et al., 2022; Flores et al., 2023, "Wilson indirect").
    """
    share = wilson(true_positives, true_positives + errors)
    return Interval(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))


def micro_f1(hits: Counts, have: Counts, get: Counts) -> float:
    """F1 of all pairs of a row and a label, of the counts of k labels; NaN if there is no label at all."""
    whole = int(have.sum() + get.sum())
    return 2 * int(hits.sum()) / whole if whole else nan


def macro_f1(hits: Counts, have: Counts, get: Counts) -> float:
    """The mean F1 of the labels that rows have, of the counts of k labels; NaN if no row has a label."""
    used = have > 0
    return float((2 * hits[used] / (have[used] + get[used])).mean()) if used.any() else nan


def bootstrap(ranked: Ranking, figure: Callable[[Ranking], float]) -> Interval:
    """The interval of a figure by 1,000 resamples, with the same seed each time.

    They are stratified: each has as many rows with the label, and as many without, as there are. Resamples
    whose figure is NaN do not count. The interval is unknown unless there are rows of both kinds.
    """
    if not ranked.has_both:
        return UNKNOWN
    grouped = _grouped(ranked)
    figures = np.array([figure(resample) for resample in _resamples(grouped)])
    figures = figures[~np.isnan(figures)]
    if not len(figures):
        return UNKNOWN
    low, high = np.percentile(figures, (2.5, 97.5))
    return Interval(float(low), float(high))


def _grouped(ranked: Ranking) -> Ranking:
    """The same rows with at most `RESAMPLED_BINS` scores, of which each is the lowest of its bin."""
    if len(ranked.scores) <= RESAMPLED_BINS:
        return ranked
    rows = ranked.positives + ranked.negatives
    before = np.cumsum(rows) - rows
    bins = before * RESAMPLED_BINS // rows.sum()
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    return Ranking(
        ranked.scores[starts],
        np.add.reduceat(ranked.positives, starts),
        np.add.reduceat(ranked.negatives, starts),
    )


def _resamples(ranked: Ranking) -> Iterator[Ranking]:
    random = np.random.default_rng(_SEED)
    positives, negatives = (
        random.multinomial(counts.sum(), counts / counts.sum(), RESAMPLES)
        for counts in (ranked.positives, ranked.negatives)
    )
    for some_positives, some_negatives in zip(positives, negatives, strict=True):
        yield Ranking(ranked.scores, some_positives, some_negatives)


def best_f1(swept: Sweep) -> float:
    """The threshold with the highest F1; NaN if no row has the label."""
    return _best(swept, swept.f1, ~np.isnan(swept.recall))


def best_for_precision(swept: Sweep, wanted: float) -> float:
    """The threshold with the highest recall of those with the wanted precision; NaN if there is none."""
    return _best(swept, swept.recall, swept.precision >= wanted)


def best_for_recall(swept: Sweep, wanted: float) -> float:
    """The threshold with the highest precision of those with the wanted recall; NaN if there is none."""
    return _best(swept, swept.precision, swept.recall >= wanted)


def best_for_costs(swept: Sweep, false_positive: float, false_negative: float) -> float:
    """The threshold at which all errors together cost least."""
    costs = false_positive * swept.false_positives + false_negative * swept.false_negatives
    return _best(swept, -costs, np.ones(len(costs), np.bool_))


def _best(swept: Sweep, values: Floats, allowed: NDArray[np.bool_]) -> float:
    """The middle of the longest run of thresholds with the highest value of those that are allowed."""
    allowed = allowed & ~np.isnan(values)
    if not allowed.any():
        return nan
    is_best = allowed & (values == values[allowed].max())
    edges = np.flatnonzero(np.diff(is_best, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return float(swept.thresholds[(starts[longest] + ends[longest] - 1) // 2])


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose probability is in one of the bins of equal width."""

    probability: float
    """The mean of theirs."""
    share: float
    """The share of them in which it happened."""
    interval: Interval
    """That of the share."""
    rows: int


def reliability(probabilities: Scores, happened: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Compare n probabilities with what happened, in bins; empty bins are left out."""
    values = probabilities.astype(np.float64)
    places = np.minimum((values * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    rows = np.bincount(places, minlength=RELIABILITY_BINS)
    sums = np.bincount(places, values, RELIABILITY_BINS)
    hits = np.bincount(places, happened, RELIABILITY_BINS)
    return [
        ReliabilityBin(
            sums[place] / rows[place],
            hits[place] / rows[place],
            wilson(hits[place], rows[place]),
            int(rows[place]),
        )
        for place in np.flatnonzero(rows)
    ]


def calibration_error(bins: list[ReliabilityBin]) -> float:
    """The mean gap between probability and share, weighted by rows (Guo et al., 2017); NaN without rows."""
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.probability - one.share) for one in bins) / rows if rows else nan


def confusion(true: NDArray[np.int32], predicted: NDArray[np.int32], labels: int) -> Counts:
    """Rows by their true label (first axis) and their predicted label (second axis)."""
    cells = np.bincount(true.astype(np.int64) * labels + predicted, minlength=labels * labels)
    return cells.reshape(labels, labels)
