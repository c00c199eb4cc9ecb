"""The figures of the page of thresholds, compared with scikit-learn's and with counts by hand."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics

from ui.measures import (
    Ranking,
    average_precision,
    best_f1,
    best_for_costs,
    best_for_precision,
    best_for_recall,
    bootstrap,
    calibration_error,
    confusion,
    exactly_right,
    f1_interval,
    macro_f1,
    micro_f1,
    precision_recall_curve,
    ranking,
    reliability,
    roc_auc,
    roc_curve,
    sweep,
    wilson,
)

GRID = np.linspace(0, 1, 101)


def ranked(scores: list[float], labels: list[int]) -> Ranking:
    return ranking(np.array(scores, np.float32), np.array(labels, bool))


def random_rows(count: int, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, of which those with the label are higher."""
    random = np.random.default_rng(1)
    has_label = random.random(count) < 0.3
    scores = 1 / (1 + np.exp(-random.normal(2 * has_label - 1.0)))
    return np.round(scores, digits).astype(np.float32), has_label


@st.composite
def rows_of_both_kinds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Few scores with many ties, with and without the label."""
    count = draw(st.integers(2, 40))
    scores = draw(arrays.arrays(np.float32, count, elements=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])))
    has_label = draw(arrays.arrays(np.bool_, count))
    has_label[0], has_label[1] = True, False
    return scores, has_label


@given(rows_of_both_kinds())
def test_the_roc_auc_is_that_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, has_label = rows
    assert roc_auc(ranking(scores, has_label)) == pytest.approx(metrics.roc_auc_score(has_label, scores))


@given(rows_of_both_kinds())
def test_the_average_precision_is_that_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, has_label = rows
    expected = metrics.average_precision_score(has_label, scores)
    assert average_precision(ranking(scores, has_label)) == pytest.approx(expected)


@given(rows_of_both_kinds())
def test_the_roc_curve_is_that_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, has_label = rows
    expected = metrics.roc_curve(has_label, scores, drop_intermediate=False)[:2]
    np.testing.assert_allclose(roc_curve(ranking(scores, has_label)), expected)


@given(rows_of_both_kinds())
def test_the_precision_recall_curve_is_that_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, has_label = rows
    precision, recall, _ = metrics.precision_recall_curve(has_label, scores)
    found = precision_recall_curve(ranking(scores, has_label))
    # scikit-learn has the lowest threshold first, and adds a point without rows.
    np.testing.assert_allclose(found, (recall[-2::-1], precision[-2::-1]))


@given(rows_of_both_kinds(), st.sampled_from([0.0, 0.05, 0.1, 0.5, 0.7, 0.99, 1.0]))
def test_a_sweep_counts_as_a_comparison_of_each_row_does(
    rows: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    scores, has_label = rows
    swept = sweep(ranking(scores, has_label), np.array([threshold]))
    gets_label = scores >= np.float32(threshold)
    expected = (int((gets_label & has_label).sum()), int((gets_label & ~has_label).sum()))
    assert (int(swept.true_positives[0]), int(swept.false_positives[0])) == expected


def test_a_probability_that_equals_the_threshold_reaches_it() -> None:
    swept = sweep(ranked([0.7], [1]), np.array([0.7]))
    assert swept.true_positives.tolist() == [1]


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "accuracy"])
def test_figures_at_a_threshold_are_those_of_scikit_learn(name: str) -> None:
    scores, has_label = random_rows(500, 2)
    gets_label = scores >= np.float32(0.4)
    of_sklearn = metrics.accuracy_score if name == "accuracy" else getattr(metrics, f"{name}_score")
    found = getattr(sweep(ranking(scores, has_label), np.array([0.4])), name)
    assert found[0] == pytest.approx(of_sklearn(has_label, gets_label))


def test_precision_is_not_defined_where_no_row_gets_the_label() -> None:
    assert isnan(sweep(ranked([0.2, 0.3], [0, 1]), np.array([0.9])).precision[0])


def test_recall_is_not_defined_if_no_row_has_the_label() -> None:
    assert isnan(sweep(ranked([0.2, 0.3], [0, 0]), np.array([0.1])).recall[0])


def test_the_share_counts_all_rows_that_get_the_label() -> None:
    assert sweep(ranked([0.2, 0.6, 0.8, 0.9], [0, 1, 0, 1]), np.array([0.5])).share[0] == 0.75


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
@pytest.mark.parametrize("figure", [roc_auc, average_precision])
def test_areas_are_not_defined_for_rows_of_one_kind(figure: object, labels: list[int]) -> None:
    assert isnan(figure(ranked([0.1, 0.2, 0.3], labels)))


def test_equal_scores_separate_nothing() -> None:
    assert roc_auc(ranked([0.5] * 4, [0, 1, 0, 1])) == 0.5


@pytest.mark.parametrize("figure", [roc_auc, average_precision, best_f1])
def test_no_rows_have_no_figures(figure: object) -> None:
    empty = ranked([], [])
    assert isnan(figure(sweep(empty, GRID) if figure is best_f1 else empty))


def test_the_best_threshold_for_f1_is_in_the_middle_of_the_best_ones() -> None:
    assert best_f1(sweep(ranked([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]), GRID)) == pytest.approx(0.5)


def test_no_threshold_is_best_for_f1_if_no_row_has_the_label() -> None:
    assert isnan(best_f1(sweep(ranked([0.1, 0.9], [0, 0]), GRID)))


def test_no_other_threshold_has_a_higher_f1() -> None:
    swept = sweep(ranking(*random_rows(1000, 3)), GRID)
    assert swept.f1[round(best_f1(swept) * 100)] == swept.f1.max()


def test_a_wanted_precision_is_kept_with_the_highest_recall() -> None:
    swept = sweep(ranking(*random_rows(1000, 3)), GRID)
    at = round(best_for_precision(swept, 0.8) * 100)
    assert swept.recall[at] == swept.recall[swept.precision >= 0.8].max()


def test_a_wanted_recall_is_kept_with_the_highest_precision() -> None:
    swept = sweep(ranking(*random_rows(1000, 3)), GRID)
    at = round(best_for_recall(swept, 0.8) * 100)
    assert swept.precision[at] == swept.precision[swept.recall >= 0.8].max()


def test_a_precision_that_no_threshold_has_has_no_best_one() -> None:
    assert isnan(best_for_precision(sweep(ranked([0.2, 0.9], [1, 0]), GRID), 0.9))


def test_a_dear_miss_lowers_the_best_threshold() -> None:
    swept = sweep(ranking(*random_rows(1000, 3)), GRID)
    assert best_for_costs(swept, 1, 10) < best_for_costs(swept, 1, 1)


def test_the_best_threshold_for_costs_costs_least() -> None:
    swept = sweep(ranking(*random_rows(1000, 3)), GRID)
    costs = 2 * swept.false_positives + 5 * swept.false_negatives
    assert costs[round(best_for_costs(swept, 2, 5) * 100)] == costs.min()


def test_errors_that_cost_nothing_leave_the_middle_threshold() -> None:
    assert best_for_costs(sweep(ranked([0.2, 0.9], [1, 0]), GRID), 0, 0) == 0.5


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_the_wilson_interval_is_that_of_the_tables(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_no_rows_has_no_interval() -> None:
    assert isnan(wilson(0, 0).low)


def test_the_f1_interval_contains_f1() -> None:
    found = f1_interval(90, 20)
    assert found.low < 2 * 90 / (2 * 90 + 20) < found.high


def test_a_perfect_f1_of_few_rows_has_a_wide_interval() -> None:
    assert f1_interval(10, 0).low < 0.85


def test_the_bootstrap_gives_the_same_interval_each_time() -> None:
    rows = ranking(*random_rows(300, 3))
    assert bootstrap(rows, roc_auc) == bootstrap(rows, roc_auc)


def test_the_bootstrap_interval_of_the_auc_is_about_that_of_delong() -> None:
    scores, has_label = random_rows(2000, 6)
    is_above = scores[has_label][:, None] > scores[~has_label]
    variance = sum(
        is_above.mean(axis=axis).var() / size for axis, size in zip((1, 0), is_above.shape, strict=True)
    )
    found = bootstrap(ranking(scores, has_label), roc_auc)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * variance**0.5, rel=0.1)


def test_the_bootstrap_interval_of_many_scores_contains_the_exact_auc() -> None:
    rows = ranking(*random_rows(20_000, 7))
    found = bootstrap(rows, roc_auc)
    assert found.low < roc_auc(rows) < found.high


def test_rows_of_one_kind_have_no_bootstrap_interval() -> None:
    assert isnan(bootstrap(ranked([0.1, 0.2], [1, 1]), roc_auc).low)


def test_resamples_without_a_figure_do_not_count() -> None:
    rows = ranked([0.1, 0.9], [0, 1])
    assert isnan(bootstrap(rows, lambda _: float("nan")).low)


def test_reliability_compares_probabilities_with_what_happened() -> None:
    (found,) = reliability(np.array([0.81, 0.83, 0.85, 0.86], np.float32), np.array([1, 1, 1, 0], bool))
    assert (found.probability, found.share, found.rows) == (pytest.approx(0.8375), 0.75, 4)


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    assert [one.rows for one in reliability(np.array([0.99, 1.0]), np.array([True, True]))] == [2]


def test_the_calibration_error_is_the_mean_gap_over_the_rows() -> None:
    bins = reliability(np.array([0.1, 0.1, 0.1, 0.9]), np.array([False, False, False, False]))
    assert calibration_error(bins) == pytest.approx((3 * 0.1 + 0.9) / 4)


def test_no_rows_have_no_calibration_error() -> None:
    assert isnan(calibration_error([]))


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    true, predicted = random.integers(0, 4, (2, 200)).astype(np.int32)
    expected = metrics.confusion_matrix(true, predicted, labels=range(5))
    np.testing.assert_array_equal(confusion(true, predicted, 5), expected)


def test_an_f1_of_no_rows_has_no_interval() -> None:
    assert isnan(f1_interval(0, 0).low)


@st.composite
def rows_with_several_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of few rows, with many ties."""
    shape = (draw(st.integers(1, 8)), draw(st.integers(2, 4)))
    scores = draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])))
    return scores, draw(arrays.arrays(np.bool_, shape))


@given(rows_with_several_labels())
def test_the_rows_that_are_exactly_right_are_those_of_scikit_learn(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    probabilities, has_label = rows
    expected = [
        metrics.accuracy_score(has_label, probabilities >= np.float32(threshold), normalize=False)
        for threshold in GRID
    ]
    assert exactly_right(probabilities, has_label, GRID).tolist() == expected


@given(rows_with_several_labels())
def test_micro_and_macro_f1_are_those_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, has_label = rows
    given_label = probabilities >= 0.5
    counts = (has_label & given_label).sum(axis=0), has_label.sum(axis=0), given_label.sum(axis=0)
    if has_label.any() or given_label.any():
        expected = metrics.f1_score(has_label, given_label, average="micro", zero_division=0.0)
        assert micro_f1(*counts) == pytest.approx(expected)
    else:
        assert isnan(micro_f1(*counts))
    used = has_label.any(axis=0)
    if used.any():
        each = metrics.f1_score(has_label, given_label, average=None, zero_division=0.0)
        assert macro_f1(*counts) == pytest.approx(each[used].mean())
    else:
        assert isnan(macro_f1(*counts))
